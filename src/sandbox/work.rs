//! A pool's state: what waits, and which slots wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::Notify;

use super::queue::{Bond, Fit, Queues};
use super::thread::Thread;

/// See the module.
pub(super) struct Work {
    pub(super) queues: Queues,
    /// Slots that wait for work, the one that waits for the shortest time last.
    pub(super) idle: Vec<Idle>,
    pub(super) slots: usize,
    /// Of these, those that have not asked for work yet.
    pub(super) starting: usize,
    /// Whether a thread has been told to look after the pool.
    pub(super) relief: bool,
    pub(super) closed: bool,
}

/// A slot that waits for work.
pub(super) struct Idle {
    pub(super) slot: Arc<Slot>,
    pub(super) bond: Bond,
}

/// Where an instance waits for work.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) thread: Arc<Thread>,
    pub(super) wake: Notify,
    /// Whether it has an instance that is ready.
    pub(super) is_warm: AtomicBool,
}

impl Slot {
    pub(super) fn new(thread: &Arc<Thread>) -> Arc<Self> {
        Arc::new(Self { thread: Arc::clone(thread), wake: Notify::new(), is_warm: AtomicBool::new(false) })
    }
}

impl Work {
    pub(super) fn new(queues: Queues) -> Self {
        Self { queues, idle: Vec::new(), slots: 0, starting: 0, relief: false, closed: false }
    }

    /// Whether an idle slot has an instance that is ready.
    pub(super) fn is_warm(&self) -> bool {
        self.idle.iter().any(|idle| idle.slot.is_warm.load(Ordering::Relaxed))
    }

    /// The place of the idle slot whose thread has least to do, and that was idle last.
    pub(super) fn least_busy(&self) -> Option<usize> {
        (0..self.idle.len()).rev().min_by_key(|&place| self.idle[place].slot.thread.load().0)
    }

    /// The place of an idle slot for what waits where tenants are isolated: one whose instance may serve it as it is, or,
    /// unless a new one can be had, the one that nobody has needed for the longest time.
    pub(super) fn most_fitting(&self, now: Instant, may_grow: bool) -> Option<usize> {
        let fits = |wanted: Fit| self.idle.iter().position(|idle| self.queues.fit(&idle.bond, now) == Some(wanted));
        fits(Fit::Own).or_else(|| if may_grow { None } else { fits(Fit::Other) })
    }

    /// Takes a slot from the idle ones, to be woken.
    pub(super) fn wakes(&mut self, place: usize) -> Arc<Slot> {
        self.idle.remove(place).slot
    }
}
