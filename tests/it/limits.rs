//! What bounds a module over many calls: the life of its instances, its share of a thread, its clocks, its circuits.

use std::time::{Duration, Instant};

use serde_json::json;
use subcast::outcome::Outcome;
use subcast::sandbox::Limits;

use crate::support::client::Client;
use crate::support::{PATIENCE, eventually, guests};

/// For how long a circuit is open at first.
const OPEN: Duration = Duration::from_secs(1);
use crate::support::host::Host;
use crate::support::sandbox::{Bench, answer, limits, value};

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_replaced_after_the_calls_of_its_life() {
    let bench = Bench::start("isolation", 1, Limits { instances: 1, calls: 5, ..limits() }).await;
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
    let bench = Bench::start("isolation", 1, Limits { instances: 1, ..limits() }).await;
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
    let limits = Limits { cpu, instances: 5, ..limits() };
    let many = Bench::start("isolation", 1, limits).await;
    let one = many.another("one", guests::built("isolation").await, Limits { instances: 1, ..limits }).await;
    one.ask("counts", json!({})).await;
    // Slots for all four, before anything is measured: each of these calls waits, so each needs an instance.
    let sleepers: Vec<_> = (0..4).map(|_| many.submit("ticks", &json!({"step": 1}), &[None])).collect();
    for sleeper in sleepers {
        answer(sleeper).await;
    }
    let mut all: Vec<_> = (0..4).map(|_| many.submit("works", &json!({}), &[None])).collect();
    let single = answer(one.submit("works", &json!({}), &[None])).await;
    assert!(matches!(&single[0], Outcome::Failed(failure) if failure.message.contains("400ms of CPU")), "{single:?}");
    // With one share for each module the four have had 400 ms together when the single call has had its own. With one
    // share for each call, all five would end together, and the single one, which came last, at the end.
    let ended = all.iter_mut().filter_map(|job| job.try_recv().ok()).count();
    assert_eq!(ended, 0, "calls of the module that has four end before the only one of the other");
    for job in all {
        answer(job).await;
    }
    many.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cut_off_gives_its_turn_to_the_others_of_its_module() {
    let limits = Limits { cpu: Duration::from_secs(5), wall: Duration::from_secs(1), instances: 3, ..limits() };
    let bench = Bench::start("isolation", 1, limits).await;
    for _ in 0..3 {
        let mut cut_off = 0;
        let all: Vec<_> = (0..2).map(|_| bench.submit("works", &json!({}), &[None])).collect();
        for job in all {
            let outcome = answer(job).await.remove(0);
            let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
            let is_cut_off = failure.message.contains("longer than 1s");
            // On probation one waits for the end of the other, for two seconds at most.
            assert!(is_cut_off || failure.code.as_deref() == Some("OVERLOADED"), "{failure:?}");
            cut_off += u32::from(is_cut_off);
        }
        assert!(cut_off > 0, "none of them had the turn, so the test shows nothing");
        // Long enough to need the turn. A busy machine may take its second, and then it is asked again.
        let mut answered = None;
        for _ in 0..10 {
            answered = Some(bench.ask("ticks", json!({"step": 1})).await);
            if matches!(answered, Some(Outcome::Value(_))) {
                break;
            }
        }
        assert!(matches!(answered, Some(Outcome::Value(_))), "{answered:?}");
    }
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coarse_clocks_move_in_steps_and_sleeping_still_works() {
    let limits = Limits { cpu: Duration::from_secs(1), ..limits() };
    let exact = Bench::start("isolation", 1, limits).await;
    let resolution = Duration::from_millis(2);
    let coarse =
        exact.another("coarse", guests::built("isolation").await, Limits { clock: resolution, ..limits }).await;
    // The resolver looks at its clocks for 20 ms: again, if the thread had hardly any turn in them.
    let ask = async |bench: &Bench, steps: u64| {
        for _ in 0..100 {
            let ticks = value(&bench.ask("ticks", json!({"step": 2_000_000})).await);
            if ticks["steps"].as_u64() >= Some(steps) {
                return ticks;
            }
        }
        panic!("never {steps} different times within 20 ms");
    };
    let ticks = ask(&exact, 50).await;
    assert!(ticks["odd"].as_u64() > Some(50), "{ticks}");
    let ticks = ask(&coarse, 2).await;
    assert_eq!(ticks["odd"], 0, "{ticks}");
    assert!(ticks["steps"].as_u64() <= Some(12), "{ticks}");
    assert!(ticks["slept"].as_f64() > Some(0.025), "{ticks}");
    let resolution = ticks["resolution"].as_f64().unwrap();
    assert!((resolution - 0.002).abs() < 1e-9, "{ticks}");
    exact.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_keeps_failing_is_switched_off_and_tried_again() {
    let limits = Limits { cpu: Duration::from_millis(10), ..limits() };
    let bench = Bench::start("isolation", 1, limits).await;
    let mut stopped = 0;
    // Before the call that opens the circuit.
    let mut asked = Instant::now();
    let refusal = loop {
        let now = Instant::now();
        let Outcome::Failed(failure) = bench.ask("fails", json!({})).await else { panic!("it never works") };
        if failure.code.is_some() {
            break failure;
        }
        (stopped, asked) = (stopped + 1, now);
        assert!(stopped < 100, "it is never switched off");
    };
    assert_eq!(stopped, 17, "one that put it on probation, and 16 on probation");
    assert_eq!((refusal.code.as_deref(), refusal.expose), (Some("CIRCUIT_OPEN"), true));
    assert_eq!(bench.metric("circuits_opened_total", "fails"), 1);
    // After a second one call is let through, whatever happens until then; others are answered without one.
    let mut refused = 0;
    for _ in 0..100 {
        let Outcome::Failed(failure) = bench.ask("fails", json!({})).await else { panic!("it never works") };
        refused += u64::from(failure.code.is_some());
    }
    let let_through = 100 - refused;
    let calls = || bench.metric("calls_stopped_total", "");
    eventually("all calls are counted", || calls() == stopped + let_through).await;
    assert!(asked.elapsed() >= OPEN * u32::try_from(let_through).unwrap(), "{let_through} in {:?}", asked.elapsed());
    assert_eq!(bench.metric("circuits_open", "fails"), 1);
    // Its neighbours are not.
    assert!(matches!(bench.ask("counts", json!({})).await, Outcome::Value(_)));
    let mended = loop {
        match bench.ask("fails", json!({"mended": true})).await {
            Outcome::Value(value) => break value,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        assert!(asked.elapsed() < PATIENCE, "it is never switched on again");
    };
    assert_eq!(mended, r#"{"seq":1}"#);
    assert!(asked.elapsed() >= OPEN, "{:?}", asked.elapsed());
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
        // And it is served again, if the machine lets it be within its patience.
        let mut payload = serde_json::Value::Null;
        for seq in 101..200 {
            host.publish(&[event(seq)]).await;
            payload = client.next("s").await;
            if payload["errors"].is_null() {
                assert_eq!(payload, json!({"data": {"slow": {"seq": seq}}}), "{bounds}");
                break;
            }
        }
        assert!(payload["errors"].is_null(), "{bounds}: {payload}");
        drop(client);
        host.stop().await;
    }
}
