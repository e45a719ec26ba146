//! Swaps under load: 10,000 subscriptions on 100 connections, 1,000 events per second that each reach 50 of them, 20 swaps
//! of which 5 are compiled cold and in full, then 100 more for memory. Judged at the clients: nothing lost, doubled or out of order,
//! each event answered by one version, no connection closed.
//!
//! `cargo bench --bench swap`; the host is the release binary in a process of its own.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "read, not called; shares files with the tests")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a bench reports and panics")]

#[path = "../../tests/it/support/guests.rs"]
mod guests;
mod host;
mod judge;
mod load;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::Host;
use judge::{Board, percentile};

/// Windows: without a swap, and around swaps of either kind.
const WITHOUT: usize = 0;
const WARM: usize = 1;
const COLD: usize = 2;
const COMPILED: u32 = 5;
const SWAPS: u32 = 20;
const MORE: usize = 100;
/// Memory is looked at after so many swaps, and at the end.
const AFTER: usize = 5;
/// Between two swaps.
const PAUSE: Duration = Duration::from_millis(500);
const QUIET: Duration = Duration::from_secs(20);
/// Before memory is looked at.
const SETTLE: Duration = Duration::from_secs(5);

fn main() {
    judge::self_test();
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    // Clients are as prompt as the host, as if they had a machine of their own.
    subcast::pace::threads().build().unwrap().block_on(bench());
}

async fn bench() {
    let first = guests::built("swap").await;
    let mut versions: Vec<PathBuf> = Vec::new();
    for number in 1..=SWAPS {
        versions.push(version(number).await);
    }
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start(folder.path(), &first).await;
    // Warm: those that are not to be compiled during the run. Every fourth stays cold.
    let cold = |index: usize| index % 4 == 3;
    for (index, path) in versions.iter().enumerate() {
        if !cold(index) {
            host.compile(path).await;
        }
    }
    assert_eq!((0..versions.len()).filter(|index| cold(*index)).count(), COMPILED as usize);

    let board = Arc::new(Board::new());
    let clients = load::subscribe(host.address, &board).await;
    let publisher = load::publish(host.address, &board);
    tokio::time::sleep(Duration::from_secs(2)).await;

    let before = host::stolen();
    board.window(Some(WITHOUT));
    tokio::time::sleep(QUIET).await;
    board.window(None);
    println!("stolen while there was no swap: {} ms", host::stolen() - before);
    for (index, path) in versions.iter().enumerate() {
        if cold(index) {
            host.forget_functions();
        }
        let (began, before) = (Instant::now(), host::stolen());
        board.window(Some(if cold(index) { COLD } else { WARM }));
        let report = host.deploy(path).await;
        board.window(None);
        let kind = if cold(index) { "cold" } else { "warm" };
        println!(
            "swap {:2} {kind}: {:5} ms in all, live after {} ms, drained after {} ms, moved {}, stolen {} ms",
            index + 1,
            began.elapsed().as_millis(),
            report["ms"]["live"],
            report["ms"]["drained"],
            report["moved"],
            host::stolen() - before
        );
        if index + 1 == AFTER {
            // What a swap leaves behind for a moment is not what stays.
            tokio::time::sleep(SETTLE).await;
            println!("after {AFTER} swaps:   {}", host.usage());
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Up to the version that was live when memory was looked at before.
    let warm: Vec<_> = (0..versions.len()).filter(|index| !cold(*index)).collect();
    let last = warm.iter().position(|index| *index == AFTER - 1).unwrap();
    for left in (0..MORE).rev() {
        host.deploy(&versions[warm[(last + left) % warm.len()]]).await;
    }
    tokio::time::sleep(SETTLE).await;
    println!("after 120 swaps: {}", host.usage());

    let events = publisher.stop().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let verdict = clients.verdict(&board).await;
    let (quiet, swapping) = (board.latencies(&[WITHOUT]), board.latencies(&[WARM, COLD]));
    println!("{events} events, {} answers, {} versions; {verdict}", board.answers(), board.versions());
    for (name, times) in [
        ("without", &quiet),
        ("in windows of warm swaps", &board.latencies(&[WARM])),
        ("in windows of cold swaps", &board.latencies(&[COLD])),
        ("in all windows", &swapping),
    ] {
        println!(
            "{name}: {} answers, p50 {:?}, p99 {:?} ({:.2} × that without), max {:?}",
            times.len(),
            percentile(times, 0.5),
            percentile(times, 0.99),
            percentile(times, 0.99).as_secs_f64() / percentile(&quiet, 0.99).as_secs_f64(),
            percentile(times, 1.0)
        );
    }
    host.stop().await;
    assert!(verdict.is_clean(), "subscribers saw a fault");
}

async fn version(number: u32) -> PathBuf {
    let version = format!("version-{number:04}");
    guests::patched("swap", &version, &[("version-0000", &version)]).await
}
