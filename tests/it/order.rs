//! Many events to many subscriptions: each once, in order, judged at the clients.

use serde_json::json;

use crate::support::checker::check;
use crate::support::client::Client;
use crate::support::host::Host;

const EVENTS: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_subscription_gets_every_event_once_and_in_order() {
    let host = Host::start(&["engine"], "[delivery]\noutbox = { messages = 100000, bytes = \"64MiB\" }\n").await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(host.address).await;
        for operation in 0..5 {
            client.subscribe(&operation.to_string(), "subscription { counted { seq } }").await;
        }
        client.barrier().await;
        readers.push(tokio::spawn(async move {
            let mut received = vec![Vec::new(); 5];
            for _ in 0..EVENTS * 5 {
                let message = client.message().await;
                let operation: usize = message["id"].as_str().unwrap().parse().unwrap();
                received[operation].push(message["payload"]["data"]["counted"]["seq"].as_u64().unwrap());
            }
            client.barrier().await;
            received
        }));
    }
    let numbers: Vec<u64> = (1..=EVENTS).collect();
    for batch in numbers.chunks(37) {
        let events: Vec<_> =
            batch.iter().map(|n| json!({"channel": "counts", "type": "counted", "data": {"seq": n}})).collect();
        host.publish(&events).await;
    }
    for reader in readers {
        for received in reader.await.unwrap() {
            assert_eq!(check(&numbers, &received), []);
        }
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_gets_only_events_published_after_it() {
    let host = Host::start(&["engine"], "").await;
    let mut early = Client::connect(host.address).await;
    early.subscribed("a", "subscription { counted { seq } }").await;
    host.emit("counts", "counted", json!({"seq": 1})).await;
    let mut late = Client::connect(host.address).await;
    late.subscribed("b", "subscription { counted { seq } }").await;
    host.emit("counts", "counted", json!({"seq": 2})).await;
    assert_eq!(early.next("a").await["data"]["counted"]["seq"], 1);
    assert_eq!(early.next("a").await["data"]["counted"]["seq"], 2);
    assert_eq!(late.next("b").await["data"]["counted"]["seq"], 2);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_complete_and_the_id_is_free_again() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    let events: Vec<_> =
        (1..=50).map(|n| json!({"channel": "counts", "type": "counted", "data": {"seq": n}})).collect();
    host.publish(&events).await;
    client.next("a").await;
    client.send(json!({"id": "a", "type": "complete"})).await;
    client
        .send(json!({"id": "a", "type": "subscribe", "payload": {"query": "subscription { again: counted { seq } }"}}))
        .await;
    client.send(json!({"type": "ping", "payload": {"n": 1}})).await;
    // Results that were on their way when `complete` was sent may still arrive before the pong, never after.
    while client.message().await["type"] != "pong" {}
    host.emit("counts", "counted", json!({"seq": 99})).await;
    assert_eq!(client.next("a").await, json!({"data": {"again": {"seq": 99}}}));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_keep_their_place_among_small_ones() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribe("ids", "subscription { searched { ... on User { id } } }").await;
    client.subscribed("names", "subscription { searched { ... on User { id name } } }").await;
    // 200 KB of JSON every second time: those are projected elsewhere.
    let count = |n: usize| if n.is_multiple_of(2) { 1 } else { 4_000 };
    let result = |n: usize| json!({"__typename": "User", "id": n.to_string(), "name": "n".repeat(20)});
    for n in 0..10 {
        let results: Vec<_> = (0..count(n)).map(|_| result(n)).collect();
        host.emit("search", "searched", json!({"results": results})).await;
    }
    let mut seen = std::collections::HashMap::<String, Vec<(usize, usize)>>::new();
    for _ in 0..20 {
        let message = client.message().await;
        let results = message["payload"]["data"]["searched"].as_array().unwrap().clone();
        let number = results[0]["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(results[0].as_object().unwrap().len(), if message["id"] == "ids" { 1 } else { 2 });
        seen.entry(message["id"].as_str().unwrap().to_owned()).or_default().push((number, results.len()));
    }
    let expected: Vec<_> = (0..10).map(|n| (n, count(n))).collect();
    assert_eq!(seen["ids"], expected);
    assert_eq!(seen["names"], expected);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_reaches_all_who_selected_it_differently() {
    const MANY: usize = 40;
    let host = Host::start(&["engine"], "[delivery]\noutbox = { messages = 1000, bytes = \"64MiB\" }\n").await;
    let mut client = Client::connect(host.address).await;
    for n in 0..MANY {
        let selection = format!("{{ searched {{ ... on User {{ id{n}: id name }} }} }}");
        client.subscribe(&n.to_string(), &format!("subscription {selection}")).await;
    }
    client.barrier().await;
    // 200 KB, and 8 MB of results: several turns. Then a small one, which must come after it for everyone.
    let result = json!({"__typename": "User", "id": "1", "name": "n".repeat(20)});
    for count in [4_000, 1] {
        host.emit("search", "searched", json!({"results": vec![&result; count]})).await;
    }
    let mut seen = vec![Vec::new(); MANY];
    for _ in 0..2 * MANY {
        let message = client.message().await;
        let n: usize = message["id"].as_str().unwrap().parse().unwrap();
        let results = message["payload"]["data"]["searched"].as_array().unwrap();
        assert_eq!(results[results.len() - 1], json!({(format!("id{n}")): "1", "name": "n".repeat(20)}));
        seen[n].push(results.len());
    }
    assert!(seen.iter().all(|seen| *seen == [4_000, 1]), "{seen:?}");
    host.stop().await;
}
