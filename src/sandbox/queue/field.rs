//! One field of a module: what waits for it, what it costs, and whether it can be trusted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::config::{Isolation, Limits};
use super::super::piece::Piece;
use super::circuit::{Circuit, Switched};
use super::lines::Lines;
use super::{Bounds, Finished};
use crate::outcome::Tenant;

/// Invocations in one batch: enough to share the cost of a call, few enough to stay fair.
const BATCH: usize = 64;
/// A batch is not split among idle instances into parts smaller than this.
const SHARE: usize = 16;

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

    /// Whether there is room for the piece.
    pub(super) fn has_room(&self, piece: &Piece, bounds: &Bounds) -> bool {
        let most = if self.on_probation() { bounds.waiting.min(WAITING_ON_PROBATION) } else { bounds.waiting };
        self.invocations == 0 || self.lines.admits(piece, most.saturating_sub(self.invocations))
    }

    pub(super) fn push(&mut self, piece: Piece) {
        self.invocations += piece.invocations.len();
        self.lines.push(piece);
    }

    /// Takes out what has waited for too long in the line that is next; those behind it have their turn later.
    pub(super) fn expire(&mut self, bounds: &Bounds, now: Instant, expired: &mut Vec<Piece>) {
        loop {
            let next = self.lines.tenants().next().cloned();
            let Some(tenant) = next else { return };
            if !self.expire_line(&tenant, bounds, now, expired) {
                return;
            }
        }
    }

    /// The same for the line of this tenant; true if nothing is left in it.
    pub(super) fn expire_line(
        &mut self,
        tenant: &Tenant,
        bounds: &Bounds,
        now: Instant,
        expired: &mut Vec<Piece>,
    ) -> bool {
        let patience = if self.on_probation() { bounds.patience.min(PATIENCE_ON_PROBATION) } else { bounds.patience };
        let (Some(before), Some(line)) = (now.checked_sub(patience), self.lines.line_mut(tenant)) else { return false };
        let count = line.invocations;
        line.expire(before, expired);
        self.invocations -= count - line.invocations;
        let empty = line.pieces.is_empty();
        if empty {
            self.lines.served(tenant);
        }
        empty
    }

    /// The next batch of this tenant, while `idle` instances have nothing to do.
    pub(super) fn take(&mut self, tenant: &Tenant, idle: usize, bounds: &Bounds, now: Instant) -> Vec<Piece> {
        let quota = self.quota(tenant, idle, bounds);
        let Some(line) = self.lines.line_mut(tenant) else { return Vec::new() };
        let waited = line.pieces.front().map_or(Duration::ZERO, |piece| now.duration_since(piece.enqueued));
        self.lagging = waited > if self.lagging { LAGGING / 2 } else { LAGGING };
        let count = line.invocations;
        let pieces = line.take(quota);
        self.invocations -= count - line.invocations;
        self.running += 1;
        self.lines.served(tenant);
        pieces
    }

    /// How many invocations the next batch may have.
    fn quota(&self, tenant: &Tenant, idle: usize, bounds: &Bounds) -> usize {
        if bounds.one_by_one {
            return 1;
        }
        let Some(cost) = self.cost.filter(|_| !self.on_probation()) else { return 1 };
        let affordable = bounds.batch_cpu.as_nanos() / cost.as_nanos().max(1);
        let waiting = self.lines.line(tenant).map_or(0, |line| line.invocations);
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
        self.invocations = 0;
        self.lines.clear()
    }
}
