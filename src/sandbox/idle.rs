//! The slots of a pool that wait for work.
//!
//! A slot is in here or it is not: it enters on its own behalf only, and is taken out by whoever wakes it, or by itself.
//! What wakes a slot's task (a permit, a timer) is only a reason to look again, so that it does not matter which of two
//! comes first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::queue::Bond;
use super::thread::Thread;

/// Where an instance waits for work.
#[derive(Debug)]
pub(super) struct Slot {
    number: u64,
    pub(super) thread: Arc<Thread>,
    pub(super) wake: Notify,
    /// Whether it has an instance that is ready.
    pub(super) is_warm: AtomicBool,
}

impl Slot {
    pub(super) fn new(thread: &Arc<Thread>) -> Arc<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { number, thread: Arc::clone(thread), wake: Notify::new(), is_warm: AtomicBool::new(false) })
    }
}

/// A slot that waits, and whom its instance may serve.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) slot: Arc<Slot>,
    pub(super) bond: Bond,
}

/// See the module. The slot that waits for the shortest time comes last.
#[derive(Debug, Default)]
pub(super) struct IdleSlots(Vec<Idle>);

impl IdleSlots {
    /// The slot waits from now on.
    pub(super) fn enter(&mut self, slot: &Arc<Slot>, bond: &Bond) {
        self.leave(slot);
        self.0.push(Idle { slot: Arc::clone(slot), bond: bond.clone() });
    }

    /// The slot waits no longer; false if it did not, because it has been woken.
    pub(super) fn leave(&mut self, slot: &Slot) -> bool {
        let place = self.0.iter().position(|idle| idle.slot.number == slot.number);
        place.is_some_and(|place| {
            self.0.remove(place);
            true
        })
    }

    /// Takes the slot at this place out, to be woken.
    pub(super) fn wake(&mut self, place: usize) -> Arc<Slot> {
        self.0.remove(place).slot
    }

    /// Takes all of them out, to be woken.
    pub(super) fn wake_all(&mut self) -> Vec<Arc<Slot>> {
        self.0.drain(..).map(|idle| idle.slot).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Idle> {
        self.0.iter()
    }

    /// The place of the slot whose thread has least to do, and that was idle last.
    pub(super) fn least_busy(&self) -> Option<usize> {
        (0..self.0.len()).rev().min_by_key(|&place| self.0[place].slot.thread.load().0)
    }
}
