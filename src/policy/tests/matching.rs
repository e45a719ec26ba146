use super::*;

const DELIVER: Verdict = Verdict::Deliver;
const SUPPRESS: Verdict = Verdict::Suppress;

#[track_caller]
fn compare(argument: &str, given: &Value, found: &Value, expected: bool) {
    let filter = matching(argument, "a.b");
    let (data, args) = (json!({"a": {"b": found}}), json!({argument: given}));
    let wanted = if expected { DELIVER } else { SUPPRESS };
    assert_eq!(verdict(&filter, data.clone(), args.clone(), json!({})), wanted, "{argument}: {given} and {found}");
    assert_eq!(finds(&filter, data, args, json!({})), expected, "index, {argument}: {given} and {found}");
}

#[test]
fn ids_compare_by_text() {
    compare("id", &json!("123"), &json!(123), true);
    compare("id", &json!("123"), &json!("123"), true);
    compare("id", &json!("123"), &json!(123.0), true);
    compare("id", &json!("18446744073709551615"), &json!(u64::MAX), true);
    compare("id", &json!(123), &json!("123"), true);
    compare("id", &json!("0123"), &json!(123), false);
    compare("id", &json!("1.5"), &json!(1.5), false);
    compare("id", &json!("true"), &json!(true), false);
    compare("id", &json!("a"), &json!(["a"]), false);
}

#[test]
fn numbers_compare_by_value_and_never_with_text() {
    compare("int", &json!(5), &json!(5), true);
    compare("int", &json!(5), &json!(5.0), true);
    compare("int", &json!(5), &json!("5"), false);
    compare("int", &json!(1), &json!(true), false);
    compare("float", &json!(1.0), &json!(1), true);
    compare("float", &json!(-0.0), &json!(0), true);
    compare("float", &json!(1.5), &json!("1.5"), false);
}

#[test]
fn strings_enums_and_booleans_compare_with_their_like() {
    compare("string", &json!("5"), &json!("5"), true);
    compare("string", &json!("5"), &json!(5), false);
    compare("string", &json!(""), &json!(""), true);
    compare("enum", &json!("ACTIVE"), &json!("ACTIVE"), true);
    compare("enum", &json!("ACTIVE"), &json!("active"), false);
    compare("boolean", &json!(false), &json!(false), true);
    compare("boolean", &json!(true), &json!("true"), false);
    compare("boolean", &json!(false), &json!(0), false);
}

#[test]
fn an_event_without_the_value_does_not_match() {
    for data in [json!({}), json!({"a": null}), json!({"a": {}}), json!({"a": {"b": null}}), json!([1]), json!(null)] {
        let filter = matching("id", "a.b");
        assert_eq!(verdict(&filter, data.clone(), json!({"id": "1"}), json!({})), SUPPRESS, "{data}");
        assert!(!finds(&filter, data, json!({"id": "1"}), json!({})));
    }
}

#[test]
fn an_argument_that_is_null_or_not_given_does_not_restrict() {
    for args in [json!({}), json!({"id": null})] {
        for data in [json!({"a": {"b": 1}}), json!({"a": {"b": null}}), json!({}), json!("text")] {
            let filter = matching("id", "a.b");
            assert_eq!(verdict(&filter, data.clone(), args.clone(), json!({})), DELIVER, "{data}");
            assert!(finds(&filter, data, args.clone(), json!({})));
        }
    }
}

#[test]
fn all_equalities_must_hold() {
    let both = [equality("id", "id"), equality("enum", "kind")];
    let filter = Filter::compile(&both, Some("event.data.n > 1"), &arguments()).unwrap();
    let of = |data: Value, args: Value| verdict(&filter, data, args, json!({}));
    let args = json!({"id": "1", "enum": "A"});
    assert_eq!(of(json!({"id": 1, "kind": "A", "n": 2}), args.clone()), DELIVER);
    assert_eq!(of(json!({"id": 1, "kind": "B", "n": 2}), args.clone()), SUPPRESS);
    assert_eq!(of(json!({"id": 2, "kind": "A", "n": 2}), args.clone()), SUPPRESS);
    assert_eq!(of(json!({"id": 1, "kind": "A", "n": 1}), args), SUPPRESS);
    assert_eq!(of(json!({"kind": "A", "n": 2}), json!({"enum": "A"})), DELIVER);
}

#[test]
fn an_index_keeps_32_terms_and_evaluation_the_rest() {
    let many: Vec<_> = (0..40).map(|n| equality("id", &format!("a{n}"))).collect();
    let filter = Filter::compile(&many, None, &arguments()).unwrap();
    let args = json!({"id": "1"});
    let Keys::Terms(keys) = filter.subscription_keys(&object(args.clone()), &Map::new()) else { panic!("never") };
    assert_eq!(keys.len(), 32);
    let mut data: Map<String, Value> = (0..40).map(|n| (format!("a{n}"), json!(1))).collect();
    assert_eq!(verdict(&filter, Value::Object(data.clone()), args.clone(), json!({})), DELIVER);
    data["a39"] = json!(2);
    assert!(finds(&filter, Value::Object(data.clone()), args.clone(), json!({})));
    assert_eq!(verdict(&filter, Value::Object(data.clone()), args, json!({})), SUPPRESS);
    assert_eq!(filter.event_key(32, &event(Value::Object(data))), None);
}

#[test]
fn a_filter_without_conditions_delivers_everything() {
    let filter = Filter::compile(&[], None, &[]).unwrap();
    assert_eq!(verdict(&filter, json!(null), json!({}), json!({})), DELIVER);
    assert_eq!(filter.subscription_keys(&Map::new(), &Map::new()), Keys::Terms(Vec::new()));
    assert_eq!(filter.claims_read(&object(json!({"sub": "a"}))), "");
}
