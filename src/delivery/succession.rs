//! The order between two generations: what a cohort of the old one still owes goes out before anything of the cohorts in
//! which its members go on.
//!
//! Known to the delivering task alone, and empty unless a swap has just happened.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use crate::registry::{Cohort, Handover, Member};

/// Fires when it is dropped: when nothing of the old generation is left to deliver.
#[derive(Debug)]
pub(super) struct Drained {
    number: HandoverNumber,
    sender: Option<oneshot::Sender<()>>,
}

/// Tells one handover from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HandoverNumber(u64);

impl Drop for Drained {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            // Whoever waited may have lost patience.
            let _ = sender.send(());
        }
    }
}

impl Drained {
    pub(super) fn new() -> (Self, HandoverNumber, oneshot::Receiver<()>) {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = HandoverNumber(LAST.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        (Self { number, sender: Some(sender) }, number, receiver)
    }
}

/// A cohort whose members have moved on, and that has answers to come.
#[derive(Debug)]
struct Predecessor {
    successors: Vec<Arc<Cohort>>,
    /// Members that end with it.
    ended: Vec<Member>,
    drained: Arc<Drained>,
}

/// What became free because a cohort has nothing more to come.
#[derive(Debug, Default)]
pub(super) struct Released {
    /// Cohorts whose answers may go out now.
    pub(super) cohorts: Vec<Arc<Cohort>>,
    /// Members whose subscription ends now.
    pub(super) ended: Vec<Member>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// Each keeps its cohort, so that no other one gets the name meanwhile.
    predecessors: HashMap<Name, (Arc<Cohort>, Predecessor)>,
    /// For each successor, how many predecessors it waits for.
    held: HashMap<Name, usize>,
}

/// What tells one cohort from another: where it lies in memory.
type Name = usize;

fn name(cohort: &Cohort) -> Name {
    std::ptr::from_ref(cohort).addr()
}

impl Succession {
    /// Whether the cohort's answers have to wait.
    pub(super) fn holds(&self, cohort: &Cohort) -> bool {
        !self.held.is_empty() && self.held.contains_key(&name(cohort))
    }

    /// Takes over from one generation to the next. Returns the members that end at once.
    pub(super) fn hand_over(&mut self, handover: Handover, drained: Drained) -> Vec<Member> {
        let drained = Arc::new(drained);
        for cohort in handover.predecessors() {
            if !cohort.owes() && !self.holds(&cohort) {
                continue;
            }
            let successors = handover.successors(&cohort);
            for successor in &successors {
                *self.held.entry(name(successor)).or_default() += 1;
            }
            let predecessor = Predecessor { successors, ended: Vec::new(), drained: Arc::clone(&drained) };
            self.predecessors.insert(name(&cohort), (cohort, predecessor));
        }
        let mut at_once = Vec::new();
        for (cohort, member) in handover.ended {
            match self.predecessors.get_mut(&name(&cohort)) {
                Some((_, predecessor)) => predecessor.ended.push(member),
                None => at_once.push(member),
            }
        }
        at_once
    }

    /// Forgets who waits for whom, and returns the cohorts that are free now.
    pub(super) fn give_up(&mut self) -> Vec<Arc<Cohort>> {
        self.held.clear();
        let predecessors = std::mem::take(&mut self.predecessors);
        predecessors.into_values().flat_map(|(_, predecessor)| predecessor.successors).collect()
    }

    /// The cohorts of this handover that still owe answers.
    pub(super) fn overdue(&self, number: HandoverNumber) -> Vec<Arc<Cohort>> {
        let of_it = |(_, predecessor): &&(_, Predecessor)| predecessor.drained.number == number;
        self.predecessors.values().filter(of_it).map(|(cohort, _)| Arc::clone(cohort)).collect()
    }

    /// A cohort has delivered all that it owed. `None` if nobody waited for that.
    pub(super) fn release(&mut self, cohort: &Cohort) -> Option<Released> {
        if self.predecessors.is_empty() {
            return None;
        }
        let (_, predecessor) = self.predecessors.remove(&name(cohort))?;
        let mut released = Released { cohorts: Vec::new(), ended: predecessor.ended };
        for successor in predecessor.successors {
            let Some(count) = self.held.get_mut(&name(&successor)) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.held.remove(&name(&successor));
                released.cohorts.push(successor);
            }
        }
        Some(released)
    }
}
