//! Byte budgets: input that becomes more is charged before it is kept, and given back by a drop.
//!
//! A [`Budget`] never hands out more than its bound, whatever the order of charges and drops. It does not queue: a charge that
//! does not fit is refused at once, and its caller answers with the error of that one operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A bound on bytes that several owners hold at the same time. A cheap handle.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    used: AtomicUsize,
    held: Gauge,
    refused: Counter,
}

/// Bytes that were charged to a budget. Given back on drop.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let used = AtomicUsize::new(0);
        Self(Arc::new(Shared { most, used, held: Gauge::default(), refused: Counter::default() }))
    }

    /// The bound, in bytes.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// Bytes that are charged now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Acquire)
    }

    /// Charges so many bytes; `None` if they do not fit, which is counted.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> Option<Charge> {
        self.take(bytes).then(|| Charge { budget: self.clone(), bytes })
    }

    /// Adds `NAME_bytes` (charged now) and `NAME_refused` (charges that did not fit) to the metrics.
    pub fn register(&self, name: &str, what: &str, registry: &mut Registry) {
        registry.register(format!("{name}_bytes"), format!("Bytes charged now: {what}"), self.0.held.clone());
        registry.register(
            format!("{name}_refused"),
            format!("Refused beyond the bound: {what}"),
            self.0.refused.clone(),
        );
    }

    fn take(&self, bytes: usize) -> bool {
        let Shared { most, used, held, refused } = &*self.0;
        let fits = |used: usize| used.checked_add(bytes).filter(|used| used <= most);
        if used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_err() {
            refused.inc();
            return false;
        }
        held.inc_by(signed(bytes));
        true
    }

    fn give_back(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::AcqRel);
        self.0.held.dec_by(signed(bytes));
    }
}

impl Charge {
    /// Charges more; false if that does not fit, and then the charge stays as it was.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.budget.take(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// The bound of its budget, in bytes.
    #[must_use]
    pub fn most(&self) -> usize {
        self.budget.most()
    }

    /// Gives so many bytes back, at most all.
    pub fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.give_back(bytes);
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// Charged bytes as a gauge counts them; they fit into memory, so into an `i64`.
fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Charge(usize),
        Grow(usize, usize),
        GiveBack(usize, usize),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_usize..60).prop_map(Step::Charge),
            (any::<usize>(), 0_usize..60).prop_map(|(which, bytes)| Step::Grow(which, bytes)),
            (any::<usize>(), 0_usize..60).prop_map(|(which, bytes)| Step::GiveBack(which, bytes)),
            any::<usize>().prop_map(Step::Drop),
        ]
    }

    proptest! {
        #[test]
        fn a_budget_agrees_with_a_plain_sum_and_is_zero_at_the_end(steps in prop::collection::vec(step(), 0..200)) {
            let budget = Budget::new(200);
            let mut live: Vec<Charge> = Vec::new();
            let (mut sum, mut refused) = (0, 0);
            for step in steps {
                match step {
                    Step::Charge(bytes) => {
                        let charge = budget.charge(bytes);
                        prop_assert_eq!(charge.is_some(), sum + bytes <= 200);
                        if charge.is_some() { sum += bytes } else { refused += 1 }
                        live.extend(charge);
                    }
                    Step::Grow(which, bytes) if !live.is_empty() => {
                        let at = which % live.len();
                        let fits = live[at].grow(bytes);
                        prop_assert_eq!(fits, sum + bytes <= 200);
                        if fits { sum += bytes } else { refused += 1 }
                    }
                    Step::GiveBack(which, bytes) if !live.is_empty() => {
                        let at = which % live.len();
                        sum -= bytes.min(live[at].bytes());
                        live[at].give_back(bytes);
                    }
                    Step::Drop(which) if !live.is_empty() => {
                        sum -= live.swap_remove(which % live.len()).bytes();
                    }
                    Step::Grow(..) | Step::GiveBack(..) | Step::Drop(_) => {}
                }
                prop_assert_eq!(budget.used(), sum);
                prop_assert_eq!(budget.0.held.get(), signed(sum));
            }
            prop_assert_eq!(budget.0.refused.get(), refused);
            drop(live);
            prop_assert_eq!((budget.used(), budget.0.held.get()), (0, 0));
        }
    }

    #[test]
    fn a_charge_beyond_all_numbers_is_refused() {
        let budget = Budget::new(usize::MAX);
        let _held = budget.charge(10).unwrap();
        assert!(budget.charge(usize::MAX).is_none());
        assert_eq!(budget.used(), 10);
    }
}
