//! A piece of a job: some of its invocations, on their way through the queue, and back with their outcomes.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::event::Event;
use crate::outcome::{Failure, Invocation, Job, Outcome};

/// Takes the outcomes of a job, in the order of its invocations. Called once, on a thread of the sandbox.
pub type Done = Box<dyn FnOnce(Vec<Outcome>) + Send>;

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
        let Job { field: _, event, invocations } = job;
        let open =
            Open { outcomes: invocations.iter().map(|_| None).collect(), left: invocations.len(), done: Some(done) };
        Self { event, invocations, enqueued: now, first: 0, reply: Arc::new(Reply(Mutex::new(open))) }
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

    /// One outcome for each invocation, in their order.
    pub(super) fn answer(mut self, outcomes: impl Iterator<Item = Outcome>) {
        self.settle(outcomes);
    }

    /// The same failure for each invocation.
    pub(super) fn fail(mut self, failure: &Failure) {
        self.settle(std::iter::repeat_with(|| Outcome::Failed(failure.clone())));
    }

    fn settle(&mut self, outcomes: impl Iterator<Item = Outcome>) {
        let count = std::mem::take(&mut self.invocations).len();
        self.reply.fill(self.first, outcomes.take(count));
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if !self.invocations.is_empty() {
            let failure =
                Failure { message: "the sandbox ended before the resolver ran".to_owned(), ..Failure::default() };
            self.settle(std::iter::repeat_with(|| Outcome::Failed(failure.clone())));
        }
    }
}

/// Collects the outcomes of a job's pieces.
struct Reply(Mutex<Open>);

struct Open {
    outcomes: Vec<Option<Outcome>>,
    left: usize,
    done: Option<Done>,
}

impl Reply {
    fn fill(&self, first: usize, outcomes: impl Iterator<Item = Outcome>) {
        let mut open = self.0.lock();
        for (slot, outcome) in (first..).zip(outcomes) {
            if open.outcomes[slot].replace(outcome).is_none() {
                open.left -= 1;
            }
        }
        if open.left > 0 {
            return;
        }
        let Some(done) = open.done.take() else { return };
        let outcomes = std::mem::take(&mut open.outcomes);
        drop(open);
        done(outcomes.into_iter().flatten().collect());
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("left", &self.0.lock().left).finish_non_exhaustive()
    }
}
