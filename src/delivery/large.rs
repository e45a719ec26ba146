//! Large values, projected on a thread of their own: the delivering task serves everybody, and a megabyte takes
//! milliseconds. What its cohort gets next waits in the lane; other cohorts do not. Modules take turns, also in the middle of
//! a value that many have selected differently.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::graphql::Selection;
use crate::outcome::{Failure, Outcome};
use crate::registry::{Answer, Cohort, Ticket};
use crate::sandbox::Module;

/// Bytes of JSON from which on a value counts as large, for all that is selected of it together. Below, projecting takes
/// less than a handful of system calls.
const LARGE: usize = 64 << 10;

/// When so much of a job's values has been projected, its others count as large from `REST` on.
const JOB: usize = 1 << 20;
const REST: usize = 4 << 10;

/// Bytes of results after which it is another module's turn.
pub(super) const TURN: usize = 1 << 20;

/// A value on its way to be projected, for the place in its cohort's lane.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) module: Arc<Module>,
    pub(super) cohort: Arc<Cohort>,
    pub(super) ticket: Ticket,
    /// With the results so far.
    pub(super) answer: Answer,
    /// For whom there is none yet, the one that selects least last; `None` before the first turn.
    pub(super) left: Option<Vec<Arc<Selection>>>,
}

impl Large {
    /// Nothing more comes of it: those who have no result yet get the failure.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.answer.outcome = Outcome::Failed(failure);
        self.left = Some(Vec::new());
    }

    /// Who waits for a result.
    pub(super) fn left(&mut self) -> &mut Vec<Arc<Selection>> {
        let Self { cohort, answer, left, .. } = self;
        left.get_or_insert_with(|| {
            let size = size(&answer.outcome);
            let mut left = cohort.waiting(answer.position.offset).into_vec();
            // Should there not be room for all, it is for those who want little.
            left.sort_by_cached_key(|selection| std::cmp::Reverse(size.of_result(selection)));
            left
        })
    }
}

/// Those that wait. Bounded by what the sandbox lets each module hold.
#[derive(Debug, Default)]
pub(super) struct LargeValues {
    /// None is empty. The module whose turn is next comes first.
    lines: VecDeque<VecDeque<Large>>,
    busy: bool,
}

/// How large an outcome is.
#[derive(Clone, Copy)]
enum Size {
    Value { bytes: usize, objects: usize },
    Failure { bytes: usize },
    Nothing,
}

fn size(outcome: &Outcome) -> Size {
    match outcome {
        Outcome::Value(value) | Outcome::Completed(Some(value)) => {
            // At most: braces in strings count, too.
            let objects = value.bytes().filter(|byte| *byte == b'{').count();
            Size::Value { bytes: value.len(), objects }
        }
        Outcome::Failed(failure) => Size::Failure { bytes: failure.bytes() },
        Outcome::Skip | Outcome::Completed(None) => Size::Nothing,
    }
}

impl Size {
    /// About how many bytes a result has at most.
    fn of_result(self, selection: &Selection) -> usize {
        match self {
            Self::Value { bytes, objects } => selection.most_bytes(bytes, objects),
            Self::Failure { bytes } => bytes,
            Self::Nothing => 0,
        }
    }
}

/// Bytes of one job's values that the delivering task has projected itself so far. Used by that task alone.
#[derive(Debug, Default)]
pub(super) struct Spent(AtomicUsize);

impl Spent {
    /// Whether an outcome is to be projected beside, since that takes long, or the job has taken long already.
    pub(super) fn is_large(&self, cohort: &Cohort, outcome: &Outcome) -> bool {
        let size = size(outcome);
        self.exceeds(cohort.sum(|selection| size.of_result(selection)))
    }

    fn exceeds(&self, bytes: usize) -> bool {
        if bytes >= LARGE || (bytes >= REST && self.0.load(Ordering::Relaxed) >= JOB) {
            return true;
        }
        self.0.fetch_add(bytes, Ordering::Relaxed);
        false
    }
}

impl LargeValues {
    pub(super) fn push(&mut self, large: Large) {
        match self.line(&large.module) {
            Some(line) => line.push_back(large),
            None => self.lines.push_back(VecDeque::from([large])),
        }
    }

    /// One whose turn was not enough.
    pub(super) fn push_again(&mut self, large: Large) {
        match self.line(&large.module) {
            Some(line) => line.push_front(large),
            None => self.lines.push_back(VecDeque::from([large])),
        }
    }

    fn line(&mut self, module: &Arc<Module>) -> Option<&mut VecDeque<Large>> {
        self.lines.iter_mut().find(|line| line.front().is_some_and(|first| Arc::ptr_eq(&first.module, module)))
    }

    /// The next one, unless one is being projected.
    pub(super) fn start(&mut self) -> Option<Large> {
        if self.busy {
            return None;
        }
        let mut line = self.lines.pop_front()?;
        let next = line.pop_front();
        if !line.is_empty() {
            self.lines.push_back(line);
        }
        self.busy = next.is_some();
        next
    }

    /// The turn of the one that was started is over.
    pub(super) fn finish(&mut self) {
        self.busy = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_only_so_much_projected_where_everybody_waits() {
        let spent = Spent::default();
        assert!(spent.exceeds(LARGE) && !spent.exceeds(LARGE - 1));
        let spent = Spent::default();
        let beside = (0..1000).filter(|_| spent.exceeds(LARGE / 2)).count();
        assert_eq!(1000 - beside, JOB / (LARGE / 2));
        assert!(!spent.exceeds(REST - 1), "small ones are not worth a thread");
    }
}
