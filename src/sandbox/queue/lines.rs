//! What waits for one field: a line, or one for each tenant, which take turns.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use super::super::piece::Piece;
use crate::outcome::Tenant;

/// Pieces in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) pieces: VecDeque<Piece>,
    /// In `pieces`.
    pub(super) invocations: usize,
    /// When its turn is, among the lines of its field.
    turn: u64,
}

impl Line {
    /// Cuts off up to `quota` invocations.
    pub(super) fn take(&mut self, mut quota: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while quota > 0
            && let Some(front) = self.pieces.front_mut()
        {
            let fits = front.invocations.len() <= quota;
            let piece = if fits { self.pieces.pop_front() } else { Some(front.split_front(quota)) };
            let Some(piece) = piece else { break };
            quota -= piece.invocations.len().min(quota);
            self.invocations -= piece.invocations.len();
            pieces.push(piece);
        }
        pieces
    }

    /// Takes out what came before this time.
    pub(super) fn expire(&mut self, before: Instant, expired: &mut Vec<Piece>) {
        while let Some(piece) = self.pieces.pop_front_if(|piece| piece.enqueued < before) {
            self.invocations -= piece.invocations.len();
            expired.push(piece);
        }
    }

    fn push(&mut self, piece: Piece) {
        self.invocations += piece.invocations.len();
        self.pieces.push_back(piece);
    }
}

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

    /// Whether a piece may join while `free` places are left of the field's. With several lines, each may be as long as
    /// what is left to all: a tenant that floods leaves room to others, however many of its kind there are.
    pub(super) fn admits(&self, piece: &Piece, free: usize) -> bool {
        let waits = match self {
            Self::One(_) => 0,
            Self::Each { lines, .. } => lines.get(&piece.tenant()).map_or(0, |line| line.invocations),
        };
        waits + piece.invocations.len() <= free
    }

    pub(super) fn push(&mut self, piece: Piece) {
        match self {
            Self::One(line) => line.push(piece),
            Self::Each { lines, turns, next_turn } => {
                let tenant = piece.tenant();
                let line = lines.entry(tenant.clone()).or_default();
                if line.pieces.is_empty() {
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
            Self::One(line) => line.pieces.is_empty(),
            Self::Each { lines, .. } => lines.is_empty(),
        }
    }

    /// The tenants that wait, in the order of their turns. Where tenants do not matter, there is one.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        let (one, each) = match self {
            Self::One(line) => ((!line.pieces.is_empty()).then_some(&None), None),
            Self::Each { turns, .. } => (None, Some(turns.values())),
        };
        one.into_iter().chain(each.into_iter().flatten())
    }

    pub(super) fn line(&self, tenant: &Tenant) -> Option<&Line> {
        match self {
            Self::One(line) => (!line.pieces.is_empty()).then_some(line),
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
        if line.pieces.is_empty() {
            lines.remove(tenant);
        } else if let Some(entry) = entry {
            line.turn = *next_turn;
            turns.insert(*next_turn, entry);
            *next_turn += 1;
        }
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Vec<Piece> {
        match self {
            Self::One(line) => {
                line.invocations = 0;
                std::mem::take(&mut line.pieces).into()
            }
            Self::Each { lines, turns, .. } => {
                turns.clear();
                std::mem::take(lines).into_values().flat_map(|line| line.pieces).collect()
            }
        }
    }
}
