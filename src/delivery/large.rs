//! Large values, projected one at a time on a thread of their own: the delivering task serves everybody, and a megabyte
//! takes milliseconds. What its cohort gets next waits in the lane; other cohorts do not.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::outcome::Outcome;
use crate::position::Position;
use crate::registry::{Cohort, Ticket};

/// Bytes of JSON from which on a value counts as large. Below, projecting takes less than a handful of system calls.
const LARGE: usize = 64 << 10;

/// A value on its way to be projected, for the place in its cohort's lane.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) cohort: Arc<Cohort>,
    pub(super) ticket: Ticket,
    pub(super) position: Position,
    pub(super) outcome: Outcome,
}

/// Those that wait. Bounded by the jobs that the sandbox admits.
#[derive(Debug, Default)]
pub(super) struct LargeValues {
    waiting: VecDeque<Large>,
    busy: bool,
}

/// The value, if there is one and it is large.
pub(super) fn large_value(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Value(value) | Outcome::Completed(Some(value)) if value.len() >= LARGE => Some(value),
        _ => None,
    }
}

impl LargeValues {
    pub(super) fn push(&mut self, large: Large) {
        self.waiting.push_back(large);
    }

    /// The next one, unless one is being projected.
    pub(super) fn start(&mut self) -> Option<Large> {
        if self.busy {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.busy = true;
        Some(next)
    }

    /// The one that was started is projected.
    pub(super) fn finish(&mut self) {
        self.busy = false;
    }
}
