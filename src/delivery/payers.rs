//! Whose turn an invocation takes: the connection that is charged for a cohort.
//!
//! A cohort of one connection is charged to it. One that several connections share is charged to the one that has fewest
//! invocations of the same event: joining the cohort of somebody else makes it no slower, and two connections that share
//! many cohorts have two turns and not one for each cohort.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ids::ConnectionId;
use crate::outcome::Payer;
use crate::registry::{Candidates, Cohort};

/// The payer of each of these cohorts, which one event reaches.
pub(super) fn assign(cohorts: &[Arc<Cohort>]) -> Vec<Payer> {
    let candidates: Vec<_> = cohorts.iter().map(|cohort| cohort.payers()).collect();
    choose(&candidates)
}

fn choose(candidates: &[Candidates]) -> Vec<Payer> {
    let is_shared = |candidates: &Candidates| candidates.len() > 1;
    if candidates.len() == 1 || !candidates.iter().any(is_shared) {
        return candidates.iter().map(|candidates| candidates.first().copied()).collect();
    }
    let mut charged: HashMap<ConnectionId, usize> = HashMap::new();
    for payer in candidates.iter().filter(|candidates| !is_shared(candidates)).flatten() {
        *charged.entry(*payer).or_default() += 1;
    }
    let one = |candidates: &Candidates| {
        if !is_shared(candidates) {
            return candidates.first().copied();
        }
        let fewest = candidates.iter().min_by_key(|payer| charged.get(payer).copied().unwrap_or_default()).copied();
        if let Some(payer) = fewest {
            *charged.entry(payer).or_default() += 1;
        }
        fewest
    };
    candidates.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_cohort_is_charged_to_the_connection_with_fewest_invocations_of_the_event() {
        let (flood, quiet, other) = (ConnectionId::next(), ConnectionId::next(), ConnectionId::next());
        let mut cohorts: Vec<Candidates> = (0..10).map(|_| Candidates::from_slice(&[flood])).collect();
        cohorts.insert(0, Candidates::from_slice(&[flood, quiet]));
        cohorts.push(Candidates::from_slice(&[other]));
        let payers = choose(&cohorts);
        assert_eq!(payers[0], Some(quiet));
        assert!(payers[1..11].iter().all(|payer| *payer == Some(flood)));
        assert_eq!(payers[11], Some(other));
    }

    #[test]
    fn connections_that_share_many_cohorts_share_the_charge() {
        let pair = [ConnectionId::next(), ConnectionId::next()];
        let cohorts: Vec<_> = (0..100).map(|_| Candidates::from_slice(&pair)).collect();
        let first = choose(&cohorts).into_iter().filter(|payer| *payer == Some(pair[0])).count();
        assert_eq!(first, 50);
    }

    #[test]
    fn a_cohort_that_everybody_has_left_has_no_payer() {
        assert_eq!(choose(&[Candidates::new()]), [None]);
        assert!(choose(&[]).is_empty());
    }
}
