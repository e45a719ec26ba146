//! A piece of a job: invocations on their way through the queue, and back with their outcomes.
//!
//! A job enters the queue as one piece, or as one for each tenant where tenants are isolated, and is cut where batches
//! end. Each piece is answered by itself, as soon as its outcomes are known; a piece that is dropped is answered with
//! failures. So each invocation of a job has exactly one outcome, whatever becomes of the others.

use std::sync::Arc;
use std::time::Instant;
use std::vec;

use parking_lot::Mutex;

use super::held::Held;
use crate::event::Event;
use crate::outcome::{Failure, Invocation, Job, Outcome, Tenant};

/// Outcomes of some of a job's invocations.
#[derive(Debug)]
pub struct Part {
    /// At least one, each with the place of its invocation in the job.
    pub outcomes: Vec<(usize, Outcome)>,
    /// What is held of them; to be kept until they are delivered.
    pub held: Held,
}

/// Takes the outcomes of a job, part by part: exactly one for each invocation, in any order. Called from any thread,
/// mostly from one of the sandbox.
pub type Done = Arc<dyn Fn(Part) + Send + Sync>;

/// A [`Done`] that hands all `count` outcomes of a job over at once, in the order of its invocations.
pub fn together(count: usize, done: impl FnOnce(Vec<Outcome>) + Send + 'static) -> Done {
    let outcomes: Vec<_> = (0..count).map(|_| None).collect();
    let open = Mutex::new((outcomes, count, Some(done)));
    Arc::new(move |part| {
        let mut open = open.lock();
        let (outcomes, left, done) = &mut *open;
        for (place, outcome) in part.outcomes {
            *left -= usize::from(outcomes[place].replace(outcome).is_none());
        }
        if *left > 0 {
            return;
        }
        let (outcomes, done) = (std::mem::take(outcomes), done.take());
        drop(open);
        if let Some(done) = done {
            done(outcomes.into_iter().flatten().collect());
        }
    })
}

/// See the module.
pub(super) struct Piece {
    pub(super) event: Arc<Event>,
    /// In the order of their rounds. Empty once answered.
    asked: vec::IntoIter<Asked>,
    pub(super) enqueued: Instant,
    done: Done,
}

/// An invocation, and where it belongs.
pub(super) struct Asked {
    pub(super) invocation: Invocation,
    /// Its place in the job.
    place: usize,
    /// When its turn is, among the connections that wait for the field. Set by the queue.
    pub(super) round: u64,
}

impl Piece {
    /// The whole job.
    pub(super) fn whole(job: Job, done: Done, now: Instant) -> Self {
        let Job { field: _, event, invocations } = job;
        let asked = |(place, invocation)| Asked { invocation, place, round: 0 };
        let asked: Vec<_> = invocations.into_iter().enumerate().map(asked).collect();
        Self { event, asked: asked.into_iter(), enqueued: now, done }
    }

    /// The job in one piece for each tenant.
    pub(super) fn by_tenant(job: Job, done: Done, now: Instant) -> Vec<Self> {
        let mut rest = Self::whole(job, done, now);
        // Stable: a tenant's invocations stay in their order.
        rest.asked.as_mut_slice().sort_by(|a, b| a.invocation.tenant.cmp(&b.invocation.tenant));
        let mut pieces = Vec::new();
        loop {
            let same = |a: &Asked, b: &Asked| a.invocation.tenant == b.invocation.tenant;
            let count = rest.asked.as_slice().chunk_by(same).next().map_or(0, <[_]>::len);
            if count == rest.len() {
                pieces.push(rest);
                return pieces;
            }
            pieces.push(rest.split_front(count));
        }
    }

    /// How many invocations it has.
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn invocations(&self) -> impl Iterator<Item = &Invocation> {
        self.asked.as_slice().iter().map(|asked| &asked.invocation)
    }

    /// For whom it is. All its invocations are for the same, if that matters to its module.
    pub(super) fn tenant(&self) -> Tenant {
        self.invocations().next().and_then(|invocation| invocation.tenant.clone())
    }

    pub(super) fn asked(&self) -> &[Asked] {
        self.asked.as_slice()
    }

    pub(super) fn asked_mut(&mut self) -> &mut [Asked] {
        self.asked.as_mut_slice()
    }

    /// Cuts the first `count` invocations off; they become a piece of their own.
    pub(super) fn split_front(&mut self, count: usize) -> Self {
        let asked: Vec<_> = self.asked.by_ref().take(count).collect();
        self.part(asked)
    }

    /// Cuts off those invocations for which this holds; `None` if there are none.
    pub(super) fn split_if(&mut self, holds: impl Fn(&Invocation) -> bool) -> Option<Self> {
        let asked = std::mem::take(&mut self.asked);
        let (off, rest): (Vec<_>, Vec<_>) = asked.partition(|asked| holds(&asked.invocation));
        self.asked = rest.into_iter();
        (!off.is_empty()).then(|| self.part(off))
    }

    fn part(&self, asked: Vec<Asked>) -> Self {
        let Self { event, asked: _, enqueued, done } = self;
        Self { event: Arc::clone(event), asked: asked.into_iter(), enqueued: *enqueued, done: Arc::clone(done) }
    }

    /// One outcome for each invocation, in their order, and what is held of these.
    pub(super) fn answer(mut self, outcomes: impl Iterator<Item = Outcome>, held: Held) {
        self.settle(outcomes, held);
    }

    /// The same failure for each invocation.
    pub(super) fn fail(mut self, failure: &Failure) {
        self.fail_all(failure);
    }

    fn fail_all(&mut self, failure: &Failure) {
        self.settle(std::iter::repeat_with(|| Outcome::Failed(failure.clone())), Held::default());
    }

    fn settle(&mut self, outcomes: impl Iterator<Item = Outcome>, held: Held) {
        let outcomes = outcomes.take(self.len()).zip(self.asked.by_ref());
        let outcomes: Vec<_> = outcomes.map(|(outcome, asked)| (asked.place, outcome)).collect();
        if !outcomes.is_empty() {
            (self.done)(Part { outcomes, held });
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.asked.len() > 0 {
            let failure =
                Failure { message: "the sandbox ended before the resolver ran".to_owned(), ..Failure::default() };
            self.fail_all(&failure);
        }
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece").field("invocations", &self.len()).finish_non_exhaustive()
    }
}
