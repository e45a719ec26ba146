use super::*;

/// Evaluates with one event, `args` and `claims` that have something of everything.
fn says(source: &str) -> Verdict {
    let data = json!({
        "n": 5, "big": u64::MAX, "f": 1.5, "s": "text", "t": true, "none": null, "id": 7, "empty": {},
        "list": [1, 2.0, "x", [1], {"k": 1}], "map": {"k": {"l": 1}, "2": 3}, "tags": ["a", "b"], "a key": 1,
    });
    let args = json!({
        "id": "7", "string": "text", "int": 5, "float": 5.0, "boolean": true, "enum": "A",
        "other": {"k": 1, "list": ["a"], "ids": [7]},
    });
    let claims = json!({"sub": "7", "role": "vip", "roles": ["vip", "staff"], "none": null, "deep": {"n": 1}});
    verdict(&predicate(source), data, args, claims)
}

#[track_caller]
fn all(expected: &Verdict, sources: &[&str]) {
    for source in sources {
        assert_eq!(says(source), *expected, "{source}");
    }
}

#[track_caller]
fn fail(sources: &[(&str, &str)]) {
    for (source, expected) in sources {
        match says(source) {
            Verdict::Failed(error) => assert_eq!(error.to_string(), *expected, "{source}"),
            other => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn names_are_those_of_the_event_its_arguments_and_claims() {
    all(
        &Verdict::Deliver,
        &[
            "event.id == 'e1'",
            "event.channel == 'orders'",
            "event.type == 'orderPlaced'",
            "event.source + event.time == 'shop2026-01-01T00:00:00Z'",
            "event.data.map.k.l == 1",
            "event['data']['a key'] == 1",
            "event.data.map['2'] == 3",
            "args.int == 5",
            "args.other.k == 1",
            "claims.deep.n == 1",
            "claims['role'] == 'vip'",
            "event.data.list[1] == 2",
            "event.data.list[4].k == 1",
            "event.data[event.data.s == 'text' ? 's' : 'n'] == 'text'",
        ],
    );
}

#[test]
fn integers_are_int_so_that_arithmetic_works() {
    all(
        &Verdict::Deliver,
        &[
            "event.data.n + 1 > 5",
            "event.data.n * 2 - args.int == 5",
            "-event.data.n < 0",
            "event.data.n % 2 == 1",
            "event.data.f * 2.0 == 3.0",
            "event.data.big > 1",
            "event.data.n >= args.float",
            "double(event.data.n) / 2.0 == 2.5",
        ],
    );
}

#[test]
fn lists_and_objects_are_seen_without_conversion() {
    all(
        &Verdict::Deliver,
        &[
            "size(event.data.list) == 5",
            "event.data.map.size() == 2",
            "'a' in event.data.tags",
            "2 in event.data.list",
            "{'k': 1} in event.data.list",
            "event.data.s in ['text', 'other']",
            "event.data.tags in [['a', 'b'], ['c']]",
            "'k' in event.data.map",
            "event.data.tags == ['a', 'b']",
            "['a', 'b'] == event.data.tags",
            "[event.data.tags] == [['a', 'b']]",
            "[['a', 'b']] == [event.data.tags]",
            "{'k': {'l': 1.0}, '2': 3u} == event.data.map",
            "event.data.map == {'k': {'l': 1.0}, '2': 3u}",
            "event.data.map.k == {'l': 1}",
            "event.data.map != event.data.empty && event.data.map == event.data.map",
            "event.data.tags == event.data.tags && event.data.tags != ['a']",
            "event.data.list == event.data.list || false",
            "type(event.data.map) == map && type(event.data.n) == int",
            "event.data.id in args.other.ids",
            "[1, 2].size() == 2 && {'a': 1}.a == 1",
        ],
    );
    all(
        &Verdict::Suppress,
        &["'c' in event.data.tags", "event.data.tags == ['b', 'a']", "3 in event.data.map", "event.data.list == []"],
    );
}

#[test]
fn text_functions_and_conversions_are_there() {
    all(
        &Verdict::Deliver,
        &[
            "event.data.s.startsWith('te') && event.data.s.endsWith('xt') && event.data.s.contains('ex')",
            "size(event.data.s) == 4 && event.data.s.size() == 4",
            "string(event.data.n) == '5' && int('5') == event.data.n && uint(5) == 5u",
            "bool('true') && dyn(event.data.n) == 5 && size(bytes('é')) == 2",
            "event.data.t ? event.data.n == 5 : false",
            "!(event.data.n == 4) && event.data.t",
        ],
    );
}

#[test]
fn what_is_missing_is_an_error_that_names_it() {
    fail(&[
        ("event.data.total >= 1", "event.data.total is missing"),
        ("event.data.total == 1", "event.data.total is missing"),
        ("1 == event.data.a.b.c", "event.data.a.b.c is missing"),
        ("event.data.none.x == args.int", "event.data.none.x is missing"),
        ("args.other.nothing > 1", "args.other.nothing is missing"),
        ("claims.nothing > 1", "claims.nothing is missing"),
        ("event.data.list[3].x == 1", "`.` does not take (list, string)"),
        ("event.data.list[4].x == 1", "a member that the predicate reads is missing"),
        ("event.data.list[9] == 1", "a list has no element at the index"),
        ("event.data.none >= 1", "`>=` does not take (null_type, int)"),
        ("event.data.s >= 1", "`>=` does not take (string, int)"),
        ("event.data.big + 1 > 0", "`+` does not take (uint, int)"),
        ("event.data.tags + ['c'] == []", "`+` does not take (null or list or map, list)"),
        ("event.data.n / 0 == 1", "arithmetic failed: division by zero, or a result beyond 64 bits"),
        ("9223372036854775807 + event.data.n == 1", "arithmetic failed: division by zero, or a result beyond 64 bits"),
        ("int(event.data.s) == 1", "`int` failed for its argument"),
        ("event.data.n", "found int where bool is needed"),
        ("event.data.tags", "found list where bool is needed"),
        ("event.data.n && true", "found int where bool is needed"),
        ("1 in event.data.n", "`in` does not take (int, int)"),
        ("size(event.data.n) == 1", "`size` does not take (int)"),
    ]);
}

#[test]
fn an_error_never_shows_a_value_of_the_event() {
    for source in [
        "event.data.s + 1 == ''",
        "event.data.s * 2 == 1",
        "int(event.data.s) == 1",
        "event.data.map[event.data.s] == 1",
    ] {
        let Verdict::Failed(error) = says(source) else { panic!("{source}") };
        assert!(!error.to_string().contains("text"), "{error}");
    }
}

#[test]
fn false_wins_over_an_error_and_an_error_over_true_in_any_order() {
    all(
        &Verdict::Suppress,
        &[
            "event.data.total >= 1 && event.data.n == 4",
            "event.data.n == 4 && event.data.total >= 1",
            "event.data.total == 1 && event.data.n > 5",
            "(event.data.t && event.data.total == 1) && (event.data.total > 1 && false)",
        ],
    );
    all(&Verdict::Deliver, &["event.data.total >= 1 || event.data.t", "event.data.t || event.data.total >= 1"]);
    fail(&[("event.data.t && event.data.total >= 1", "event.data.total is missing")]);
    fail(&[("event.data.total == 1 && event.data.n > 1", "event.data.total is missing")]);
}

#[test]
fn has_tests_for_members_and_for_arguments_that_are_given() {
    all(
        &Verdict::Deliver,
        &[
            "has(event.data.n) && has(event.data.none) && !has(event.data.total)",
            "has(event.data['a key']) && has(event.data.map.k) && !has(event.data.map.x)",
            "has(event.id) && has(event.data)",
            "has(args.int) && has(args.other.k) && !has(args.other.x)",
            "has(claims.sub) && has(claims.none) && !has(claims.x) && has(claims.deep.n)",
            "has(event.data.list[4].k) && !has({'a': 1}.b)",
            "!has(event.data.total) || event.data.total > 1",
        ],
    );
    let filter = predicate("!has(args.int) || event.data.n >= args.int");
    assert_eq!(verdict(&filter, json!({"n": 1}), json!({}), json!({})), Verdict::Deliver);
    assert_eq!(verdict(&filter, json!({"n": 1}), json!({"int": null}), json!({})), Verdict::Deliver);
    assert_eq!(verdict(&filter, json!({"n": 1}), json!({"int": 2}), json!({})), Verdict::Suppress);
}

#[test]
fn an_argument_that_is_not_given_is_null() {
    let of = |source: &str, data: Value| verdict(&predicate(source), data, json!({}), json!({}));
    for source in [
        "event.data.a == args.string",
        "args.id == event.data.a",
        "args.string == null && true",
        "args.id == null || false",
    ] {
        assert_eq!(of(source, json!({"a": null})), Verdict::Deliver, "{source}");
    }
    assert_eq!(of("event.data.a == args.string", json!({"a": "x"})), Verdict::Suppress);
    assert_eq!(of("event.data.a == args.id", json!({"a": 1})), Verdict::Suppress);
    assert!(matches!(of("event.data.a == args.string", json!({})), Verdict::Failed(_)));
    let keys = predicate("event.data.a == args.string").subscription_keys(&Map::new(), &Map::new());
    assert_eq!(keys, Keys::Terms(vec![None]), "not restricted");
}

#[test]
fn id_arguments_compare_by_text_wherever_they_stand() {
    all(
        &Verdict::Deliver,
        &[
            "event.data.id == args.id",
            "args.id == event.data.id",
            "args.id == claims.sub",
            "event.data.s == 'x' || event.data.id == args.id",
            "!(event.data.id != args.id)",
            "args.id in event.data.list || args.id in args.other.ids",
            "args.id == 7 || false",
            "event.data.t ? args.id == event.data.id : false",
        ],
    );
    all(
        &Verdict::Suppress,
        &[
            "event.data.id != args.id",
            "event.data.id == args.string",
            "event.data.n == args.id || false",
            "!(event.data.id == args.id)",
        ],
    );
}

#[test]
fn equalities_of_a_predicate_are_terms_of_the_index() {
    for (source, hit, miss) in [
        ("event.data.a == args.id", json!({"a": 7}), json!({"a": 8})),
        ("args.int == event.data.a.b && event.data.x > 1", json!({"a": {"b": 5.0}}), json!({"a": {"b": 6}})),
        ("true && (event.data.t && event.data.a == -1.0)", json!({"a": -1}), json!({"a": 1})),
        ("event.data.a == claims.sub", json!({"a": "7"}), json!({"a": 7})),
        ("claims['sub'] == event.data['a']", json!({"a": "7"}), json!({"a": null})),
        ("event.data.a == null", json!({"a": null}), json!({"a": 0})),
        ("event.data.a == false", json!({"a": false}), json!({"a": true})),
        ("event.data == 5u", json!(5), json!({"a": 5})),
        ("event.type == 'orderPlaced' && event.data.a == 1", json!({"a": 1}), json!({"a": 2})),
    ] {
        let filter = predicate(source);
        let (args, claims) = (json!({"id": "7", "int": 5}), json!({"sub": "7"}));
        assert!(finds(&filter, hit.clone(), args.clone(), claims.clone()), "{source} {hit}");
        assert!(!finds(&filter, miss.clone(), args, claims), "{source} {miss}");
    }
    for (source, kind) in [
        ("event.type == args.string", "orderPlaced"),
        ("args.string == event.id", "e1"),
        ("event.source == args.enum", "shop"),
    ] {
        let args = json!({"string": kind, "enum": kind});
        assert!(finds(&predicate(source), json!({}), args, json!({})), "{source}");
        assert!(!finds(&predicate(source), json!({}), json!({"string": "-", "enum": "-"}), json!({})), "{source}");
    }
}

#[test]
fn other_conditions_are_not_terms() {
    for source in [
        "event.data.a == args.id || true",
        "event.data.a != args.id",
        "event.data.a == event.data.b",
        "!(event.data.a == 1)",
    ] {
        let keys = predicate(source).subscription_keys(&object(json!({"id": "1"})), &Map::new());
        assert_eq!(keys, Keys::Terms(Vec::new()), "{source}");
    }
    let keys = predicate("event.data.a == args.other").subscription_keys(&object(json!({"other": [1]})), &Map::new());
    assert_eq!(keys, Keys::Terms(vec![None]), "a list has no key");
    let of = |data: Value| verdict(&predicate("event.data.a == args.other"), data, json!({"other": [1]}), json!({}));
    assert_eq!((of(json!({"a": [1.0]})), of(json!({"a": 1}))), (Verdict::Deliver, Verdict::Suppress));
}

#[test]
fn what_no_event_can_change_is_settled_by_the_subscription() {
    let keys = |source: &str, args: Value| predicate(source).subscription_keys(&object(args), &Map::new());
    assert_eq!(keys("args.boolean == true && event.data.a == 1", json!({"boolean": false})), Keys::Never);
    assert_eq!(keys("args.int > 5 && event.data.a > 1", json!({"int": 5})), Keys::Never);
    assert_eq!(keys("args.int > 5 && event.data.a > 1", json!({"int": 6})), Keys::Terms(Vec::new()));
    assert_eq!(keys("event.data.a > 1 ? false : args.int > 5", json!({"int": 5})), Keys::Terms(Vec::new()));
    assert_eq!(keys("has(event.data.a) || args.int > 5", json!({"int": 5})), Keys::Terms(Vec::new()));
    assert_eq!(
        keys("(event.data.a > 1 && args.int > 5) || args.boolean", json!({"int": 5, "boolean": false})),
        Keys::Never
    );
    assert_eq!(keys("args.int > 5", json!({})), Keys::Terms(Vec::new()), "an error shows with each event");
    assert_eq!(keys("false", json!({})), Keys::Never);
    assert_eq!(keys("true", json!({})), Keys::Terms(Vec::new()));
}

#[test]
fn equalities_alone_leave_nothing_to_cel() {
    for source in [
        "event.data.a == args.id",
        "event.data.a == claims.sub && (event.type == 'x' && args.int == 5)",
        "claims.role == 'vip'",
    ] {
        assert!(format!("{:?}", predicate(source)).contains("predicate: None"), "{source}");
    }
    assert!(format!("{:?}", predicate("event.data.a > 1")).contains("predicate: Some"));
}
