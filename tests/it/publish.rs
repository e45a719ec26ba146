//! Publishing over HTTP: every form, all or nothing, duplicates, and clients that do not read.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::client::{Client, Seen};
use crate::support::eventually;
use crate::support::host::Host;

const ACCEPTED_ONE: &str = r#"{"accepted":1}"#;

fn counted(n: u64) -> Value {
    json!({"channel": "counts", "type": "counted", "data": {"seq": n}})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_publishing_reaches_the_subscriber() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    let cloud = |n: u64| json!({"specversion": "1.0", "id": format!("ce-{n}"), "source": "/test", "type": "counted", "channel": "counts", "data": {"seq": n}});
    let ndjson = format!("{}\n\n{}\n", counted(4), counted(5));
    let bodies: [(&str, String, u64); 6] = [
        ("application/json", counted(1).to_string(), 1),
        ("application/json; charset=utf-8", json!([counted(2), counted(3)]).to_string(), 2),
        ("application/x-ndjson", ndjson, 2),
        ("application/cloudevents+json", cloud(6).to_string(), 1),
        ("application/cloudevents-batch+json", json!([cloud(7), cloud(8)]).to_string(), 2),
        ("application/json", json!([]).to_string(), 0),
    ];
    for (content_type, body, count) in bodies {
        let answer = host.post("/events", &[("content-type", content_type)], body.as_bytes()).await;
        assert_eq!(answer, (202, json!({"accepted": count}).to_string()), "{content_type}");
    }
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "binary-9"),
        ("ce-source", "/test"),
        ("ce-type", "counted"),
        ("ce-channel", "counts"),
    ];
    assert_eq!(host.post("/events", &binary, br#"{"seq": 9}"#).await, (202, ACCEPTED_ONE.to_owned()));
    for n in 1..=9 {
        assert_eq!(client.next("a").await, json!({"data": {"counted": {"seq": n}}}));
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_seen_before_is_acknowledged_and_delivered_once() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    let event = |id: &str, source: &str, n: u64| json!({"channel": "counts", "type": "counted", "id": id, "source": source, "data": {"seq": n}});
    host.publish(&[event("1", "s", 1), event("1", "s", 2)]).await;
    host.publish(&[event("1", "s", 3), event("1", "other", 4), event("2", "s", 5)]).await;
    // The same id on another channel is another event.
    host.publish(&[json!({"channel": "any", "type": "t", "id": "1", "source": "s", "data": 6})]).await;
    for n in [1, 4, 5] {
        assert_eq!(client.next("a").await["data"]["counted"]["seq"], n);
    }
    client.barrier().await;
    let (_, metrics) = host.get("/metrics").await;
    assert!(metrics.contains("\nsubcast_events_duplicate_total 2\n"), "{metrics}");
    assert!(metrics.contains("\nsubcast_events_published_total 4\n"), "{metrics}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_line_is_named_and_nothing_of_its_request_is_published() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    let body = format!("{}\n{}\n{{\"channel\": \n", counted(1), counted(2));
    let (status, answer) = host.post("/events", &[("content-type", "application/x-ndjson")], body.as_bytes()).await;
    assert_eq!(status, 400);
    assert!(answer.contains("line 3"), "{answer}");
    let (status, answer) = host
        .post(
            "/events",
            &[("content-type", "application/json")],
            json!([counted(3), {"channel": "counts"}]).to_string().as_bytes(),
        )
        .await;
    assert_eq!(status, 400);
    assert!(answer.contains("type"), "{answer}");
    // An identity that was refused with its request is not taken for a duplicate afterwards.
    let event = json!({"channel": "counts", "type": "counted", "id": "1", "source": "s", "data": {"seq": 4}});
    let body = format!("{event}\nnot json");
    let answer = host.post("/events", &[("content-type", "application/x-ndjson")], body.as_bytes()).await;
    assert!(answer.0 == 400 && answer.1.contains("line 2"), "{answer:?}");
    host.publish(&[event]).await;
    assert_eq!(client.next("a").await["data"]["counted"]["seq"], 4);
    client.barrier().await;
    host.stop().await;
}

/// A client that subscribes and then does not read: results pile up in the host.
async fn slow(policy: &str) -> (Host, Client, u64) {
    let config = format!("[delivery]\noutbox = {{ messages = 64, bytes = \"1MiB\" }}\nslow_consumer = \"{policy}\"\n");
    let host = Host::start(&["engine"], &config).await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { anything { data } }").await;
    let deliveries = &host.runtime.delivery().metrics().deliveries;
    // Far more than the sockets' buffers hold.
    let text = "x".repeat(64 * 1024);
    let mut published = 0;
    for n in 0..400_u64 {
        host.publish(&[json!({"channel": "any", "type": "t", "data": {"n": n, "text": text}})]).await;
        published += 1;
    }
    eventually("everything is delivered", || deliveries.get() >= published || host.subscriptions() == 0).await;
    (host, client, published)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_closed_with_1013_by_default() {
    let (host, mut client, _) = slow("close").await;
    eventually("its subscription has ended", || host.subscriptions() == 0).await;
    assert_eq!(client.close_code().await, Some(1013));
    // The end of the subscription has its reason.
    let (_, metrics) = host.get("/metrics").await;
    let ended = metrics.lines().find(|line| line.contains("subscriptions_ended") && line.contains("SlowConsumer"));
    assert!(ended.is_some_and(|line| line.ends_with(" 1")), "{ended:?}\n{metrics}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_for_a_slow_client_is_told_and_counted() {
    for policy in ["drop-oldest", "keep-latest"] {
        let (host, mut client, published) = slow(policy).await;
        let (mut received, mut told, mut last) = (0_u64, 0, None);
        while last != Some(published - 1) {
            let Seen::Message(message) = client.seen().await else { panic!("{policy}: closed") };
            received += 1;
            told += message["payload"]["extensions"]["subcast"]["dropped"].as_u64().unwrap_or(0);
            let n = message["payload"]["data"]["anything"]["data"]["n"].as_u64().unwrap();
            assert!(last.is_none_or(|last| last < n), "{policy}: {n} after {last:?}");
            last = Some(n);
        }
        assert!(told > 0, "{policy}: nothing was dropped, so the test shows nothing");
        assert_eq!(received + told, published, "{policy}: every event is received or told as dropped");
        let (_, metrics) = host.get("/metrics").await;
        assert!(metrics.contains(&format!("\nsubcast_dropped_total {told}\n")), "{policy}: {told} told\n{metrics}");
        drop(client);
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_does_not_keep_up_holds_back_its_own_publishers_and_nobody_elses() {
    let host = Arc::new(Host::start(&["swap", "engine"], "").await);
    let mut client = Client::connect(host.address).await;
    client.subscribed("s", "subscription { slow { seq } }").await;
    client.subscribed("c", "subscription { counted { seq } }").await;
    // More than may wait, and they take seconds.
    let slow = |n: u64| json!({"channel": "slow", "type": "slow", "data": {"seq": n, "ms": 20}});
    let events: Vec<_> = (0..2_000).map(slow).collect();
    let publisher = {
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.publish(&events).await })
    };
    let waits = || host.runtime.sandbox().metrics().waiting.get() >= 1_024;
    eventually("more waits than the publisher may leave waiting", waits).await;
    for n in 0..3 {
        host.publish(&[counted(n)]).await;
    }
    assert!(!publisher.is_finished(), "nobody was held back, so the test shows nothing");
    publisher.await.unwrap();
    drop(client);
    Arc::into_inner(host).unwrap().stop().await;
}
