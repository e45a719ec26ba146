//! Values and what becomes of them, beyond what the comparison with the reference covers.

use proptest::prelude::*;

use super::super::GraphqlError;
use super::{plan, project};

#[test]
fn response_has_the_order_of_the_selection_and_the_resolvers_text() {
    assert_eq!(
        project(
            "subscription { u: user { name __typename id blob } }",
            r#"{"id": 7, "blob": { "z": 1.50, "a" : [ ] }, "name": "caf\u00e9", "extra": 1}"#
        ),
        r#"{"data":{"u":{"name":"caf\u00e9","__typename":"User","id":"7","blob":{ "z": 1.50, "a" : [ ] }}}}"#
    );
}

#[test]
fn an_id_has_the_digits_of_its_number() {
    let forty = "1234567890123456789012345678901234567890";
    for (number, id) in [
        (forty, forty),
        ("18446744073709551617", "18446744073709551617"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("18446744073709551617.0", "18446744073709551617"),
        ("9007199254740993.0", "9007199254740993"),
        ("1e2", "100"),
        // As Python's `int` of the double: what a resolver has is one.
        ("1e23", "99999999999999991611392"),
    ] {
        let out = project("subscription { user { id } }", &format!("{{\"id\":{number}}}"));
        assert_eq!(out, format!("{{\"data\":{{\"user\":{{\"id\":\"{id}\"}}}}}}"), "{number}");
    }
    for none in ["1.5", "1e1000000000", "1e-1000000000"] {
        let out = project("subscription { user { id } }", &format!("{{\"id\":{none}}}"));
        assert!(out.contains("ID cannot represent"), "{none}: {out}");
    }
}

#[test]
fn a_float_that_no_double_holds_says_so() {
    let said = |value: &str| project("subscription { share }", value);
    for held in ["9007199254740992", "18446744073709551616", "1e300", "0.1", "3.14159265358979323846"] {
        assert_eq!(said(held), format!("{{\"data\":{{\"share\":{held}}}}}"));
    }
    for inexact in ["9007199254740993", "18446744073709551617", "-18446744073709551617"] {
        assert!(said(inexact).contains("whole number that no double holds exactly"), "{inexact}: {}", said(inexact));
    }
    let long = "9".repeat(400);
    for large in ["1e400", "-1e400", long.as_str()] {
        assert!(said(large).contains("beyond the range of doubles"), "{large}: {}", said(large));
    }
    assert!(said("[1]").contains("non numeric"), "{}", said("[1]"));
}

#[test]
fn null_travels_to_the_nearest_place_that_may_be_null() {
    assert_eq!(
        project("subscription { user { id friends { n: name } } }", r#"{"id":"1","friends":[{"name":"a"},{}]}"#),
        concat!(
            r#"{"data":{"user":{"id":"1","friends":null}},"errors":[{"message":"Cannot return null for non-nullable "#,
            r#"field User.name.","path":["user","friends",1,"n"]}]}"#
        )
    );
    assert!(project("subscription { strict { name } }", "{}").starts_with(r#"{"data":null,"errors":[{"#));
}

#[test]
fn last_of_duplicate_keys_counts() {
    let value = r#"{"id":"1","age":1,"ag\u0065":2,"name":"x","id":"3"}"#;
    assert_eq!(project("subscription { user { id age } }", value), r#"{"data":{"user":{"id":"3","age":2}}}"#);
}

#[test]
fn nothing_selected_is_an_empty_object() {
    assert_eq!(project("subscription { user { id @skip(if: true) } }", "{}"), r#"{"data":{"user":{}}}"#);
}

#[test]
fn messages_contain_nothing_of_the_value() {
    for value in
        [r#"{"age":"secret"}"#, r#"{"kind":"secret"}"#, r#"{"friends":"secret"}"#, r#"{"best":"secret"}"#, "\"secret\""]
    {
        let out = project("subscription { user { age kind friends { id } best { id } } }", value);
        assert!(out.contains("errors") && !out.contains("secret"), "{out}");
    }
    for value in [r#"[{"__typename":"secret"}]"#, r#"["secret"]"#, r"[{}]", r#"[{"__typename":1}]"#] {
        let out = project("subscription { nodes { id } }", value);
        assert!(out.contains("errors") && !out.contains("secret"), "{out}");
    }
}

#[test]
fn errors_are_capped_and_counted() {
    let mut out = String::new();
    let value = format!("{{\"matrix\":[{}[]]}}", "[null],".repeat(60));
    let projected = plan("subscription { user { matrix } }").selection.project(&value, &mut out);
    assert_eq!(projected.errors, 60);
    let result: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(result["errors"].as_array().unwrap().len(), 51);
    assert_eq!(result["errors"][50]["message"], "10 more errors were left out");
    assert_eq!(result["data"]["user"]["matrix"].as_array().unwrap().len(), 61);
}

#[test]
fn text_that_is_not_json_is_one_error() {
    let deep = "[".repeat(1_000_000);
    for text in [
        "",
        "{",
        "nul",
        "[1,]",
        "{\"a\":}",
        "\"\u{1}\"",
        "01",
        "1.",
        "-",
        "NaN",
        "1 2",
        "\"\\x\"",
        "{\"a\" 1}",
        "]",
        &deep,
    ] {
        let mut out = String::new();
        let projected = plan("subscription { user { id } }").selection.project(text, &mut out);
        assert!(projected.errors == 1 && projected.malformed.is_some(), "{text}");
        assert!(
            out.starts_with(r#"{"data":{"user":null},"errors":[{"message":"The resolver's value is not valid JSON.""#)
        );
    }
}

#[test]
fn failure_becomes_a_null_with_the_fields_path() {
    let mut out = String::new();
    plan("subscription { u: user { id } }").selection.project_error(GraphqlError::new("no"), &mut out);
    assert_eq!(out, r#"{"data":{"u":null},"errors":[{"message":"no","path":["u"]}]}"#);
    out.clear();
    plan("subscription { strict { id } }").selection.project_error(GraphqlError::new("no"), &mut out);
    assert_eq!(out, r#"{"data":null,"errors":[{"message":"no","path":["strict"]}]}"#);
}

proptest! {
    /// Our reader and `serde_json` agree on what JSON is (below its limits), whatever is thrown at them.
    #[test]
    fn reader_accepts_exactly_json(text in r#"[\[\]{},:"\\ u0a1e.+\-ntrulfase]{0,24}"#) {
        let mut out = String::new();
        let projected = plan("subscription { text }").selection.project(&text, &mut out);
        let valid = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(projected.malformed.is_none(), valid);
        prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&out).is_ok());
    }

    #[test]
    fn strings_arrive_unchanged(text in ".*") {
        let value = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(project("subscription { text }", &value), format!("{{\"data\":{{\"text\":{value}}}}}"));
    }
}

#[test]
fn a_selection_that_repeats_a_large_value_is_refused_as_a_whole() {
    let name = "x".repeat(200_000);
    let value = format!(r#"{{"id":"1","name":"{name}"}}"#);
    let aliases = |count: usize| {
        (0..count).flat_map(|n| ["a".to_owned(), n.to_string(), ": name ".to_owned()]).collect::<String>()
    };
    // Twenty copies are 4 MB: the most that there may be.
    let large = project(&format!("subscription {{ user {{ {} }} }}", aliases(20)), &value);
    assert!(large.len() > 4_000_000 && !large.contains("errors"));
    let refused = project(&format!("subscription {{ user {{ {} }} }}", aliases(25)), &value);
    assert_eq!(
        refused,
        r#"{"data":{"user":null},"errors":[{"message":"The result is too large: select less, or under fewer aliases.","path":["user"]}]}"#
    );
}

#[test]
fn a_result_may_be_as_large_as_its_value_is() {
    let value = format!(r#"{{"id":"1","name":"{}"}}"#, "x".repeat(5_000_000));
    assert!(project("subscription { user { id name } }", &value).len() > 5_000_000);
}

#[test]
fn no_result_is_much_larger_than_what_is_said_before() {
    let members = (0..300).map(|n| format!("m{n}: age ")).collect::<Vec<_>>().concat();
    for (query, value) in [
        ("subscription { user { id name age } }".to_owned(), r#"{"id":"1","name":"n","age":3}"#.to_owned()),
        // Absent members cost the value nothing.
        (
            format!("subscription {{ nodes {{ ... on User {{ {members} }} }} }}"),
            format!("[{}]", vec![r#"{"__typename":"User"}"#; 50].join(",")),
        ),
        (
            format!("subscription {{ user {{ friends {{ {members} best {{ {members} }} }} }} }}"),
            format!(r#"{{"friends":[{}]}}"#, vec![r#"{"best":{}}"#; 50].join(",")),
        ),
        // Repeated ones cost it once.
        (
            format!("subscription {{ user {{ {} }} }}", members.replace("age", "name")),
            format!(r#"{{"name":"{}"}}"#, "n".repeat(1_000)),
        ),
        ("subscription { text }".to_owned(), format!("\"{}\"", "{".repeat(1_000))),
    ] {
        let selection = plan(&query).selection;
        let said = selection.most_bytes(value.len(), value.matches('{').count());
        let mut result = String::new();
        selection.project(&value, &mut result);
        assert!(result.len() <= 2 * said + 100, "{} bytes, and at most {said} were said: {query:.100}", result.len());
        assert!(said <= 3 * (result.len() + value.len()), "{} bytes, and {said} were said: {query:.100}", result.len());
    }
}
