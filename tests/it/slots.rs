//! Slots of a pool: which of them waits for work, which is woken, which ends.

use std::time::{Duration, Instant};

use serde_json::json;
use subcast::sandbox::{Config, Limits};

use crate::support::eventually;
use crate::support::sandbox::{Bench, answer, value};

/// A slot whose idle time ends in the moment in which it is woken must not stay among the idle ones while it works: the
/// pool would wake it a second time, and the call would wait behind the first one.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_calls_run_at_once_although_idle_times_end_as_slots_are_woken() {
    let config = Config { threads: 2, idle: Duration::from_millis(1), ..Config::default() };
    let limits = Limits { instances: 4, wall: Duration::from_secs(30), ..Limits::default() };
    let bench = Bench::start_in("swap", config, limits).await;
    for round in 0..2_000_u64 {
        // Around the idle time, so that a wake meets its end now and then.
        let pause = Duration::from_micros(900 + (round % 9) * 50);
        let ready = Instant::now() + pause;
        while Instant::now() < ready {
            std::hint::spin_loop();
        }
        assert!(value(&bench.ask("slow", json!({"seq": round, "ms": 0})).await)["seq"].as_u64() == Some(round));
    }
    let slept = Duration::from_secs(4);
    let began = Instant::now();
    let mut calls = Vec::new();
    for seq in 0..3 {
        calls.push(bench.submit("slow", &json!({"seq": seq, "ms": 4_000}), &[None]));
        // Two that wait at the same time may go over as one batch.
        eventually("the call is under way", || bench.metric("invocations_waiting", "") == 0).await;
    }
    for call in calls {
        value(&answer(call).await[0]);
    }
    let took = began.elapsed();
    assert!(took < slept * 2, "three calls that sleep for {slept:?} took {took:?}: one waited for another");
    bench.sandbox.shutdown().await;
}
