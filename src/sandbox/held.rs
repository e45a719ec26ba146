//! How much a module has answered that is not delivered yet.
//!
//! Answers leave in the order of their events, so one that takes long holds back what is answered after it; and a job is
//! answered as a whole. What is held meanwhile is memory of the host, and guests decide how much it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::outcome::{Failure, Outcome};

/// Most bytes of one module's values that are held.
const MOST_BYTES: usize = 256 << 20;

/// Counts, for one module.
#[derive(Debug, Default)]
pub(super) struct Holding(Arc<AtomicUsize>);

/// Values that are held. They count until this is dropped.
#[derive(Debug, Default)]
pub struct Held {
    /// `None` only as long as there are no bytes.
    count: Option<Arc<AtomicUsize>>,
    bytes: usize,
}

impl Holding {
    /// Counts the values, and makes failures of those that there is no room for. How many these are is returned, too.
    pub(super) fn take(&self, outcomes: &mut [Outcome]) -> (Held, usize) {
        let mut held = Held { count: Some(Arc::clone(&self.0)), bytes: 0 };
        let mut refused = 0;
        for outcome in outcomes {
            let (Outcome::Value(value) | Outcome::Completed(Some(value))) = &*outcome else { continue };
            let bytes = value.len();
            if self.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_BYTES {
                held.bytes += bytes;
                continue;
            }
            self.0.fetch_sub(bytes, Ordering::Relaxed);
            refused += 1;
            *outcome = Outcome::Failed(Failure {
                message: "Too much of what was resolved waits for its delivery; this event is not delivered".to_owned(),
                code: Some("OVERLOADED".to_owned()),
                expose: true,
                ..Failure::default()
            });
        }
        (held, refused)
    }
}

impl Held {
    /// Takes over what another one of the same module holds.
    pub(super) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
        if self.count.is_none() {
            self.count = other.count.take();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(count) = &self.count {
            count.fetch_sub(self.bytes, Ordering::Relaxed);
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
    fn values_count_until_they_are_delivered_and_beyond_the_bound_they_fail() {
        let holding = Holding::default();
        let mut most = values(&[MOST_BYTES / 2, MOST_BYTES / 2 - 1]);
        most.insert(1, Outcome::Skip);
        let (first, refused) = holding.take(&mut most);
        assert_eq!(refused, 0);
        let mut more = values(&[2, 1]);
        let (mut second, refused) = holding.take(&mut more);
        assert_eq!(refused, 1);
        let [Outcome::Failed(failure), Outcome::Value(_)] = &more[..] else { panic!("{more:?}") };
        assert_eq!((failure.code.as_deref(), failure.expose), (Some("OVERLOADED"), true));
        let mut held = Held::default();
        held.join(first);
        drop(second);
        second = holding.take(&mut values(&[2])).0;
        assert_eq!(second.bytes, 0, "the first is still held");
        drop((held, second));
        assert_eq!(holding.0.load(Ordering::Relaxed), 0);
    }
}
