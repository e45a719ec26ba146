//! What waits for one field: a line, or one for each tenant, which take turns.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::super::piece::Piece;
use super::line::Line;
use crate::outcome::Tenant;

/// See the module.
#[derive(Debug)]
pub(super) enum Lines {
    /// Where tenants do not matter.
    One(Line),
    /// One for each tenant that waits; an empty one goes.
    Each {
        lines: HashMap<Tenant, Line>,
        /// The tenants by their turns.
        turns: BTreeMap<u64, Tenant>,
        next_turn: u64,
    },
}

impl Lines {
    pub(super) fn one() -> Self {
        Self::One(Line::default())
    }

    pub(super) fn each() -> Self {
        Self::Each { lines: HashMap::new(), turns: BTreeMap::new(), next_turn: 0 }
    }

    /// Cuts off what may not wait while `free` places are left of the field's. With several lines, each may be as long as
    /// what is left to all: a tenant that floods leaves room to others, however many of its kind there are.
    pub(super) fn refuse(&self, piece: &mut Piece, free: usize) -> Option<Piece> {
        match self {
            Self::One(line) => line.refuse(piece, free),
            Self::Each { lines, .. } => {
                let line = lines.get(&piece.tenant());
                if line.map_or(0, |line| line.invocations) + piece.len() > free {
                    return piece.split_if(|_| true);
                }
                line.and_then(|line| line.refuse(piece, free))
            }
        }
    }

    pub(super) fn push(&mut self, piece: Piece) {
        match self {
            Self::One(line) => line.push(piece),
            Self::Each { lines, turns, next_turn } => {
                let tenant = piece.tenant();
                let line = lines.entry(tenant.clone()).or_default();
                if line.is_empty() {
                    line.turn = *next_turn;
                    turns.insert(*next_turn, tenant);
                    *next_turn += 1;
                }
                line.push(piece);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::One(line) => line.is_empty(),
            Self::Each { lines, .. } => lines.is_empty(),
        }
    }

    /// The tenants that wait, in the order of their turns. Where tenants do not matter, there is one.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        let (one, each) = match self {
            Self::One(line) => ((!line.is_empty()).then_some(&None), None),
            Self::Each { turns, .. } => (None, Some(turns.values())),
        };
        one.into_iter().chain(each.into_iter().flatten())
    }

    pub(super) fn line(&self, tenant: &Tenant) -> Option<&Line> {
        match self {
            Self::One(line) => (!line.is_empty()).then_some(line),
            Self::Each { lines, .. } => lines.get(tenant),
        }
    }

    pub(super) fn line_mut(&mut self, tenant: &Tenant) -> Option<&mut Line> {
        match self {
            Self::One(line) => Some(line),
            Self::Each { lines, .. } => lines.get_mut(tenant),
        }
    }

    /// This tenant has had its turn.
    pub(super) fn served(&mut self, tenant: &Tenant) {
        let Self::Each { lines, turns, next_turn } = self else { return };
        let Some(line) = lines.get_mut(tenant) else { return };
        let entry = turns.remove(&line.turn);
        if line.is_empty() {
            lines.remove(tenant);
        } else if let Some(entry) = entry {
            line.turn = *next_turn;
            turns.insert(*next_turn, entry);
            *next_turn += 1;
        }
    }

    /// Takes out what came before this time, in all lines.
    pub(super) fn expire(&mut self, before: Instant, expired: &mut Vec<Piece>) {
        match self {
            Self::One(line) => line.expire(before, expired),
            Self::Each { lines, turns, .. } => lines.retain(|_, line| {
                line.expire(before, expired);
                if line.is_empty() {
                    turns.remove(&line.turn);
                }
                !line.is_empty()
            }),
        }
    }

    /// Since when the oldest piece waits. Looks at all of them.
    pub(super) fn oldest(&self) -> Option<Instant> {
        match self {
            Self::One(line) => line.oldest(),
            Self::Each { lines, .. } => lines.values().filter_map(Line::oldest).min(),
        }
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Vec<Piece> {
        match self {
            Self::One(line) => line.clear(),
            Self::Each { lines, turns, .. } => {
                turns.clear();
                std::mem::take(lines).into_values().flat_map(|mut line| line.clear()).collect()
            }
        }
    }
}
