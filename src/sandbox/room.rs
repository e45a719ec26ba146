//! Where publishers wait until the sandbox has caught up.

use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::pool::Pool;

/// Invocations of a module that may wait before publishers do. Enough to keep every instance busy with full batches while the next
/// publisher gets its turn; at 15 µs each they are worked off within 15 ms on one core.
const ROOM: usize = 1_024;
/// No publisher waits for longer: what does not keep up by then is shed by its own bounds.
const LONGEST: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Room {
    pools: Mutex<Vec<Weak<Pool>>>,
    waiting: AtomicUsize,
    changed: Notify,
}

impl Room {
    pub(super) fn add(&self, pool: Weak<Pool>) {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// All pools that live.
    pub(super) fn pools(&self) -> Vec<std::sync::Arc<Pool>> {
        self.pools.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Something was taken out of a queue, or a field was found not to keep up.
    pub(super) fn changed(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Resolves once there is room in all of these.
    pub(super) async fn ready(&self, pools: &[&Pool]) {
        let is_there = || pools.iter().all(|pool| pool.backlog() < ROOM);
        if is_there() {
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _leave = Leave(&self.waiting);
        let _ = tokio::time::timeout(LONGEST, async {
            loop {
                let changed = self.changed.notified();
                if is_there() {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    /// Whether there is room everywhere.
    pub(super) fn is_everywhere(&self) -> bool {
        self.pools().iter().all(|pool| pool.backlog() < ROOM)
    }
}

struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
