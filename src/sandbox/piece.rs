//! A piece of a job: some of its invocations, on their way through the queue, and back with their outcomes.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::held::Held;
use crate::event::Event;
use crate::outcome::{Failure, Invocation, Job, Outcome, Tenant};

/// Takes the outcomes of a job, in the order of its invocations; whoever has these keeps what is held of them until they
/// are delivered. Called once, on a thread of the sandbox.
pub type Done = Box<dyn FnOnce(Vec<Outcome>, Held) + Send>;

/// See the module. Whatever happens to it, its job is answered: a piece that is dropped answers with failures.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) event: Arc<Event>,
    /// Empty once answered.
    pub(super) invocations: Vec<Invocation>,
    pub(super) enqueued: Instant,
    /// Where the first of its outcomes belongs in the job's.
    first: usize,
    reply: Arc<Reply>,
}

impl Piece {
    /// The whole job.
    pub(super) fn whole(job: Job, done: Done, now: Instant) -> Self {
        Self::ordered(job, done, now, Vec::new())
    }

    /// The job in one piece for each tenant.
    pub(super) fn by_tenant(mut job: Job, done: Done, now: Instant) -> Vec<Self> {
        let mut order: Vec<usize> = (0..job.invocations.len()).collect();
        // Stable: a tenant's invocations stay in their order.
        order.sort_by(|&a, &b| job.invocations[a].tenant.cmp(&job.invocations[b].tenant));
        job.invocations.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        let mut rest = Self::ordered(job, done, now, order);
        let mut pieces = Vec::new();
        loop {
            let count = rest.invocations.chunk_by(|a, b| a.tenant == b.tenant).next().map_or(0, <[_]>::len);
            if count == rest.invocations.len() {
                pieces.push(rest);
                return pieces;
            }
            pieces.push(rest.split_front(count));
        }
    }

    /// A job whose invocations were put into this order; empty: they are in their own.
    fn ordered(job: Job, done: Done, now: Instant, order: Vec<usize>) -> Self {
        let Job { field: _, event, invocations } = job;
        let outcomes = invocations.iter().map(|_| None).collect();
        let open = Open { outcomes, held: Held::default(), order, left: invocations.len(), done: Some(done) };
        Self { event, invocations, enqueued: now, first: 0, reply: Arc::new(Reply(Mutex::new(open))) }
    }

    /// For whom it is. All its invocations are for the same, if that matters to its module.
    pub(super) fn tenant(&self) -> Tenant {
        self.invocations.first().and_then(|invocation| invocation.tenant.clone())
    }

    /// Cuts the first `count` invocations off; they become a piece of their own.
    pub(super) fn split_front(&mut self, count: usize) -> Self {
        let rest = self.invocations.split_off(count.min(self.invocations.len()));
        let invocations = std::mem::replace(&mut self.invocations, rest);
        let first = self.first;
        self.first += invocations.len();
        Self {
            event: Arc::clone(&self.event),
            invocations,
            enqueued: self.enqueued,
            first,
            reply: Arc::clone(&self.reply),
        }
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
        let count = std::mem::take(&mut self.invocations).len();
        self.reply.fill(self.first, outcomes.take(count), held);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.invocations.is_empty() {
            let failure =
                Failure { message: "the sandbox ended before the resolver ran".to_owned(), ..Failure::default() };
            self.fail_all(&failure);
        }
    }
}

/// Collects the outcomes of a job's pieces.
struct Reply(Mutex<Open>);

struct Open {
    outcomes: Vec<Option<Outcome>>,
    held: Held,
    /// Where in the job each invocation stood before they were put in order; empty if they were not.
    order: Vec<usize>,
    left: usize,
    done: Option<Done>,
}

impl Reply {
    fn fill(&self, first: usize, outcomes: impl Iterator<Item = Outcome>, held: Held) {
        let mut open = self.0.lock();
        open.held.join(held);
        for (place, outcome) in (first..).zip(outcomes) {
            let slot = open.order.get(place).copied().unwrap_or(place);
            if open.outcomes[slot].replace(outcome).is_none() {
                open.left -= 1;
            }
        }
        if open.left > 0 {
            return;
        }
        let Some(done) = open.done.take() else { return };
        let (outcomes, held) = (std::mem::take(&mut open.outcomes), std::mem::take(&mut open.held));
        drop(open);
        done(outcomes.into_iter().flatten().collect(), held);
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("left", &self.0.lock().left).finish_non_exhaustive()
    }
}
