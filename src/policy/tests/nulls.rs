//! Null and missing values in every operator and function, with claims: nested anywhere, they never deliver.

use super::*;

/// Conditions on one claim `c`, and what of the event they read. With `c` null or missing none of them has an answer.
const WITH_CLAIM: [&str; 39] = [
    "claims.c == event.data.x",
    "event.data.x == claims.c",
    "claims.c != event.data.x",
    "event.data.x != claims.c",
    "claims.c == 'x'",
    "claims.c != 'x'",
    "claims.c == null",
    "claims.c != null",
    "args.id == claims.c",
    "args.id != claims.c",
    "claims['c'] != event.data['x']",
    "claims.c < event.data.n",
    "claims.c <= event.data.n",
    "event.data.n > claims.c",
    "event.data.n >= claims.c",
    "claims.c in event.data.list",
    "event.data.x in claims.c",
    "event.data.x in [claims.c]",
    "event.data.x in ['y', claims.c]",
    "claims.c in {'x': 1}",
    "[event.data.x] == [claims.c]",
    "[event.data.x] != [claims.c]",
    "{'k': event.data.x} != {'k': claims.c}",
    "[claims.c] in [[event.data.x]]",
    "claims.c + event.data.n == 3",
    "event.data.n - claims.c == 3",
    "claims.c * event.data.n == 3",
    "claims.c / event.data.n == 3",
    "event.data.n % claims.c == 3",
    "-claims.c == 3",
    "claims.c.contains(event.data.x)",
    "event.data.x.startsWith(claims.c)",
    "event.data.x.endsWith(claims.c)",
    "size(claims.c) == 1",
    "string(claims.c) == 'x'",
    "int(claims.c) == 1",
    "dyn(claims.c) != event.data.x",
    "event.data[claims.c] == 'x'",
    "claims.c ? event.data.yes : event.data.no",
];

/// Conditions on the event's value `v`, which is compared with claims that are there.
const WITH_EVENT: [&str; 16] = [
    "event.data.v == claims.s",
    "claims.s == event.data.v",
    "event.data.v != claims.s",
    "claims.s != event.data.v",
    "event.data.v < claims.i",
    "claims.i >= event.data.v",
    "event.data.v in claims.list",
    "claims.s in event.data.v",
    "claims.s in [event.data.v]",
    "[event.data.v] != [claims.s]",
    "event.data.v + claims.i == 3",
    "event.data.v.startsWith(claims.s)",
    "claims.s.contains(event.data.v)",
    "claims.s[event.data.v] == 'x'",
    "{'k': claims.s} != {'k': event.data.v}",
    "(event.data.yes ? claims.s : 'x') != event.data.v",
];

/// Surroundings in which true or false of the condition would deliver.
const AROUND: [&str; 12] = [
    "{}",
    "!({})",
    "!!({})",
    "({}) || false",
    "false || !({})",
    "({}) && true",
    "true && !({})",
    "({}) ? true : true",
    "event.data.yes ? ({}) : false",
    "event.data.yes ? !({}) : false",
    "({}) == true",
    "({}) != true",
];

fn never_delivers(conditions: &[&str], data: &Value, claims: &Value) {
    for condition in conditions {
        for around in AROUND {
            let source = around.replace("{}", condition);
            let filter = predicate(&source);
            let said = verdict(&filter, data.clone(), json!({"id": "x"}), claims.clone());
            assert_ne!(said, Verdict::Deliver, "{source} with {data} and {claims}");
            // What the subscription alone decides must not be taken for a condition that holds, either.
            let _ = filter.subscription_keys(&object(json!({"id": "x"})), &object(claims.clone()));
        }
    }
}

#[test]
fn a_claim_that_is_null_or_missing_never_delivers() {
    for x in [json!("x"), json!(null)] {
        let data = json!({"x": x, "n": 3, "list": ["x", null], "yes": true, "no": false});
        for claims in [json!({}), json!({"c": null}), json!({"other": 1})] {
            never_delivers(&WITH_CLAIM, &data, &claims);
        }
    }
}

#[test]
fn a_value_of_the_event_that_is_null_or_missing_never_meets_a_claim() {
    let claims = json!({"s": "x", "i": 3, "list": ["a", "b"]});
    for data in [json!({"yes": true}), json!({"yes": true, "v": null})] {
        never_delivers(&WITH_EVENT, &data, &claims);
    }
}

#[test]
fn a_null_in_a_list_counts_only_where_nothing_else_is_equal() {
    let roles = json!({"roles": ["a", null]});
    let of = |source: &str| verdict(&predicate(source), json!({"yes": true}), json!({}), roles.clone());
    assert_eq!(of("'a' in claims.roles"), Verdict::Deliver);
    assert_eq!(of("event.data.yes && 'a' in claims.roles"), Verdict::Deliver);
    for source in ["'b' in claims.roles", "!('b' in claims.roles)", "claims.roles != ['a']"] {
        assert!(matches!(of(source), Verdict::Failed(EvaluationError::NullClaim)), "{source}");
    }
}

#[test]
fn without_claims_null_equals_null_and_what_is_missing_is_an_error() {
    let data = json!({"none": null, "n": 1});
    let of = |source: &str| verdict(&predicate(source), data.clone(), json!({"other": null}), json!({}));
    for delivers in [
        "event.data.none == null",
        "!(event.data.none != null)",
        "event.data.none == args.other || false",
        "event.data.n != null",
        "event.data.n != args.other",
        "event.data.none in [null, 1]",
        "[event.data.none] == [null]",
        "has(event.data.none) && !has(event.data.missing)",
    ] {
        assert_eq!(of(delivers), Verdict::Deliver, "{delivers}");
    }
    for fails in
        ["event.data.none < 1", "!(event.data.none >= 1)", "event.data.none + 1 == 1", "event.data.missing != 1"]
    {
        for around in AROUND {
            let source = around.replace("{}", fails);
            assert_ne!(of(&source), Verdict::Deliver, "{source}");
        }
    }
}
