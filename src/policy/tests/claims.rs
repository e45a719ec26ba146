use super::*;

#[track_caller]
fn withheld(source: &str, data: &Value, claims: &Value) {
    let said = verdict(&predicate(source), data.clone(), json!({"id": "7"}), claims.clone());
    assert_ne!(said, Verdict::Deliver, "{source} with {data} and {claims}");
}

#[test]
fn an_equality_with_claims_does_not_hold_for_null_or_missing_values() {
    for source in [
        "event.data.tenant == claims.tenant",
        "claims.tenant == event.data.tenant",
        "event.data['tenant'] == claims['tenant']",
    ] {
        let filter = predicate(source);
        for data in [json!({}), json!({"tenant": null}), json!({"tenant": "t"})] {
            for claims in [json!({}), json!({"tenant": null}), json!({"tenant": "t"})] {
                let equal = data["tenant"] == "t" && claims["tenant"] == "t";
                let expected = if equal { Verdict::Deliver } else { Verdict::Suppress };
                assert_eq!(
                    verdict(&filter, data.clone(), json!({}), claims.clone()),
                    expected,
                    "{source} {data} {claims}"
                );
            }
        }
        for claims in [json!({}), json!({"tenant": null})] {
            assert_eq!(filter.subscription_keys(&Map::new(), &object(claims)), Keys::Never);
        }
    }
}

#[test]
fn claims_that_are_wrong_for_a_fixed_equality_match_no_event() {
    for (source, good) in [
        ("claims.role == 'vip'", json!({"role": "vip"})),
        ("args.id == claims.sub", json!({"sub": 7})),
        ("claims.a == claims.b", json!({"a": [1], "b": [1.0]})),
        ("has(claims.roles) && 'vip' in claims.roles", json!({"roles": ["vip"]})),
    ] {
        let filter = predicate(source);
        let args = json!({"id": "7"});
        assert_eq!(
            filter.subscription_keys(&object(args.clone()), &object(good.clone())),
            Keys::Terms(Vec::new()),
            "{source}"
        );
        assert_eq!(verdict(&filter, json!({}), args.clone(), good), Verdict::Deliver, "{source}");
        assert_eq!(filter.subscription_keys(&object(args.clone()), &Map::new()), Keys::Never, "{source}");
        assert_eq!(verdict(&filter, json!({}), args, json!({})), Verdict::Suppress, "{source}");
    }
}

#[test]
fn null_on_both_sides_opens_nothing_in_any_disguise() {
    for source in [
        "event.data.public || event.data.tenant == claims.tenant",
        "event.data.public || claims.tenant == event.data.tenant",
        "!(event.data.tenant == claims.tenant)",
        "!(event.data.tenant != claims.tenant)",
        "event.data.tenant != claims.tenant",
        "(event.data.tenant == claims.tenant) == true",
        "(event.data.tenant == claims.tenant) == false",
        "event.data.tenant == claims.tenant ? true : true",
        "event.data.tenant == claims['ten' + 'ant'] || false",
        "event.data.tenant == (true ? claims.tenant : 1)",
        "claims.tenant in event.data.tenants",
        "event.data.tenant in [claims.tenant]",
        "!(claims.tenant in event.data.tenants)",
    ] {
        let data = json!({"tenant": null, "tenants": [null], "public": false});
        withheld(source, &data, &json!({"tenant": null}));
        withheld(source, &data, &json!({}));
    }
    let filter = predicate("event.data.public || event.data.tenant == claims.tenant");
    assert_eq!(verdict(&filter, json!({"public": true, "tenant": null}), json!({}), json!({})), Verdict::Deliver);
    assert_eq!(
        verdict(&filter, json!({"public": false, "tenant": 1}), json!({}), json!({"tenant": 1.0})),
        Verdict::Deliver
    );
}

#[test]
fn only_claims_that_the_filter_reads_are_part_of_its_key() {
    let read = |source: &str, claims: Value| predicate(source).claims_read(&object(claims));
    let claims = json!({"a": 1, "b": {"c": "x,y", "d": 2}, "exp": 9});
    assert_eq!(read("event.data.a == 1", claims.clone()), "");
    assert_eq!(read("event.data.a == claims.a", claims.clone()), "1");
    assert_eq!(read("claims.b.c == 'x' && claims.a > 1 && claims.a < 3", claims.clone()), r#"1,"x,y""#);
    assert_eq!(read("claims.b['c'] == 'x'", claims.clone()), r#""x,y""#);
    assert_eq!(read("has(claims.a) && size(claims.b) == 2", claims.clone()), r#"1,{"c":"x,y","d":2}"#);
    assert_eq!(read("claims.b[event.data.k] == 1", claims.clone()), r#"{"c":"x,y","d":2}"#);
    let all = r#"{"a":1,"b":{"c":"x,y","d":2},"exp":9}"#;
    for source in [
        "size(claims) == 1",
        "claims[event.data.k] == 1",
        "'a' in claims",
        "claims.a == 1 && claims['a' + 'b'] == 2",
        "claims == args.other",
    ] {
        assert_eq!(read(source, claims.clone()), all, "{source}");
    }
}

#[test]
fn missing_null_and_obstructed_claims_have_different_keys() {
    let read = |claims: Value| predicate("has(claims.a.b)").claims_read(&object(claims));
    let texts = [json!({}), json!({"a": null}), json!({"a": {}}), json!({"a": {"b": null}}), json!({"a": {"b": "!0"}})]
        .map(read);
    assert_eq!(texts, ["!0", "?1", "!1", "null", "\"!0\""]);
}
