//! What bounds a module over many calls: the life of its instances, its share of a thread, its clocks, its circuits.

use std::time::{Duration, Instant};

use serde_json::json;
use subcast::outcome::Outcome;
use subcast::sandbox::Limits;

use crate::support::client::Client;
use crate::support::guests;
use crate::support::host::Host;
use crate::support::sandbox::{Bench, answer, value};

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_replaced_after_the_calls_of_its_life() {
    let bench = Bench::start("isolation", 1, Limits { instances: 1, calls: 5, ..Limits::default() }).await;
    let mut ended = Vec::new();
    let mut last = 0;
    for _ in 0..100 {
        let calls = value(&bench.ask("counts", json!({})).await)["seq"].as_u64().unwrap();
        if calls == 1 && last > 0 {
            ended.push(last);
        }
        last = calls;
    }
    assert!(ended.iter().all(|calls| (5..=10).contains(calls)), "{ended:?}");
    assert!(ended.iter().any(|calls| *calls != ended[0]), "all alike: {ended:?}");
    let lives = ended.len() as u64 + 1;
    let retired = bench.metric("instances_retired_total", "calls");
    assert!(retired == lives || retired == lives - 1, "{retired} of {lives}");
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_hoards_memory_is_replaced_before_a_call_fails_for_it() {
    let bench = Bench::start("isolation", 1, Limits { instances: 1, ..Limits::default() }).await;
    let mut longest = 0;
    for _ in 0..60 {
        let hoarded = value(&bench.ask("hoards", json!({"mib": 3})).await)["seq"].as_u64().unwrap();
        longest = longest.max(hoarded);
    }
    // 64 MiB, of which Python itself takes some 16; beyond 48 MiB the instance goes.
    assert!((5..=14).contains(&longest), "{longest} times 3 MiB");
    assert!(bench.metric("instances_retired_total", "memory") >= 3);
    assert_eq!(bench.metric("calls_stopped_total", ""), 0);
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_with_four_long_calls_has_one_share_of_its_thread() {
    let cpu = Duration::from_millis(400);
    let limits = Limits { cpu, wall: Duration::from_secs(20), instances: 5, ..Limits::default() };
    let many = Bench::start("isolation", 1, limits).await;
    let one = many.another("one", guests::built("isolation").await, Limits { instances: 1, ..limits }).await;
    one.ask("counts", json!({})).await;
    // Slots for all four, before anything is measured: each of these calls waits, so each needs an instance.
    let sleepers: Vec<_> = (0..4).map(|_| many.submit("ticks", &json!({"step": 1}), &[None])).collect();
    for sleeper in sleepers {
        answer(sleeper).await;
    }
    let began = Instant::now();
    let all: Vec<_> = (0..4).map(|_| many.submit("works", &json!({}), &[None])).collect();
    let single = answer(one.submit("works", &json!({}), &[None])).await;
    let single_took = began.elapsed();
    assert!(matches!(&single[0], Outcome::Failed(failure) if failure.message.contains("400ms of CPU")), "{single:?}");
    for job in all {
        answer(job).await;
    }
    let all_took = began.elapsed();
    // With one share for each module the single call takes 2 × 400 ms of the 5 × 400; with one for each call, all 5.
    assert!(single_took < all_took.mul_f64(0.65), "{single_took:?} of {all_took:?}");
    many.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cut_off_gives_its_turn_to_the_others_of_its_module() {
    let limits =
        Limits { cpu: Duration::from_secs(5), wall: Duration::from_millis(600), instances: 3, ..Limits::default() };
    let bench = Bench::start("isolation", 1, limits).await;
    for _ in 0..3 {
        let all: Vec<_> = (0..2).map(|_| bench.submit("works", &json!({}), &[None])).collect();
        for job in all {
            assert!(
                matches!(&answer(job).await[0], Outcome::Failed(failure) if failure.message.contains("longer than 600ms"))
            );
        }
        // Long enough to need the turn.
        assert!(value(&bench.ask("ticks", json!({"step": 1})).await)["steps"].as_u64() > Some(0));
    }
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coarse_clocks_move_in_steps_and_sleeping_still_works() {
    let limits = Limits { cpu: Duration::from_secs(1), ..Limits::default() };
    let exact = Bench::start("isolation", 1, limits).await;
    let resolution = Duration::from_millis(2);
    let coarse =
        exact.another("coarse", guests::built("isolation").await, Limits { clock: resolution, ..limits }).await;
    let ticks = value(&exact.ask("ticks", json!({"step": 2_000_000})).await);
    assert!(ticks["odd"].as_u64() > Some(50) && ticks["steps"].as_u64() > Some(50), "{ticks}");
    let ticks = value(&coarse.ask("ticks", json!({"step": 2_000_000})).await);
    assert_eq!(ticks["odd"], 0, "{ticks}");
    assert!((2..=12).contains(&ticks["steps"].as_u64().unwrap()), "{ticks}");
    assert!(ticks["slept"].as_f64() > Some(0.025), "{ticks}");
    let resolution = ticks["resolution"].as_f64().unwrap();
    assert!((resolution - 0.002).abs() < 1e-9, "{ticks}");
    exact.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_keeps_failing_is_switched_off_and_tried_again() {
    let limits = Limits { cpu: Duration::from_millis(10), wall: Duration::from_millis(500), ..Limits::default() };
    let bench = Bench::start("isolation", 1, limits).await;
    let mut stopped = 0;
    let refusal = loop {
        let Outcome::Failed(failure) = bench.ask("fails", json!({})).await else { panic!("it never works") };
        if failure.code.is_some() {
            break failure;
        }
        stopped += 1;
        assert!(stopped < 100, "it is never switched off");
    };
    assert_eq!(stopped, 17, "one that put it on probation, and 16 on probation");
    assert_eq!((refusal.code.as_deref(), refusal.expose), (Some("CIRCUIT_OPEN"), true));
    let began = Instant::now();
    for _ in 0..100 {
        assert!(matches!(bench.ask("fails", json!({})).await, Outcome::Failed(failure) if failure.code.is_some()));
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(bench.metric("circuits_open", "fails"), 1);
    assert_eq!(bench.metric("circuits_opened_total", "fails"), 1);
    // Its neighbours are not.
    assert!(matches!(bench.ask("counts", json!({})).await, Outcome::Value(_)));
    let mended = loop {
        match bench.ask("fails", json!({"mended": true})).await {
            Outcome::Value(value) => break value,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it is never switched on again");
    };
    assert_eq!(mended, r#"{"seq":1}"#);
    assert!(began.elapsed() > Duration::from_millis(700), "{:?}", began.elapsed());
    assert_eq!(bench.metric("circuits_open", "fails"), 0);
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_or_among_too_many_is_told_so_in_its_place() {
    let path = guests::built("swap").await;
    for bounds in ["patience = \"200ms\"", "queue = 20"] {
        let module = format!("[[module]]\nname = \"swap\"\npath = \"{}\"\ninstances = 1\n{bounds}\n", path.display());
        let host = Host::start(&["swap"], &module).await;
        let mut client = Client::connect(host.address).await;
        client.subscribed("s", "subscription { slow { seq } }").await;
        let event = |seq: u64| json!({"channel": "slow", "type": "slow", "data": {"seq": seq, "ms": 20}});
        host.publish(&(1..=100).map(event).collect::<Vec<_>>()).await;
        let (mut last, mut overloaded) = (0, 0);
        for _ in 0..100 {
            let payload = client.next("s").await;
            if let Some(seq) = payload["data"]["slow"]["seq"].as_u64() {
                assert!(seq > last, "{bounds}: {seq} after {last}");
                last = seq;
            } else {
                assert_eq!(payload["errors"][0]["extensions"]["code"], "OVERLOADED", "{bounds}: {payload}");
                overloaded += 1;
            }
        }
        assert!(last > 0 && overloaded > 10, "{bounds}: {overloaded} were overloaded, the last that was not is {last}");
        // And it is served again.
        host.publish(&[event(101)]).await;
        assert_eq!(client.next("s").await, json!({"data": {"slow": {"seq": 101}}}), "{bounds}");
        drop(client);
        host.stop().await;
    }
}
