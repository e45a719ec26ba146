//! Resolvers that misbehave: the host lives, others are served, the client gets one error, the log says what happened.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Seen};
use crate::support::eventually;
use crate::support::host::Host;
use crate::support::process::Process;

/// Well above what a healthy event takes on a busy machine, and below what any hostile call is given.
const ON_TIME: Duration = Duration::from_millis(800);

fn is_opaque(errors: &Value) -> bool {
    let error = &errors[0];
    errors.as_array().is_some_and(|errors| errors.len() == 1)
        && error["message"] == "Internal server error"
        && error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        && error["extensions"]["id"].as_str().is_some_and(|id| id.len() == 16)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_call_costs_its_own_event_one_opaque_error_and_nobody_else_anything() {
    let host = Host::start(&["engine"], "").await;
    let mut healthy = Client::connect(host.address).await;
    healthy.subscribed("h", "subscription { counted { seq } }").await;
    let mut seq = 0;
    for field in ["raises", "exits", "recurses", "allocates", "floods", "prints", "loops", "sleeps"] {
        let mut client = Client::connect(host.address).await;
        client.subscribed("x", &format!("subscription {{ {field} {{ seq }} }}")).await;
        let channel = if field == "loops" { "counts" } else { "hostile" };
        // Twice: the subscription outlives the first error.
        for _ in 0..2 {
            host.emit(channel, field, json!({"seq": 1, "secret": "the event's secret"})).await;
            for _ in 0..3 {
                seq += 1;
                let start = Instant::now();
                host.emit("counts", "counted", json!({"seq": seq})).await;
                assert_eq!(healthy.next("h").await["data"]["counted"]["seq"], seq, "beside {field}");
                assert!(start.elapsed() < ON_TIME, "{:?} beside {field}", start.elapsed());
            }
            let answer = client.next("x").await;
            assert_eq!(answer["data"], Value::Null, "{field}");
            assert!(is_opaque(&answer["errors"]), "{field}: {answer}");
            assert_eq!(answer["errors"][0]["path"], json!([field]));
            assert!(!answer.to_string().contains("secret"), "{answer}");
            // One error, not two. What `loops` gets of `counted` events is its own.
            if field == "loops" {
                break;
            }
            client.barrier().await;
        }
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_meant_for_the_client_reaches_it() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("x", "subscription { refuses { seq } }").await;
    host.emit("hostile", "refuses", json!({})).await;
    let expected = json!({"data": {"refuses": null}, "errors": [
        {"message": "not today", "path": ["refuses"], "extensions": {"code": "NOT_TODAY", "hint": 7}}
    ]});
    assert_eq!(client.next("x").await, expected);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_loops_on_every_event_does_not_hold_back_its_neighbour() {
    const EVENTS: u64 = 200;
    let host = Host::start(&["engine"], "").await;
    let mut looping = Client::connect(host.address).await;
    looping.subscribed("l", "subscription { loops { seq } }").await;
    let mut healthy = Client::connect(host.address).await;
    healthy.subscribed("h", "subscription { counted { seq } }").await;
    let start = Instant::now();
    for n in 1..=EVENTS {
        // Each event reaches both fields.
        host.emit("counts", "counted", json!({"seq": n})).await;
        assert_eq!(healthy.next("h").await["data"]["counted"]["seq"], n);
    }
    // One after the other, the looping calls would take 200 × 100 ms.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let errors = looping.next("l").await["errors"].clone();
    assert!(is_opaque(&errors), "{errors}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_batch_only_the_poisonous_event_fails() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("p", "subscription { picky { seq } }").await;
    let events = |range: std::ops::RangeInclusive<u64>| -> Vec<Value> {
        range.map(|n| json!({"channel": "counts", "type": "counted", "data": {"seq": n}})).collect()
    };
    // The cost of the field is known after this one; from then on what waits goes as a batch.
    host.publish(&events(100..=100)).await;
    assert_eq!(client.next("p").await["data"]["picky"]["seq"], 100);
    host.publish(&events(1..=10)).await;
    for n in [2, 4, 6, 8, 10] {
        let answer = client.next("p").await;
        if n == 6 {
            assert!(is_opaque(&answer["errors"]), "{answer}");
        } else {
            assert_eq!(answer, json!({"data": {"picky": {"seq": n}}}));
        }
    }
    client.barrier().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_happened_under_the_id_that_the_client_got() {
    let host = Process::serve("engine").await;
    let mut client = Client::connect(host.address).await;
    client.subscribe("r", "subscription { raises { seq } }").await;
    client.subscribe("p", "subscription { prints { seq } }").await;
    client.subscribed("l", "subscription { loops { seq } }").await;
    host.emit("hostile", "raises", json!({})).await;
    host.emit("hostile", "prints", json!({})).await;
    host.emit("counts", "loops", json!({})).await;
    for _ in 0..3 {
        let Seen::Message(message) = client.seen().await else { panic!("closed") };
        let id = message["payload"]["errors"][0]["extensions"]["id"].as_str().unwrap().to_owned();
        let expected = match message["id"].as_str().unwrap() {
            "r" => "ValueError: a secret of the resolver",
            _ => "more than its 100ms of CPU time",
        };
        eventually("the log has the error", || host.log().contains(&id)).await;
        let log = host.log();
        let line = log.lines().find(|line| line.contains(&id)).unwrap();
        assert!(line.contains(expected) && line.contains("resolvers.py"), "{line}");
    }
    // A gigabyte was on its way; the log got some 64 KiB of it, tagged.
    let log = host.log();
    assert!(log.len() < 1 << 20, "{} bytes of log", log.len());
    assert!(log.lines().any(|line| line.contains("subcast::guest") && line.contains("prints")));
    assert_eq!(host.terminate().await, Some(0));
}
