//! What waits for a module's instances, and who gets the next one. Knows no thread, no clock and no instance.
//!
//! - Each field has a queue of its own, and fields take turns: a flood of one does not delay the others.
//! - Under load, what waits for a field is handed over as one batch, sized so that it takes a fraction of the CPU time
//!   of one call. When idle, an event is taken the moment it comes.
//! - A field whose call had to be stopped is **on probation**: one invocation at a time, and all such fields of a module
//!   together hold one instance. It gets out by a number of calls without trouble.
//! - A field never holds the last instance, as long as there are several fields and several instances.
//! - Queues are bounded in number and in time: what is beyond is shed, and its subscribers are told.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::piece::Piece;

/// Invocations in one batch: enough to share the cost of a call, few enough to stay fair.
const BATCH: usize = 64;
/// A batch is not split among idle instances into parts smaller than this.
const SHARE: usize = 16;
/// A batch is sized to take this part of the CPU time of a call.
const BATCH_SHARE: u32 = 4;

/// Invocations that may wait for one field.
const WAITING: usize = 65_536;
/// The same while the field is on probation: each of them may take the whole CPU time of a call.
const WAITING_ON_PROBATION: usize = 256;
/// For how long they may wait.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_ON_PROBATION: Duration = Duration::from_secs(2);

/// Good calls that end a probation.
const PROBATION: u32 = 32;

/// A field whose oldest event has waited for this long does not keep up; publishers do not wait for it until it has
/// caught up to half of it.
const LAGGING: Duration = Duration::from_secs(1);

/// A field, by its place in the module's manifest.
type FieldIndex = usize;

/// What one instance is to do next.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) field: Arc<str>,
    /// At least one, in the order in which they came.
    pub(super) pieces: Vec<Piece>,
    /// To be given back with [`Queues::finish`].
    pub(super) running: Running,
}

/// A batch that an instance works on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    field: FieldIndex,
    invocations: usize,
    on_probation: bool,
}

/// What [`Queues::take`] found.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) batch: Option<Batch>,
    /// Pieces that have waited for too long, to be answered as shed.
    pub(super) expired: Vec<Piece>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queues {
    fields: Vec<FieldQueue>,
    names: HashMap<Arc<str>, FieldIndex>,
    /// Fields with something to do, in the order of their turns.
    turns: VecDeque<FieldIndex>,
    /// Batches of fields on probation that are running now: none or one.
    on_probation_running: usize,
    /// Most instances that one field may hold.
    most_per_field: usize,
    /// CPU time that a batch is sized for.
    batch_cpu: Duration,
}

#[derive(Debug)]
struct FieldQueue {
    name: Arc<str>,
    waiting: VecDeque<Piece>,
    /// In `waiting`.
    invocations: usize,
    /// Batches that are running now.
    running: usize,
    /// Good calls still to be made; 0: not on probation.
    probation: u32,
    lagging: bool,
    /// Time of one invocation, averaged; unknown before the first, which therefore goes alone.
    cost: Option<Duration>,
}

impl Queues {
    pub(super) fn new(fields: &[Arc<str>], instances: usize, cpu: Duration) -> Self {
        let names = fields.iter().cloned().zip(0..).collect();
        let most_per_field = if fields.len() > 1 { instances.saturating_sub(1).max(1) } else { instances };
        let fields = fields.iter().map(FieldQueue::new).collect();
        let (turns, on_probation_running) = (VecDeque::new(), 0);
        Self { fields, names, turns, on_probation_running, most_per_field, batch_cpu: cpu / BATCH_SHARE }
    }

    /// Queues a piece; gives it back if the field has too much already (or is none of the module's).
    pub(super) fn push(&mut self, field: &str, piece: Piece) -> Result<(), Piece> {
        let Some(&index) = self.names.get(field) else { return Err(piece) };
        let queue = &mut self.fields[index];
        if queue.invocations > 0 && queue.invocations + piece.invocations.len() > queue.most_waiting() {
            return Err(piece);
        }
        queue.invocations += piece.invocations.len();
        if queue.waiting.is_empty() {
            self.turns.push_back(index);
        }
        queue.waiting.push_back(piece);
        Ok(())
    }

    /// The next batch for an instance that has nothing to do, while `idle` others have nothing to do either.
    pub(super) fn take(&mut self, idle: usize, now: Instant) -> Taken {
        let mut taken = Taken::default();
        for _ in 0..self.turns.len() {
            let Some(index) = self.turns.pop_front() else { break };
            let queue = &mut self.fields[index];
            queue.expire(now, &mut taken.expired);
            if queue.waiting.is_empty() {
                continue;
            }
            let may_run =
                if queue.probation > 0 { self.on_probation_running == 0 } else { queue.running < self.most_per_field };
            if !may_run {
                self.turns.push_back(index);
                continue;
            }
            let on_probation = queue.probation > 0;
            self.on_probation_running += usize::from(on_probation);
            let quota = queue.quota(idle, self.batch_cpu);
            let pieces = queue.pieces(quota, now);
            if !queue.waiting.is_empty() {
                self.turns.push_back(index);
            }
            let invocations = pieces.iter().map(|piece| piece.invocations.len()).sum();
            let running = Running { field: index, invocations, on_probation };
            taken.batch = Some(Batch { field: Arc::clone(&queue.name), pieces, running });
            break;
        }
        taken
    }

    /// A batch has ended.
    pub(super) fn finish(&mut self, running: Running, outcome: Finished) {
        let queue = &mut self.fields[running.field];
        queue.running -= 1;
        self.on_probation_running -= usize::from(running.on_probation);
        match outcome {
            Finished::Stopped => queue.probation = PROBATION,
            Finished::Well(elapsed) => {
                queue.probation = queue.probation.saturating_sub(1);
                queue.observe(elapsed / u32::try_from(running.invocations.max(1)).unwrap_or(u32::MAX));
            }
        }
    }

    /// Whether something waits that an instance could take now.
    pub(super) fn has_work(&self) -> bool {
        self.turns.iter().any(|&index| {
            let queue = &self.fields[index];
            if queue.probation > 0 { self.on_probation_running == 0 } else { queue.running < self.most_per_field }
        })
    }

    /// Invocations that publishers should wait for: of all fields that keep up.
    pub(super) fn backlog(&self) -> usize {
        self.fields.iter().filter(|queue| !queue.lagging && queue.probation == 0).map(|queue| queue.invocations).sum()
    }

    /// All invocations that wait.
    pub(super) fn waiting(&self) -> usize {
        self.fields.iter().map(|queue| queue.invocations).sum()
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Vec<Piece> {
        self.turns.clear();
        let drain = |queue: &mut FieldQueue| {
            queue.invocations = 0;
            std::mem::take(&mut queue.waiting)
        };
        self.fields.iter_mut().flat_map(drain).collect()
    }
}

/// How a batch ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finished {
    /// In this time.
    Well(Duration),
    /// The call had to be stopped, or the instance broke.
    Stopped,
}

impl FieldQueue {
    fn new(name: &Arc<str>) -> Self {
        Self {
            name: Arc::clone(name),
            waiting: VecDeque::new(),
            invocations: 0,
            running: 0,
            probation: 0,
            lagging: false,
            cost: None,
        }
    }

    fn most_waiting(&self) -> usize {
        if self.probation > 0 { WAITING_ON_PROBATION } else { WAITING }
    }

    fn expire(&mut self, now: Instant, expired: &mut Vec<Piece>) {
        let patience = if self.probation > 0 { PATIENCE_ON_PROBATION } else { PATIENCE };
        while let Some(piece) = self.waiting.pop_front_if(|piece| now.duration_since(piece.enqueued) > patience) {
            self.invocations -= piece.invocations.len();
            expired.push(piece);
        }
    }

    /// How many invocations the next batch may have.
    fn quota(&self, idle: usize, batch_cpu: Duration) -> usize {
        let Some(cost) = self.cost.filter(|_| self.probation == 0) else { return 1 };
        let affordable = batch_cpu.as_nanos() / cost.as_nanos().max(1);
        let share = self.invocations.div_ceil(idle + 1).max(SHARE);
        usize::try_from(affordable).unwrap_or(BATCH).clamp(1, BATCH).min(share)
    }

    fn pieces(&mut self, mut quota: usize, now: Instant) -> Vec<Piece> {
        let waited = self.waiting.front().map_or(Duration::ZERO, |piece| now.duration_since(piece.enqueued));
        self.lagging = waited > if self.lagging { LAGGING / 2 } else { LAGGING };
        self.running += 1;
        let mut pieces = Vec::new();
        while quota > 0
            && let Some(front) = self.waiting.front_mut()
        {
            let fits = front.invocations.len() <= quota;
            let piece = if fits { self.waiting.pop_front() } else { Some(front.split_front(quota)) };
            let Some(piece) = piece else { break };
            quota -= piece.invocations.len().min(quota);
            self.invocations -= piece.invocations.len();
            pieces.push(piece);
        }
        pieces
    }

    fn observe(&mut self, cost: Duration) {
        self.cost = Some(self.cost.map_or(cost, |average| (average * 3 + cost) / 4));
    }
}
