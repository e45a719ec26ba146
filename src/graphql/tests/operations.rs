//! Documents, operations and their inputs.

use std::fmt::Write;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::{Limits, Prepared};
use super::{arguments, none, plan, plan_with, prepare, refusal, schema};

#[test]
fn errors_have_the_standard_shape() {
    let errors = prepare("subscription {\n  user { nothing } }", json!({})).unwrap_err();
    let json = serde_json::to_value(&errors).unwrap();
    assert_eq!(
        json,
        json!([{
            "message": "type `User` does not have a field `nothing`",
            "locations": [{"line": 2, "column": 10}],
        }])
    );
}

#[test]
fn errors_of_a_document_are_capped_and_counted() {
    let errors = prepare(&format!("subscription {{ user {{ {} }} }}", "x ".repeat(500)), json!({})).unwrap_err();
    assert_eq!(errors.len(), 21);
    assert_eq!(errors[20].message, "480 more errors were left out");
}

#[test]
fn operation_is_chosen_by_name() {
    let document = schema().parse("subscription A { text } subscription B { number }", &Limits::default()).unwrap();
    assert!(
        matches!(document.prepare(Some("B"), &none()), Ok(Prepared::Subscription(plan)) if &*plan.field == "number")
    );
    assert!(document.prepare(None, &none()).is_err());
    assert!(document.prepare(Some("C"), &none()).is_err());
}

#[test]
fn queries_and_mutations_of_fields_are_refused_clearly() {
    assert!(refusal("{ _empty }", json!({})).starts_with("Subcast serves subscriptions"));
    assert!(refusal("query { ...F } fragment F on Query { __typename _empty }", json!({})).contains("`_empty`"));
}

#[test]
fn introspection_is_answered() {
    let query = "query Q($n: String!, $no: Boolean!) { __typename t: __type(name: $n) { kind name @skip(if: $no) } }";
    let Ok(Prepared::Response(response)) = prepare(query, json!({"n": "User", "no": false})) else { panic!() };
    assert_eq!(response, r#"{"data":{"__typename":"Query","t":{"kind":"OBJECT","name":"User"}}}"#);
}

#[test]
fn abusive_introspection_is_refused() {
    let mut many = String::from("{");
    for i in 0..1_200 {
        let _ = write!(many, "a{i}:__typename ");
    }
    assert!(refusal(&(many + "}"), json!({})).contains("more than 1000 fields"));
    let deep = format!("{{ __type(name: \"User\") {{ {} name {} }} }}", "ofType {".repeat(70), "}".repeat(70));
    assert!(refusal(&deep, json!({})).contains("levels"));
    let lists = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    assert_eq!(refusal(lists, json!({})), "Maximum introspection depth exceeded");
}

#[test]
fn arguments_are_canonical() {
    assert_eq!(
        arguments("subscription { user(limit: 2, id: 7) { id } }", json!({})),
        r#"{"id":"7","kind":"MEMBER","limit":2}"#
    );
    let same = arguments("subscription($l: Int, $i: ID) { user(id: $i, limit: $l) { id } }", json!({"i": 7, "l": 2.0}));
    assert_eq!(same, r#"{"id":"7","kind":"MEMBER","limit":2}"#);
    let floats = |query| arguments(query, json!({}));
    assert_eq!(floats("subscription { user(ratio: 1) { id } }"), floats("subscription { user(ratio: 1.0) { id } }"));
}

#[test]
fn ids_become_strings_inside_lists_and_input_objects() {
    let query = "subscription($f: Filter, $ids: [ID!]) { user(filter: $f, ids: $ids) { id } }";
    let given = json!({"f": {"id": 1, "nested": {"id": 2, "tags": "x"}}, "ids": 3, "unknown": 4});
    assert_eq!(
        arguments(query, given),
        r#"{"filter":{"id":"1","nested":{"id":"2","since":1.0,"tags":["x"]},"since":1.0,"tags":["a"]},"ids":["3"],"kind":"MEMBER"}"#
    );
}

#[test]
fn long_ids_keep_their_digits() {
    let query = "subscription { user(id: 123456789012345678901234567890) { id } }";
    assert!(arguments(query, json!({})).contains(r#""id":"123456789012345678901234567890""#));
}

#[test]
fn numbers_in_variables_keep_their_digits_or_are_refused() {
    let read = |number: &str| serde_json::from_str::<serde_json::Value>(&format!("{{\"v\":{number}}}")).unwrap();
    let of = |argument: &str, ty: &str, number: &str| {
        arguments(&format!("subscription($v: {ty}) {{ user({argument}: $v) {{ id }} }}"), read(number))
    };
    for (number, id) in [
        ("18446744073709551617", "18446744073709551617"),
        ("18446744073709551617.0", "18446744073709551617"),
        ("1e2", "100"),
        ("-0.0", "0"),
    ] {
        assert!(of("id", "ID", number).contains(&format!("\"id\":\"{id}\"")), "{number}");
    }
    assert!(of("blob", "Blob", "[18446744073709551617]").contains("\"blob\":[18446744073709551617]"));
    assert!(of("limit", "Int", "1e2").contains("\"limit\":100"));
    assert_eq!(of("ratio", "Float", "100"), of("ratio", "Float", "1e2"));
    assert_eq!(of("ratio", "Float", "18446744073709551616"), of("ratio", "Float", "1.8446744073709552e19"));
    for (argument, ty, number) in [
        ("ratio", "Float", "9007199254740993"),
        ("ratio", "Float", "18446744073709551617"),
        ("ratio", "Float", "18446744073709551617.0"),
        ("id", "ID", "1.5"),
        ("limit", "Int", "18446744073709551617"),
    ] {
        let query = format!("subscription($v: {ty}) {{ user({argument}: $v) {{ id }} }}");
        let said = refusal(&query, read(number));
        assert!(said.contains("cannot represent"), "{number}: {said}");
        assert!(ty != "Float" || said.contains("no double holds the number"), "{number}: {said}");
    }
    assert!(refusal("subscription { user(blob: 1e400) { id } }", json!({})).contains("too large"));
    assert!(refusal("subscription { user(ratio: 9007199254740993) { id } }", json!({})).contains("no double holds"));
}

#[test]
fn absent_and_null_differ() {
    let query = "subscription($id: ID, $tags: [String!]) { user(id: $id, filter: {id: 1, tags: $tags}) { id } }";
    assert_eq!(
        arguments(query, json!({"id": null})),
        r#"{"filter":{"id":"1","since":1.0,"tags":["a"]},"id":null,"kind":"MEMBER"}"#
    );
}

#[test]
fn wrong_variables_are_refused_with_their_place() {
    let query = "subscription($f: Filter!) { user(filter: $f) { id } }";
    assert_eq!(refusal(query, json!({})), "Variable \"$f\" of required type \"Filter!\" was not provided.");
    assert!(refusal(query, json!({"f": null})).contains("must not be null"));
    let nested = refusal(query, json!({"f": {"id": 1, "nested": {"id": 1, "tags": ["a", 5]}}}));
    assert!(nested.contains("at \"f.nested.tags[1]\"; String cannot represent"), "{nested}");
    assert!(refusal(query, json!({"f": {"id": 1, "no": 1}})).contains("Field \"no\" is not defined"));
    assert!(refusal(query, json!({"f": {}})).contains("Field \"id\" of required type"));
    for (ty, value) in
        [("Int", json!(2_147_483_648_i64)), ("Int", json!(1.5)), ("ID", json!(true)), ("Kind", json!("X"))]
    {
        let name = match ty {
            "Int" => "limit",
            "ID" => "id",
            _ => "kind",
        };
        refusal(&format!("subscription($v: {ty}) {{ user({name}: $v) {{ id }} }}"), json!({"v": value}));
    }
}

#[test]
fn inputs_are_nested_64_levels_at_most() {
    let nest = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let query = "subscription($b: Blob) { user(blob: $b) { id } }";
    plan_with(query, json!({"b": nest(64)}));
    assert!(refusal(query, json!({"b": nest(65)})).contains("nested deeper than 64 levels"));
    let filter = (0..70).fold(json!({"id": 1}), |inner, _| json!({"id": 1, "nested": inner}));
    refusal("subscription($f: Filter) { user(filter: $f) { id } }", json!({"f": filter}));
}

#[test]
fn multiplying_fragments_are_refused_at_once() {
    let mut query = String::from("subscription { user { ...F0 } } fragment F25 on User { id }");
    for i in 0..25 {
        let _ = write!(query, " fragment F{i} on User {{ a{i}: best {{ ...F{0} }} b{i}: best {{ ...F{0} }} }}", i + 1);
    }
    let started = Instant::now();
    let limits = Limits { depth: 100, ..Limits::default() };
    let errors = schema().parse(&query, &limits).unwrap().prepare(None, &none()).unwrap_err();
    assert!(errors[0].message.contains("more than 5000 fields"), "{errors:?}");
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[test]
fn nesting_is_limited_and_never_overflows_the_stack() {
    let nested =
        |levels: usize| format!("subscription {{ user {{ {} id {} }} }}", "best {".repeat(levels), "}".repeat(levels));
    plan(&nested(10));
    assert_eq!(refusal(&nested(11), json!({})), "the operation is nested deeper than 12 levels");
    for levels in [126, 600, 100_000] {
        refusal(&nested(levels), json!({}));
    }
    let mut chain = String::from("subscription { user { ...F0 } } fragment F40 on User { id }");
    for i in 0..40 {
        let (open, close) = ("best { ... { ".repeat(20), "} }".repeat(20));
        let _ = write!(chain, " fragment F{i} on User {{ {open} ...F{} {close} }}", i + 1);
    }
    refusal(&chain, json!({}));
}

#[test]
fn long_documents_are_refused() {
    assert!(refusal(&" ".repeat(300_000), json!({})).contains("longer than"));
    refusal(&format!("subscription {{ user {{ {} }} }}", "id ".repeat(20_000)), json!({}));
}

#[test]
fn selections_that_select_the_same_are_equal() {
    let plain = plan("subscription { user { id name best { id } } }");
    let other = plan_with(
        "subscription Named($yes: Boolean!) { ...Root }
         fragment Root on Subscription { user { ... on Node { id } ...Name best @include(if: $yes) { id } kind @skip(if: $yes) } }
         fragment Name on User { name best { id } }",
        json!({"yes": true}),
    );
    assert_eq!(plain.selection, other.selection);
    let hash = |plan: &super::Plan| BuildHasherDefault::<DefaultHasher>::default().hash_one(&plan.selection);
    assert_eq!(hash(&plain), hash(&other));
    for different in
        ["user { name id best { id } }", "user { id name best { i: id } }", "u: user { id name best { id } }"]
    {
        assert_ne!(plain.selection, plan(&format!("subscription {{ {different} }}")).selection);
    }
}

#[test]
fn schemas_documents_and_selections_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<super::super::Schema>();
    shared::<super::super::Document>();
    shared::<super::super::Selection>();
}
