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

/// Longer than anything a test waits for on a busy machine; a test that gets here has failed.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Polls until the condition holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}: still not so after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
