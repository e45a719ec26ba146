//! Components that were refused a short while ago, so that the same one is not compiled and started again and again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::config::Limits;
use super::load::LoadError;
use crate::text::quoted;

/// Refusals that are remembered, of some 3 KB each at most; the oldest is forgotten first.
const MOST: usize = 256;
/// For how long. A component that failed because the machine was busy may be tried again after that.
pub(super) const REMEMBERED: Duration = Duration::from_mins(5);
/// Bytes of a reason that are remembered.
const REASON: usize = 3_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    known: Mutex<VecDeque<Refusal>>,
}

#[derive(Debug)]
struct Refusal {
    digest: String,
    /// With others it may be accepted.
    limits: Limits,
    at: Instant,
    reason: String,
    compiling: bool,
}

impl Refusals {
    /// Remembers why a component was refused, if another try would most likely end in the same way after costing as much.
    pub(super) fn remember(&self, digest: &str, limits: Limits, error: &LoadError, now: Instant) {
        let compiling = match error {
            LoadError::Compile(error) if error.is_lasting() => true,
            LoadError::Link(_) | LoadError::Start(_) => false,
            _ => return,
        };
        let reason = quoted(&error.to_string(), REASON);
        let mut known = self.known.lock();
        known.retain(|refusal| refusal.digest != digest || refusal.limits != limits);
        if known.len() == MOST {
            known.pop_front();
        }
        known.push_back(Refusal { digest: digest.to_owned(), limits, at: now, reason, compiling });
    }

    /// Why a component was refused, if that is remembered.
    pub(super) fn find(&self, digest: &str, limits: Limits, now: Instant) -> Option<LoadError> {
        let mut known = self.known.lock();
        known.retain(|refusal| now.duration_since(refusal.at) < REMEMBERED);
        let refusal = known.iter().find(|refusal| refusal.digest == digest && refusal.limits == limits)?;
        Some(LoadError::Again { reason: refusal.reason.clone(), compiling: refusal.compiling })
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile::CompileError;
    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_a_while_and_for_the_same_limits_only() {
        let (refusals, limits, now) = (Refusals::default(), Limits::default(), Instant::now());
        refusals.remember("a", limits, &LoadError::Start("it trapped".to_owned()), now);
        let found = refusals.find("a", limits, now).unwrap().to_string();
        assert!(found.contains("it trapped"), "{found}");
        assert!(refusals.find("b", limits, now).is_none());
        assert!(refusals.find("a", Limits { memory: 1, ..limits }, now).is_none());
        assert!(refusals.find("a", limits, now + REMEMBERED).is_none());
    }

    #[test]
    fn what_is_no_fault_of_the_component_is_not_remembered() {
        let (refusals, limits, now) = (Refusals::default(), Limits::default(), Instant::now());
        let io = || std::io::Error::other("no space");
        for error in [
            LoadError::Full,
            LoadError::Stopping,
            LoadError::Read(io()),
            LoadError::NotNow("no room".to_owned()),
            LoadError::Compile(CompileError::File(io())),
        ] {
            refusals.remember("a", limits, &error, now);
            assert!(refusals.find("a", limits, now).is_none(), "{error}");
        }
    }

    #[test]
    fn no_more_than_the_bound_are_remembered() {
        let (refusals, limits, now) = (Refusals::default(), Limits::default(), Instant::now());
        for n in 0..MOST + 5 {
            refusals.remember(&n.to_string(), limits, &LoadError::Link(String::new()), now);
        }
        assert_eq!(refusals.known.lock().len(), MOST);
        assert!(refusals.find("4", limits, now).is_none() && refusals.find("5", limits, now).is_some());
    }
}
