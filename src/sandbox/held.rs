//! How much a module has answered that is not delivered yet.
//!
//! Answers leave in the order of their events, so one that takes long holds back what is answered after it. What is held
//! meanwhile is memory of the host, and guests decide how much it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::outcome::{Failure, Outcome};

/// Most bytes of one module's answers that are held.
const MOST_BYTES: usize = 256 << 20;
/// What an outcome takes beside its texts, in the inbox and in its place of a lane: skips and small values cost memory, too.
const PER_OUTCOME: usize = 256;

/// Counts, for one module.
#[derive(Debug, Default)]
pub(super) struct Holding(Arc<AtomicUsize>);

/// Answers that are held. They count until this is dropped.
#[derive(Debug, Default)]
pub struct Held {
    /// `None` only as long as there are no bytes.
    count: Option<Arc<AtomicUsize>>,
    bytes: AtomicUsize,
}

impl Holding {
    /// Counts all outcomes with their values and failures, and makes short failures of those that there is no room for. How many these are is
    /// returned, too.
    pub(super) fn take(&self, outcomes: &mut [Outcome]) -> (Held, usize) {
        let held = Held { count: Some(Arc::clone(&self.0)), bytes: AtomicUsize::default() };
        let mut refused = 0;
        for outcome in outcomes {
            let bytes = match &*outcome {
                Outcome::Value(value) | Outcome::Completed(Some(value)) => value.len(),
                Outcome::Failed(failure) => failure.bytes(),
                Outcome::Skip | Outcome::Completed(None) => 0,
            };
            if held.grow(PER_OUTCOME + bytes) {
                continue;
            }
            refused += 1;
            *outcome = Outcome::Failed(Failure::no_room());
        }
        (held, refused)
    }
}

impl Held {
    /// Counts what is made of the answers until they are delivered; false if there is no room for so much.
    #[must_use]
    pub fn grow(&self, bytes: usize) -> bool {
        let Some(count) = &self.count else { return true };
        if count.fetch_add(bytes, Ordering::Relaxed) + bytes > MOST_BYTES {
            count.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(count) = &self.count {
            count.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(sizes: &[usize]) -> Vec<Outcome> {
        sizes.iter().map(|size| Outcome::Value("1".repeat(*size))).collect()
    }

    #[test]
    fn outcomes_without_a_value_count_for_the_memory_that_they_take() {
        let holding = Holding::default();
        let most = MOST_BYTES / PER_OUTCOME;
        let mut outcomes = vec![Outcome::Skip; most + 1];
        outcomes[most / 2] = Outcome::Completed(None);
        let (held, refused) = holding.take(&mut outcomes);
        assert_eq!(refused, 1, "of {most} and one");
        assert!(matches!(outcomes.last(), Some(Outcome::Failed(_))));
        drop(held);
        assert_eq!(holding.take(&mut [Outcome::Skip]).1, 0);
        assert!(PER_OUTCOME >= size_of::<Outcome>(), "{}", size_of::<Outcome>());
    }

    #[test]
    fn failures_count_like_values() {
        let holding = Holding::default();
        let failure = || Outcome::Failed(Failure { message: "1".repeat(MOST_BYTES / 2 + 1), ..Failure::default() });
        let mut failures = [failure(), failure()];
        assert_eq!(holding.take(&mut failures).1, 1);
        let [Outcome::Failed(first), Outcome::Failed(second)] = failures else { panic!("{failures:?}") };
        assert!(first.code.is_none() && second.bytes() < 200, "{second:?}");
    }

    #[test]
    fn values_count_until_they_are_delivered_and_beyond_the_bound_they_fail() {
        let holding = Holding::default();
        let mut most = values(&[MOST_BYTES / 2 - PER_OUTCOME, MOST_BYTES / 2 - 2 * PER_OUTCOME - 1]);
        most.insert(1, Outcome::Skip);
        let (first, refused) = holding.take(&mut most);
        assert_eq!(refused, 0);
        let mut more = [Outcome::Value("12".to_owned()), Outcome::Skip];
        assert_eq!(holding.take(&mut more).1, 2, "nor is there room for the place that it takes");
        let (mut second, refused) = holding.take(&mut []);
        assert_eq!(refused, 0);
        let [Outcome::Failed(failure), _] = &more[..] else { panic!("{more:?}") };
        assert_eq!((failure.code.as_deref(), failure.expose), (Some("OVERLOADED"), true));
        drop(second);
        second = holding.take(&mut values(&[2])).0;
        assert_eq!(second.bytes.load(Ordering::Relaxed), 0, "the first is still held");
        assert!(!second.grow(2), "nor is there room for what is made of it");
        drop((first, second));
        assert_eq!(holding.0.load(Ordering::Relaxed), 0);
    }
}
