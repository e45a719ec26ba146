//! One field of a module: what waits for it, what it costs, and whether it can be trusted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::config::{Isolation, Limits};
use super::super::piece::Piece;
use super::circuit::{Circuit, Switched};
use super::line::Line;
use super::lines::Lines;
use super::{Bounds, Finished};
use crate::outcome::Tenant;

/// Invocations in one batch: enough to share the cost of a call, few enough to stay fair.
const BATCH: usize = 64;
/// A batch is not split among idle instances into parts smaller than this.
const SHARE: usize = 16;

/// Time of a batch while some connections have more waiting than others, so that one that has little waits for little.
const UNEVEN_BATCH: Duration = Duration::from_micros(300);

/// Invocations that may wait while the field is on probation: each of them may take the whole CPU time of a call.
const WAITING_ON_PROBATION: usize = 256;
/// For how long they may wait meanwhile.
const PATIENCE_ON_PROBATION: Duration = Duration::from_secs(2);

/// Good calls that end a probation.
pub(super) const PROBATION: u32 = 32;

/// A field whose oldest event has waited for this long does not keep up; publishers do not wait for it until it has
/// caught up to half of it.
pub(super) const LAGGING: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct FieldQueue {
    pub(super) name: Arc<str>,
    pub(super) lines: Lines,
    /// In `lines`.
    pub(super) invocations: usize,
    /// No piece has waited since before this; `None` if none waits.
    oldest: Option<Instant>,
    /// Batches that are running now.
    pub(super) running: usize,
    /// Good calls still to be made; 0: not on probation.
    pub(super) probation: u32,
    pub(super) circuit: Circuit,
    pub(super) lagging: bool,
    /// Time of one invocation, averaged; unknown before the first, which therefore goes alone.
    cost: Option<Duration>,
}

impl FieldQueue {
    pub(super) fn new(name: &Arc<str>, limits: &Limits) -> Self {
        Self {
            name: Arc::clone(name),
            lines: if limits.isolation == Isolation::PerTenant { Lines::each() } else { Lines::one() },
            invocations: 0,
            oldest: None,
            running: 0,
            probation: 0,
            circuit: Circuit::default(),
            lagging: false,
            cost: None,
        }
    }

    pub(super) fn on_probation(&self) -> bool {
        self.probation > 0
    }

    /// Queues a piece, apart from those invocations for which there is no room. Any job may wait alone.
    pub(super) fn push(&mut self, mut piece: Piece, bounds: &Bounds) -> Option<Piece> {
        let mut refused = None;
        if self.invocations > 0 {
            let most = if self.on_probation() { bounds.waiting.min(WAITING_ON_PROBATION) } else { bounds.waiting };
            refused = self.lines.refuse(&mut piece, most.saturating_sub(self.invocations));
        }
        if piece.len() > 0 {
            self.invocations += piece.len();
            self.oldest.get_or_insert(piece.enqueued);
            self.lines.push(piece);
        }
        refused
    }

    /// Takes out what has waited for too long. Costs a comparison, unless something has.
    pub(super) fn expire(&mut self, bounds: &Bounds, now: Instant, expired: &mut Vec<Piece>) {
        let Some(before) = self.expired_before(bounds, now) else { return };
        if self.oldest.is_none_or(|oldest| oldest >= before) {
            return;
        }
        let already = expired.len();
        self.lines.expire(before, expired);
        self.invocations -= expired[already..].iter().map(Piece::len).sum::<usize>();
        self.oldest = self.lines.oldest();
    }

    /// Sees whether the field keeps up, by the piece that waits for the longest time.
    pub(super) fn look_back(&mut self, now: Instant) {
        let lags = |oldest: Option<Instant>, since: Duration| {
            oldest.is_some_and(|oldest| now.saturating_duration_since(oldest) > since)
        };
        // What is kept may be older than what waits.
        if lags(self.oldest, LAGGING / 2) {
            self.oldest = self.lines.oldest();
        }
        self.lagging = lags(self.oldest, if self.lagging { LAGGING / 2 } else { LAGGING });
    }

    fn expired_before(&self, bounds: &Bounds, now: Instant) -> Option<Instant> {
        let patience = if self.on_probation() { bounds.patience.min(PATIENCE_ON_PROBATION) } else { bounds.patience };
        now.checked_sub(patience)
    }

    /// The next batch of this tenant, while `idle` instances have nothing to do. Empty if all of it has waited for too long.
    pub(super) fn take(
        &mut self,
        tenant: &Tenant,
        idle: usize,
        bounds: &Bounds,
        now: Instant,
        expired: &mut Vec<Piece>,
    ) -> Vec<Piece> {
        let (quota, before) = (self.quota(tenant, idle, bounds), self.expired_before(bounds, now));
        let Some(line) = self.lines.line_mut(tenant) else { return Vec::new() };
        let (count, is_exact) = (line.invocations, line.has_one_payer());
        let pieces = line.take(quota, before, expired);
        self.invocations -= count - line.invocations;
        let oldest = pieces.iter().map(|piece| piece.enqueued).min();
        let waited = oldest.map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest));
        if waited > LAGGING {
            self.lagging = true;
        } else if (is_exact || self.invocations == 0) && waited <= LAGGING / 2 {
            self.lagging = false;
        }
        if self.invocations == 0 {
            self.oldest = None;
        }
        self.running += usize::from(!pieces.is_empty());
        self.lines.served(tenant);
        pieces
    }

    /// How many invocations the next batch may have.
    fn quota(&self, tenant: &Tenant, idle: usize, bounds: &Bounds) -> usize {
        if bounds.one_by_one {
            return 1;
        }
        let Some(cost) = self.cost.filter(|_| !self.on_probation()) else { return 1 };
        let line = self.lines.line(tenant);
        let time = if line.is_none_or(Line::is_even) { bounds.batch_time } else { bounds.batch_time.min(UNEVEN_BATCH) };
        let affordable = time.as_nanos() / cost.as_nanos().max(1);
        let waiting = line.map_or(0, |line| line.invocations);
        let share = waiting.div_ceil(idle + 1).max(SHARE);
        usize::try_from(affordable).unwrap_or(BATCH).clamp(1, BATCH).min(share)
    }

    /// A batch has ended.
    pub(super) fn finish(
        &mut self,
        outcome: Finished,
        invocations: usize,
        on_probation: bool,
        now: Instant,
    ) -> Option<Switched> {
        self.running -= 1;
        match outcome {
            Finished::NotBegun => None,
            Finished::Stopped => {
                self.probation = PROBATION;
                if on_probation { self.circuit.stopped(now) } else { None }
            }
            Finished::Well(elapsed) => {
                self.probation = self.probation.saturating_sub(1);
                let cost = elapsed / u32::try_from(invocations.max(1)).unwrap_or(u32::MAX);
                self.cost = Some(self.cost.map_or(cost, |average| (average * 3 + cost) / 4));
                self.circuit.good()
            }
        }
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Vec<Piece> {
        (self.invocations, self.oldest) = (0, None);
        self.lines.clear()
    }
}
