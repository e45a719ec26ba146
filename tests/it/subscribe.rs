//! What subscribers get: exactly what they selected, of exactly the events that are for them.

use serde_json::json;

use crate::support::client::{Client, Seen};
use crate::support::eventually;
use crate::support::host::Host;

const JWT: &str = "[auth]\njwt = { algorithms = [\"HS256\"], secret_env = \"SUBCAST_TEST_SECRET\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_receives_exactly_the_fields_it_selected_in_its_order() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { u: userUpdated { email ...F id: id } } fragment F on User { name }").await;
    host.emit("users", "userUpdated", json!({"id": 7, "name": "Alice", "email": null, "secret": 1})).await;
    let Seen::Message(message) = client.seen().await else { panic!("closed") };
    // As text: the order of keys is part of the answer.
    assert_eq!(message["payload"].to_string().len(), r#"{"data":{"u":{"email":null,"name":"Alice","id":"7"}}}"#.len());
    assert_eq!(message["payload"], json!({"data": {"u": {"email": null, "name": "Alice", "id": "7"}}}));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_only_those_whose_arguments_match() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribe("one", r#"subscription { userUpdated(id: "1") { id } }"#).await;
    client.subscribe("number", "subscription { userUpdated(id: 2) { id } }").await;
    client.subscribed("all", "subscription { userUpdated { id } }").await;
    host.emit("users", "userUpdated", json!({"id": "1", "name": "A"})).await;
    host.emit("users", "userUpdated", json!({"id": 2, "name": "B"})).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let message = client.message().await;
        seen.push((
            message["id"].as_str().unwrap().to_owned(),
            message["payload"]["data"]["userUpdated"]["id"].clone(),
        ));
    }
    seen.sort_by_key(|(id, value)| (id.clone(), value.to_string()));
    assert_eq!(
        seen,
        [
            ("all".into(), json!("1")),
            ("all".into(), json!("2")),
            ("number".into(), json!("2")),
            ("one".into(), json!("1"))
        ]
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_types_and_channel_templates_select() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribe("t", "subscription { userTouched { id } }").await;
    client.subscribe("o", r#"subscription { orderPlaced(order_id: "a:b") { id } }"#).await;
    client.subscribed("x", "subscription { anything { type channel data } }").await;
    host.emit("users", "userDeleted", json!({"id": 1, "name": "A"})).await;
    host.emit("orders:a:b", "orderPlaced", json!({"id": "wrong", "total": 1})).await;
    host.emit("users", "userTouched", json!({"id": 2, "name": "A"})).await;
    assert_eq!(client.next("t").await, json!({"data": {"userTouched": {"id": "2"}}}));
    host.emit("orders:a%3Ab", "orderPlaced", json!({"id": "right", "total": 1})).await;
    assert_eq!(client.next("o").await, json!({"data": {"orderPlaced": {"id": "right"}}}));
    host.emit("any", "whatever", json!([1, {"z": 1, "a": 2}])).await;
    assert_eq!(
        client.next("x").await,
        json!({"data": {"anything": {"type": "whatever", "channel": "any", "data": [1, {"z": 1, "a": 2}]}}})
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_predicate_is_evaluated_before_any_resolver() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("b", r#"subscription { bigOrder(min_total: 100, region: "eu") { total } }"#).await;
    let before = host.runtime.delivery().metrics().invocations.get();
    host.publish(&[
        json!({"channel": "orders", "type": "bigOrder", "data": {"id": 1, "total": 50, "region": "eu"}}),
        json!({"channel": "orders", "type": "bigOrder", "data": {"id": 2, "total": 500, "region": "us"}}),
        json!({"channel": "orders", "type": "bigOrder", "data": {"id": 3, "region": "eu"}}),
        json!({"channel": "orders", "type": "bigOrder", "data": {"id": 4, "total": 500, "region": "eu"}}),
    ])
    .await;
    assert_eq!(client.next("b").await, json!({"data": {"bigOrder": {"total": 500}}}));
    assert_eq!(host.runtime.delivery().metrics().invocations.get() - before, 1);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_with_context_sees_who_asks_and_claims_select_without_it() {
    // SAFETY of the environment: set by the test runner's process only once, before hosts read it.
    let secret = "a secret of at least 32 bytes .....";
    let host = Host::start_with_secret(&["engine"], JWT, secret).await;
    let token = |claims: &serde_json::Value| {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        format!("Bearer {}", jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap())
    };
    let alice = json!({"authorization": token(&json!({"sub": "alice", "role": "vip", "exp": 4_000_000_000_u64}))});
    let bob = json!({"authorization": token(&json!({"sub": "bob", "exp": 4_000_000_000_u64}))});
    let mut alice = Client::connect_with(host.address, alice).await;
    let mut bob = Client::connect_with(host.address, bob).await;
    for client in [&mut alice, &mut bob] {
        client.subscribe("v", "subscription { vip { id } }").await;
        client.subscribed("m", "subscription { mine { subject claims } }").await;
    }
    host.emit("users", "userUpdated", json!({"id": 1, "name": "A"})).await;
    // One after the other: two channels have no order between them.
    assert_eq!(alice.next("v").await, json!({"data": {"vip": {"id": "1"}}}));
    host.emit("mine", "mine", json!({})).await;
    assert_eq!(alice.next("m").await["data"]["mine"]["subject"], "alice");
    let mine = bob.next("m").await;
    assert_eq!(mine["data"]["mine"], json!({"subject": "bob", "claims": {"sub": "bob", "exp": 4_000_000_000_u64}}));
    bob.barrier().await;

    let mut refused = Client::open(host.address).await;
    refused.send(json!({"type": "connection_init", "payload": {"authorization": "Bearer forged"}})).await;
    assert_eq!(refused.close_code().await, Some(4403));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abstract_types_are_selected_by_typename() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client
        .subscribed("s", "subscription { searched { __typename ... on User { name } ... on Order { total } } }")
        .await;
    let results = json!([{"__typename": "User", "id": 1, "name": "A"}, {"__typename": "Order", "id": 2, "total": 3}]);
    host.emit("search", "searched", json!({"results": results})).await;
    assert_eq!(
        client.next("s").await,
        json!({"data": {"searched": [{"__typename": "User", "name": "A"}, {"__typename": "Order", "total": 3}]}})
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_sends_nothing_and_completed_ends_the_stream() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("e", "subscription { ending { seq } }").await;
    let events: Vec<_> = (1..=4).map(|n| json!({"channel": "counts", "type": "counted", "data": {"seq": n}})).collect();
    host.publish(&events).await;
    for n in 1..=3 {
        assert_eq!(client.next("e").await, json!({"data": {"ending": {"seq": n}}}));
    }
    assert_eq!(client.message().await, json!({"id": "e", "type": "complete"}));
    eventually("the subscription leaves", || host.subscriptions() == 0).await;

    client.subscribed("p", "subscription { picky { seq } }").await;
    host.publish(&events).await;
    for n in [2, 4] {
        assert_eq!(client.next("p").await, json!({"data": {"picky": {"seq": n}}}));
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_answered_over_both_transports_and_others_are_refused_clearly() {
    let host = Host::start(&["engine"], "").await;
    let body = json!({"query": "{ __typename __schema { subscriptionType { name } } }"}).to_string();
    let (status, answer) = host.post("/graphql", &[("content-type", "application/json")], body.as_bytes()).await;
    let expected = json!({"data": {"__typename": "Query", "__schema": {"subscriptionType": {"name": "Subscription"}}}});
    assert_eq!((status, serde_json::from_str::<serde_json::Value>(&answer).unwrap()), (200, expected));

    let mut client = Client::connect(host.address).await;
    client.subscribe("q", "{ __typename }").await;
    assert_eq!(client.next("q").await, json!({"data": {"__typename": "Query"}}));
    assert_eq!(client.message().await, json!({"id": "q", "type": "complete"}));
    client.subscribe("w", "subscription { userUpdated { nothing } }").await;
    let refused = client.message().await;
    assert_eq!((&refused["id"], &refused["type"]), (&json!("w"), &json!("error")));
    assert_eq!(refused["payload"][0]["locations"], json!([{"line": 1, "column": 30}]));
    client.barrier().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_closes_with_1012_and_ends_every_subscription() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    let runtime = std::sync::Arc::clone(&host.runtime);
    let (drained, code) = tokio::join!(runtime.drain(), client.close_code());
    assert!(drained);
    assert_eq!(code, Some(1012));
    assert!(runtime.services().registry.is_empty());
}
