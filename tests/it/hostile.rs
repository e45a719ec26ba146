//! Resolvers that misbehave: the host lives, others are served, the client gets one error, the log says what happened.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::host::Host;
use crate::support::process::Process;
use crate::support::sandbox::metric;
use crate::support::{HOSTILE_WALL, ON_TIME, eventually, guests};

fn is_opaque(errors: &Value) -> bool {
    let error = &errors[0];
    errors.as_array().is_some_and(|errors| errors.len() == 1)
        && error["message"] == "Internal server error"
        && error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
        && error["extensions"]["id"].as_str().is_some_and(|id| id.len() == 16)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_call_costs_its_own_event_one_opaque_error_and_nobody_else_anything() {
    let host = Host::start(&["engine"], &guests::table("engine", HOSTILE_WALL).await).await;
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
            for private in ["secret", "Error:", "Traceback", "resolvers.py", "CPU", "memory"] {
                assert!(!answer.to_string().contains(private), "{private} in {answer}");
            }
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
async fn healthy_events_are_served_while_a_hostile_call_is_still_running() {
    // More than a healthy event may take, so that nobody can wait for the end of the call and be on time.
    let lines = format!("cpu = \"5s\"\n{HOSTILE_WALL}");
    let host = Host::start(&["engine"], &guests::table("engine", &lines).await).await;
    let mut healthy = Client::connect(host.address).await;
    healthy.subscribed("h", "subscription { userUpdated { id } }").await;
    let mut number = 0_u64;
    for (field, channel, at_least) in [("loops", "counts", 5), ("sleeps", "hostile", 10)] {
        let mut client = Client::connect(host.address).await;
        client.subscribed("x", &format!("subscription {{ {field} {{ seq }} }}")).await;
        let start = Instant::now();
        host.emit(channel, field, json!({})).await;
        while start.elapsed() < Duration::from_secs(1) {
            number += 1;
            let sent = Instant::now();
            host.emit("users", "userUpdated", json!({"id": number, "name": "A"})).await;
            assert_eq!(healthy.next("h").await["data"]["userUpdated"]["id"], json!(number.to_string()));
            assert!(sent.elapsed() < ON_TIME, "{:?} beside {field}", sent.elapsed());
        }
        assert!(is_opaque(&client.next("x").await["errors"]), "{field}");
        // It was given all of its time, of which the healthy events needed little.
        assert!(start.elapsed() >= Duration::from_secs(at_least), "{field}: {:?}", start.elapsed());
    }
    drop(healthy);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_loops_on_every_event_does_not_hold_back_its_neighbour() {
    const EVENTS: u64 = 200;
    let lines = "cpu = \"1s\"\nwall = \"60s\"";
    let host = Host::start(&["engine"], &guests::table("engine", lines).await).await;
    let stopped = || metric(host.runtime.sandbox(), "calls_stopped_total", "");
    let mut looping = Client::connect(host.address).await;
    looping.subscribed("l", "subscription { loops { seq } }").await;
    let mut healthy = Client::connect(host.address).await;
    healthy.subscribed("h", "subscription { counted { seq } }").await;
    let count = |n| json!({"channel": "counts", "type": "counted", "data": {"seq": n}});
    // Half of them one by one, each reaching both fields; then a burst.
    for n in 1..=EVENTS / 2 {
        host.publish(&[count(n)]).await;
        assert_eq!(healthy.next("h").await["data"]["counted"]["seq"], n);
        if n == 10 {
            // Behind the looping calls it would have waited for the end of nine. Each computes for a second.
            assert!(stopped() < 5, "{} looping calls have ended", stopped());
        }
    }
    host.publish(&(EVENTS / 2 + 1..=EVENTS).map(count).collect::<Vec<_>>()).await;
    for n in EVENTS / 2 + 1..=EVENTS {
        assert_eq!(healthy.next("h").await["data"]["counted"]["seq"], n);
    }
    // Each of its events is answered once, too: by an error, or by word that the field is switched off.
    assert!(is_opaque(&looping.next("l").await["errors"]));
    for _ in 1..EVENTS {
        let answer = looping.next("l").await;
        assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer}");
    }
    looping.barrier().await;
    drop((looping, healthy));
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
    let host = Process::serve_with(&[("engine", HOSTILE_WALL)]).await;
    let mut client = Client::connect(host.address).await;
    for (field, happened) in [
        ("raises", "ValueError: a secret of the resolver"),
        ("exits", "SystemExit"),
        ("recurses", "RecursionError"),
        ("allocates", "MemoryError"),
        ("floods", "more than"),
        ("loops", "more than its 100ms of CPU time"),
        ("sleeps", "longer than 10s"),
        ("prints", "more than its 100ms of CPU time"),
    ] {
        client.subscribed("x", &format!("subscription {{ {field} {{ seq }} }}")).await;
        host.emit(if field == "loops" { "counts" } else { "hostile" }, field, json!({})).await;
        let errors = client.next("x").await["errors"].clone();
        assert!(is_opaque(&errors), "{field}: {errors}");
        let id = errors[0]["extensions"]["id"].as_str().unwrap();
        eventually("the log has the error", || host.log().contains(id)).await;
        let log = host.log();
        let line = log.lines().find(|line| line.contains(id)).unwrap();
        for part in [field, happened, "resolvers.py"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        client.send(json!({"id": "x", "type": "complete"})).await;
    }
    // A gigabyte was on its way; the log got some 64 KiB of it, tagged.
    let log = host.log();
    assert!(log.len() < 1 << 20, "{} bytes of log", log.len());
    assert!(log.lines().any(|line| line.contains("subcast::guest") && line.contains("prints")));
    drop(client);
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_author_can_mend_is_in_the_log_with_its_place() {
    let host = Process::serve("engine").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("user", "subscription { userUpdated { id name } }").await;
    client.subscribed("order", r#"subscription { bigOrder(min_total: 1, region: "EU") { id } }"#).await;
    host.emit("users", "userUpdated", json!({"id": "1", "nmae": "Ada"})).await;
    assert!(client.next("user").await["errors"][0]["message"].as_str().unwrap().contains("User.name"));
    host.emit("orders", "bigOrder", json!({"id": "1", "region": "EU"})).await;
    for parts in [
        ["does not fit the schema: \"Cannot return null for non-nullable field User.name.\"", "user_updated"],
        ["`where` could not be evaluated", "big_order"],
        ["event.data.total is missing", "big_order"],
    ] {
        let told = || host.log().lines().any(|line| parts.iter().all(|part| line.contains(part)));
        eventually(parts[0], told).await;
    }
}
