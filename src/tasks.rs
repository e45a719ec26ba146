//! The one place where tasks are spawned: each is tracked, and told when to stop.
//!
//! A task ends by itself soon after [`Tasks::stopping`] fires; [`Tasks::finish`] waits for that. What a task loses when
//! it is stopped is said where it is spawned.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::supervision;

/// Spawns, counts and stops tasks. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Tasks {
    /// Spawns a task on the current runtime. A panic in it is counted, and ends it alone.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(supervision::counted("task", task))
    }

    /// Fires when all tasks should come to an end.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// How many tasks live now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Asks every task to stop, and waits for them until `grace` has passed. False if some were still running then.
    pub async fn finish(&self, grace: Duration) -> bool {
        self.stopping.cancel();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}
