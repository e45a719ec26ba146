//! A pool's state: what waits, which slots wait for it, and which of them is woken. Knows no instance and wakes nobody
//! itself: each change says what help it needs.
//!
//! Whenever something waits that an idle slot could do, a slot has been woken, or starts, or relief is on its way.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::config::{Isolation, Limits};
use super::idle::{IdleSlots, Slot};
use super::piece::Piece;
use super::queue::{Batch, Bond, Consequence, Finished, Fit, Queues, Refusal, Running};

/// See the module.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) queues: Queues,
    idle: IdleSlots,
    /// Slots that there are, idle or not.
    pub(super) slots: usize,
    /// Of these, those that have not asked for work yet.
    pub(super) starting: usize,
    /// Whether a thread has been told to look after the pool.
    relief: bool,
    pub(super) closed: bool,
    /// Most slots.
    most: usize,
    /// Slots that stay although there is nothing to do.
    warm: usize,
    isolation: Isolation,
}

/// What the pool has to do after a change, outside of its lock.
#[derive(Debug)]
#[must_use]
pub(super) enum Help {
    /// Nothing: there is no work, or nobody to be woken for it.
    None,
    /// Wake this slot, which is not idle any more.
    Wake(Arc<Slot>),
    /// Tell a thread to look after the pool in a moment.
    Relieve,
}

/// What a slot does next.
#[derive(Debug)]
pub(super) enum Next {
    Work(Batch),
    /// It is idle now, and waits until it is woken.
    Wait,
    /// It ends.
    End,
}

/// What a slot that asked for work was told, and what follows for others.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) next: Next,
    /// Pieces that have waited for too long, to be answered as shed.
    pub(super) expired: Vec<Piece>,
    pub(super) help: Help,
}

/// What relief does.
#[derive(Debug)]
#[must_use]
pub(super) enum Relief {
    /// It is over.
    Over,
    /// Look again after a moment.
    Again,
    /// Start another slot; look again after that.
    Grow,
    /// Wake this slot; look again after that.
    Wake(Arc<Slot>),
}

impl Work {
    /// Without any slots; `warm` of them are to stay.
    pub(super) fn new(queues: Queues, limits: &Limits, warm: usize) -> Self {
        let (most, isolation) = (limits.instances, limits.isolation);
        let idle = IdleSlots::default();
        Self { queues, idle, slots: 0, starting: 0, relief: false, closed: false, most, warm, isolation }
    }

    /// Something new waits. Gives back what may not.
    pub(super) fn submit(&mut self, field: &str, piece: Piece, now: Instant) -> (Help, Result<(), (Piece, Refusal)>) {
        let pushed = self.queues.push(field, piece, now);
        (self.help(now), pushed)
    }

    /// The slot asks for work. Whatever it did before, it is idle only if it is told to wait.
    pub(super) fn next(&mut self, slot: &Arc<Slot>, bond: &mut Bond, now: Instant) -> Turn {
        self.idle.leave(slot);
        if self.closed {
            return Turn { next: Next::End, expired: Vec::new(), help: Help::None };
        }
        let idle = self.idle.len();
        let taken = self.queues.take(bond, idle, now);
        let is_bound = *bond != Bond::Anyone;
        let (next, needs_help) = if let Some(batch) = taken.batch {
            (Next::Work(batch), idle > 0 || is_bound)
        } else {
            self.idle.enter(slot, bond);
            // What was not for this one may be for another one, which nobody has woken yet.
            (Next::Wait, is_bound)
        };
        let help = if needs_help { self.help(now) } else { Help::None };
        Turn { next, expired: taken.expired, help }
    }

    /// The idle time of a slot is over: whether it ends. Not if it has been woken meanwhile, nor if it is to stay warm; then
    /// it asks for work again.
    pub(super) fn may_end(&mut self, slot: &Slot) -> bool {
        self.idle.leave(slot) && self.slots > self.warm
    }

    /// A batch has ended.
    pub(super) fn finish(&mut self, running: &Running, outcome: Finished, now: Instant) -> (Help, Consequence) {
        let before = self.queues.runnable();
        let consequence = self.queues.finish(running, outcome, now);
        // The slot of this batch may start an instance before it asks for more: others are not to wait for that.
        let became_runnable = self.isolation == Isolation::PerTenant || self.queues.runnable() > before;
        (if became_runnable { self.help(now) } else { Help::None }, consequence)
    }

    /// The slot's instance is gone, or fresh: it is bound to nobody, and its tenant may be for others.
    pub(super) fn release(&mut self, bond: &mut Bond, now: Instant) -> Help {
        if *bond == Bond::Anyone {
            return Help::None;
        }
        self.queues.release(bond);
        self.help(now)
    }

    /// A slot has ended, however that came about.
    pub(super) fn leave(&mut self, slot: &Slot, bond: &mut Bond, now: Instant) -> Help {
        self.slots -= 1;
        self.queues.release(bond);
        self.idle.leave(slot);
        // It may have been woken for something.
        self.help(now)
    }

    /// Wakes an idle slot if there is work that it could take, or sees to it that one is started if none is idle.
    fn help(&mut self, now: Instant) -> Help {
        if self.closed || !self.queues.has_work() {
            return Help::None;
        }
        let next = match self.isolation {
            Isolation::Shared | Isolation::PerCall => self.idle.least_busy(),
            Isolation::PerTenant => self.most_fitting(now, self.may_grow()),
        };
        if let Some(place) = next {
            return Help::Wake(self.idle.wake(place));
        }
        if self.relief || (!self.may_grow() && self.idle.is_empty()) {
            return Help::None;
        }
        self.relief = true;
        Help::Relieve
    }

    /// No thread takes the command to look after the pool.
    pub(super) fn relief_failed(&mut self) {
        self.relief = false;
    }

    /// Whether relief waits for a moment before it looks: a tenant that has no instance is not made to wait.
    pub(super) fn relief_waits(&self, now: Instant) -> bool {
        self.isolation != Isolation::PerTenant || !self.has_unserved(now)
    }

    /// Relief looks. Unless it is over, it has to look again: more may wait than one slot can do.
    pub(super) fn relieve(&mut self, now: Instant) -> Relief {
        let relief = self.look_after(now);
        self.relief = !matches!(relief, Relief::Over);
        relief
    }

    fn look_after(&mut self, now: Instant) -> Relief {
        if self.closed || !self.queues.has_work() {
            return Relief::Over;
        }
        if self.isolation != Isolation::PerTenant {
            return match self.idle.least_busy() {
                Some(place) => Relief::Wake(self.idle.wake(place)),
                None if self.may_grow() && self.starting == 0 => Relief::Grow,
                None if self.may_grow() => Relief::Again,
                None => Relief::Over,
            };
        }
        if self.has_unserved(now) && self.starting == 0 && self.may_grow() {
            return Relief::Grow;
        }
        self.replace(now)
    }

    /// There is no room for another slot: the instance that nobody has needed for the longest time is replaced.
    pub(super) fn replace(&mut self, now: Instant) -> Relief {
        let fitting = if self.isolation == Isolation::PerTenant { self.most_fitting(now, false) } else { None };
        let relief = match fitting {
            Some(place) => Relief::Wake(self.idle.wake(place)),
            // What waits now may be late in a moment, and then it is for any slot.
            None if !self.idle.is_empty() && self.queues.has_work() => Relief::Again,
            None if self.starting > 0 => Relief::Again,
            None => Relief::Over,
        };
        self.relief = !matches!(relief, Relief::Over);
        relief
    }

    fn has_unserved(&self, now: Instant) -> bool {
        self.queues.fit(&Bond::Free, now).is_some()
    }

    fn may_grow(&self) -> bool {
        self.slots < self.most
    }

    /// Whether an idle slot has an instance that is ready.
    pub(super) fn is_warm(&self) -> bool {
        self.idle.iter().any(|idle| idle.slot.is_warm.load(Ordering::Relaxed))
    }

    /// The place of an idle slot for what waits where tenants are isolated: one whose instance may serve it as it is, or,
    /// unless a new one can be had, the one that nobody has needed for the longest time.
    fn most_fitting(&self, now: Instant, may_grow: bool) -> Option<usize> {
        let fits = |wanted: Fit| self.idle.iter().position(|idle| self.queues.fit(&idle.bond, now) == Some(wanted));
        fits(Fit::Own).or_else(|| if may_grow { None } else { fits(Fit::Other) })
    }

    /// Ends everything: what waited, and the slots to be woken so that they end.
    pub(super) fn close(&mut self) -> (Vec<Piece>, Vec<Arc<Slot>>) {
        self.closed = true;
        (self.queues.clear(), self.idle.wake_all())
    }
}
