//! The connections of a cohort's members: among them is the one that is charged for its invocations.

use indexmap::IndexMap;
use smallvec::SmallVec;

use crate::ids::ConnectionId;

/// Connections of one cohort that are looked at for one event. Of a cohort with more of them each event looks at others.
const CANDIDATES: usize = 16;

/// Distinct connections that may be charged for an invocation; one, unless a cohort is shared.
pub type Candidates = SmallVec<[ConnectionId; 2]>;

/// See the module. Counts the members of each connection.
#[derive(Debug, Default)]
pub(super) enum Payers {
    #[default]
    Nobody,
    One(ConnectionId, usize),
    Several(Box<Several>),
}

#[derive(Debug)]
pub(super) struct Several {
    members: IndexMap<ConnectionId, usize>,
    /// Where the next look begins.
    next: usize,
}

impl Payers {
    pub(super) fn join(&mut self, payer: ConnectionId) {
        match self {
            Self::Nobody => *self = Self::One(payer, 1),
            Self::One(known, members) if *known == payer => *members += 1,
            Self::One(known, members) => {
                let members = IndexMap::from([(*known, *members), (payer, 1)]);
                *self = Self::Several(Box::new(Several { members, next: 0 }));
            }
            Self::Several(several) => *several.members.entry(payer).or_default() += 1,
        }
    }

    pub(super) fn leave(&mut self, payer: ConnectionId) {
        match self {
            Self::One(known, members) if *known == payer => {
                *members -= 1;
                if *members == 0 {
                    *self = Self::Nobody;
                }
            }
            Self::Several(several) => {
                let members = &mut several.members;
                if let Some(count) = members.get_mut(&payer) {
                    *count -= 1;
                    if *count == 0 {
                        members.swap_remove(&payer);
                    }
                }
                if let (1, Some((payer, count))) = (members.len(), members.first()) {
                    *self = Self::One(*payer, *count);
                }
            }
            Self::Nobody | Self::One(..) => {}
        }
    }

    /// Some of them: all, up to sixteen.
    pub(super) fn candidates(&mut self) -> Candidates {
        match self {
            Self::Nobody => Candidates::new(),
            Self::One(payer, _) => Candidates::from_slice(&[*payer]),
            Self::Several(several) => {
                let Several { members, next } = &mut **several;
                let count = members.len().min(CANDIDATES);
                let first = if members.len() > CANDIDATES { *next % members.len() } else { 0 };
                *next = first + count;
                (first..first + count)
                    .filter_map(|nth| members.get_index(nth % members.len()).map(|(payer, _)| *payer))
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_the_connections_that_have_members() {
        let mut payers = Payers::default();
        let (a, b) = (ConnectionId::next(), ConnectionId::next());
        assert!(payers.candidates().is_empty());
        for payer in [a, a, b] {
            payers.join(payer);
        }
        assert_eq!(payers.candidates()[..], [a, b]);
        payers.leave(a);
        assert_eq!(payers.candidates()[..], [a, b]);
        payers.leave(a);
        assert_eq!(payers.candidates()[..], [b]);
        payers.leave(a);
        payers.leave(b);
        assert!(payers.candidates().is_empty());
    }

    #[test]
    fn of_many_connections_each_has_its_turn_to_be_looked_at() {
        let mut payers = Payers::default();
        let all: Vec<_> = (0..100).map(|_| ConnectionId::next()).collect();
        for payer in &all {
            payers.join(*payer);
        }
        let mut seen = std::collections::HashSet::new();
        for _ in 0..all.len().div_ceil(CANDIDATES) {
            let candidates = payers.candidates();
            assert_eq!(candidates.len(), CANDIDATES);
            seen.extend(candidates);
        }
        assert_eq!(seen.len(), all.len());
    }
}
