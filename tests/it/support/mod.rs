//! What the integration tests share: guests, hosts, clients, and a checker of sequences.

pub mod attack;
pub mod checker;
pub mod client;
pub mod component;
pub mod credential;
pub mod encoding;
pub mod guests;
pub mod host;
pub mod loader;
pub mod process;
pub mod sandbox;
pub mod site;

use std::time::Duration;

/// Longer than anything a test waits for on a busy machine, several compilations at once included; a test that gets here
/// has failed.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// Far above what an event of a healthy field takes on a busy machine, and far below [`HOSTILE_WALL`].
pub const ON_TIME: Duration = Duration::from_secs(4);
/// `wall` of modules whose calls are to be stopped by other limits: time on the wall passes while others compute.
pub const HOSTILE_WALL: &str = "wall = \"10s\"";

/// Polls until the condition holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}: still not so after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Plays a scene in which something must happen while a resolver sleeps, with more and more milliseconds of sleep, until
/// the machine was fast enough. A scene answers false if the sleep was over too early, so that it has shown nothing.
pub async fn with_enough_time(scene: impl AsyncFn(u64) -> bool) {
    for ms in [800, 1_600, 3_200, 6_400, 12_800, 25_600] {
        if scene(ms).await {
            return;
        }
    }
    panic!("25.6 s were not enough to show anything");
}
