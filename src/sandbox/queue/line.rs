//! A line of what waits for one field: connections take turns in it.
//!
//! Start-time fair queueing, with one invocation as the unit. Each invocation gets a round: the one after the last
//! round of its payer, and the current one at least. Lower rounds are served first, equal ones in the order in which
//! they came. A connection that asks for much therefore waits behind its own invocations; one that asks for one thing has
//! it after one invocation of each other connection at most. A job stays one piece, sorted by rounds, so that an event
//! for thousands of connections costs one entry.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Instant;

use super::super::piece::{Asked, Piece};
use crate::outcome::Payer;

/// Part of a field's free places that one payer may have waiting at most, as a multiple: three times of what is left to
/// all. Alone it has three quarters of them; `n` payers that flood leave 1 in `3n + 1` to others.
const OWN: usize = 3;
/// Payers beyond which the table is given back when it is empty, and looked through for those that no longer wait.
const FEW: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BinaryHeap<Reverse<Entry>>,
    /// In `waiting`.
    pub(super) invocations: usize,
    /// The round that is being served.
    round: u64,
    /// The first round that nobody has.
    end: u64,
    /// For each payer that waits, the round of its next invocation.
    payers: HashMap<Payer, u64>,
    arrivals: u64,
    /// When its turn is, among the lines of its field.
    pub(super) turn: u64,
}

/// A piece in the line. Ordered by its first round, then by arrival.
#[derive(Debug)]
struct Entry {
    round: u64,
    arrival: u64,
    piece: Piece,
}

impl Entry {
    fn place(&self) -> (u64, u64) {
        (self.round, self.arrival)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Since when the next piece waits.
    pub(super) fn next_since(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(next)| next.piece.enqueued)
    }

    /// Since when the oldest piece waits. Looks at all of them.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.waiting.iter().map(|Reverse(entry)| entry.piece.enqueued).min()
    }

    /// Whether the pieces leave in the order in which they came, since they are all for one payer.
    pub(super) fn has_one_payer(&self) -> bool {
        self.payers.len() <= 1
    }

    /// Whether a large batch does nobody wrong: all that waits is for one payer, or each has one invocation.
    pub(super) fn is_even(&self) -> bool {
        let next = self.waiting.peek().map_or(self.end, |Reverse(next)| next.round);
        self.has_one_payer() || self.end <= next + 1
    }

    /// Cuts those invocations off which their payers may not have waiting, while `free` places are left of the field's.
    pub(super) fn refuse(&self, piece: &mut Piece, free: usize) -> Option<Piece> {
        let asked = piece.len();
        if self.invocations + asked <= free.saturating_sub(asked).saturating_mul(OWN) {
            // Even if all of it were for one payer.
            return None;
        }
        let mut wanted: HashMap<Payer, usize> = HashMap::new();
        for invocation in piece.invocations() {
            *wanted.entry(invocation.payer).or_default() += 1;
        }
        let mut left = free;
        let mut decided: HashMap<Payer, bool> = HashMap::new();
        for invocation in piece.invocations() {
            let payer = invocation.payer;
            decided.entry(payer).or_insert_with(|| {
                let count = wanted.get(&payer).copied().unwrap_or_default();
                let refused = count > left || self.waits_for(payer) + count > left.saturating_mul(OWN);
                left -= if refused { 0 } else { count };
                refused
            });
        }
        piece.split_if(|invocation| decided.get(&invocation.payer).is_none_or(|refused| *refused))
    }

    /// Rounds that this payer is ahead: how many of its invocations wait.
    fn waits_for(&self, payer: Payer) -> usize {
        let ahead = self.payers.get(&payer).map_or(0, |next| next.saturating_sub(self.round));
        usize::try_from(ahead).unwrap_or(usize::MAX)
    }

    pub(super) fn push(&mut self, mut piece: Piece) {
        let (mut sorted, mut last) = (true, self.round);
        for asked in piece.asked_mut() {
            let next = self.payers.entry(asked.invocation.payer).or_insert(self.round);
            asked.round = self.round.max(*next);
            *next = asked.round + 1;
            self.end = self.end.max(*next);
            sorted &= last <= asked.round;
            last = asked.round;
        }
        if !sorted {
            // Stable: what a payer has waiting stays in its order.
            piece.asked_mut().sort_by_key(|asked| asked.round);
        }
        self.invocations += piece.len();
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.enter(arrival, piece);
        self.forget_payers();
    }

    fn enter(&mut self, arrival: u64, piece: Piece) {
        if let Some(first) = piece.asked().first() {
            self.waiting.push(Reverse(Entry { round: first.round, arrival, piece }));
        }
    }

    /// Cuts off up to `quota` invocations, in the order of their rounds. What came before `expired_before` is set apart.
    pub(super) fn take(
        &mut self,
        mut quota: usize,
        expired_before: Option<Instant>,
        expired: &mut Vec<Piece>,
    ) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while quota > 0
            && let Some(Reverse(Entry { arrival, mut piece, .. })) = self.waiting.pop()
        {
            if expired_before.is_some_and(|before| piece.enqueued < before) {
                self.invocations -= piece.len();
                expired.push(piece);
                continue;
            }
            let next = self.waiting.peek().map(|Reverse(next)| next.place());
            let is_first = |asked: &Asked| next.is_none_or(|next| (asked.round, arrival) < next);
            let count = piece.asked().partition_point(is_first).clamp(1, quota);
            self.round = piece.asked().get(count - 1).map_or(self.round, |asked| asked.round);
            if count < piece.len() {
                let front = piece.split_front(count);
                self.enter(arrival, piece);
                piece = front;
            }
            self.invocations -= count;
            quota -= count;
            pieces.push(piece);
        }
        self.forget_payers();
        pieces
    }

    /// Takes out what came before this time.
    pub(super) fn expire(&mut self, before: Instant, expired: &mut Vec<Piece>) {
        let waiting = std::mem::take(&mut self.waiting).into_vec();
        let (late, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|Reverse(entry)| entry.piece.enqueued < before);
        self.waiting = BinaryHeap::from(rest);
        for Reverse(Entry { piece, .. }) in late {
            self.invocations -= piece.len();
            expired.push(piece);
        }
        self.forget_payers();
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Vec<Piece> {
        self.invocations = 0;
        let pieces = std::mem::take(&mut self.waiting).into_iter().map(|Reverse(entry)| entry.piece).collect();
        self.forget_payers();
        pieces
    }

    /// Keeps the table of payers not much larger than what waits.
    fn forget_payers(&mut self) {
        if self.waiting.is_empty() {
            self.end = self.round;
            if self.payers.capacity() > FEW || self.waiting.capacity() > FEW {
                (self.payers, self.waiting) = (HashMap::new(), BinaryHeap::new());
            } else {
                self.payers.clear();
            }
        } else if self.payers.len() > FEW + 2 * self.invocations {
            let round = self.round;
            self.payers.retain(|_, next| *next > round + 1);
            if self.payers.len() > FEW + 2 * self.invocations {
                // What they had waiting has expired. Forgetting costs fairness for one round.
                self.payers.clear();
            }
        }
    }
}

#[cfg(test)]
impl Line {
    pub(super) fn payers_known(&self) -> usize {
        self.payers.len()
    }
}
