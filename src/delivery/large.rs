//! Large values, projected one at a time on a thread of their own: the delivering task serves everybody, and a megabyte
//! takes milliseconds. What its cohort gets next waits in the lane; other cohorts do not. Modules take turns.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::outcome::Outcome;
use crate::position::Position;
use crate::registry::{Cohort, Ticket};
use crate::sandbox::{Held, Module};

/// Bytes of JSON from which on a value counts as large, for all that is selected of it together. Below, projecting takes
/// less than a handful of system calls.
const LARGE: usize = 64 << 10;

/// When so much of a job's values has been projected, its others count as large from `REST` on.
const JOB: usize = 1 << 20;
const REST: usize = 4 << 10;

/// A value on its way to be projected, for the place in its cohort's lane.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) cohort: Arc<Cohort>,
    pub(super) ticket: Ticket,
    pub(super) position: Position,
    pub(super) outcome: Outcome,
    pub(super) held: Arc<Held>,
}

/// Those that wait. Bounded by what the sandbox lets each module hold.
#[derive(Debug, Default)]
pub(super) struct LargeValues {
    /// None is empty. The module whose turn is next comes first.
    lines: VecDeque<(Arc<Module>, VecDeque<Large>)>,
    busy: bool,
}

/// The value, if there is one.
pub(super) fn value(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Value(value) | Outcome::Completed(Some(value)) => Some(value),
        _ => None,
    }
}

/// What of one job has been projected so far where everybody waits for it.
#[derive(Debug, Default)]
pub(super) struct Spent(usize);

impl Spent {
    /// Whether a value is to be projected beside, since it takes long, or the job has taken long already.
    pub(super) fn is_large(&mut self, cohort: &Cohort, outcome: &Outcome) -> bool {
        let Some(value) = value(outcome) else { return false };
        let repeats: usize = cohort.groups.lock().iter().map(|group| group.selection.repeats()).sum();
        self.exceeds(value.len().saturating_mul(repeats))
    }

    fn exceeds(&mut self, bytes: usize) -> bool {
        if bytes >= LARGE || (bytes >= REST && self.0 >= JOB) {
            return true;
        }
        self.0 += bytes;
        false
    }
}

impl LargeValues {
    pub(super) fn push(&mut self, module: &Arc<Module>, large: Large) {
        match self.lines.iter_mut().find(|(of, _)| Arc::ptr_eq(of, module)) {
            Some((_, line)) => line.push_back(large),
            None => self.lines.push_back((Arc::clone(module), VecDeque::from([large]))),
        }
    }

    /// The next one, unless one is being projected.
    pub(super) fn start(&mut self) -> Option<Large> {
        if self.busy {
            return None;
        }
        let (module, mut line) = self.lines.pop_front()?;
        let next = line.pop_front();
        if !line.is_empty() {
            self.lines.push_back((module, line));
        }
        self.busy = next.is_some();
        next
    }

    /// The one that was started is projected.
    pub(super) fn finish(&mut self) {
        self.busy = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_only_so_much_projected_where_everybody_waits() {
        let mut spent = Spent::default();
        assert!(spent.exceeds(LARGE) && !spent.exceeds(LARGE - 1));
        let mut spent = Spent::default();
        let beside = (0..1000).filter(|_| spent.exceeds(LARGE / 2)).count();
        assert_eq!(1000 - beside, JOB / (LARGE / 2));
        assert!(!spent.exceeds(REST - 1), "small ones are not worth a thread");
    }
}
