//! What bounds a module over many calls: the life of its instances, its share of a thread, its clocks, its circuits.

use std::time::{Duration, Instant};

use serde_json::json;
use subcast::outcome::Outcome;
use subcast::sandbox::Limits;

use crate::support::guests;
use crate::support::sandbox::{Bench, answer, value};

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_replaced_after_the_calls_of_its_life() {
    let bench = Bench::start("isolation", 1, Limits { instances: 1, calls: 5, ..Limits::default() }).await;
    let (mut longest, mut lives) = (0, 0_u64);
    for _ in 0..100 {
        let calls = value(&bench.ask("counts", json!({})).await)["seq"].as_u64().unwrap();
        longest = longest.max(calls);
        lives += u64::from(calls == 1);
    }
    assert!((5..=10).contains(&longest), "{longest} calls of one instance");
    assert!((10..=20).contains(&lives), "{lives} instances for 100 calls");
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
