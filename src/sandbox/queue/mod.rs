//! What waits for a module's instances, and who gets the next one. Knows no thread, no clock and no instance.
//!
//! - Each field has a queue of its own, and fields take turns: a flood of one does not delay the others.
//! - Where an instance serves one tenant only, each tenant has a line of its own in the field's queue, and tenants take
//!   turns. An instance prefers its own tenant; another one gets it if that has none, or has waited for a while.
//! - Within a line connections take turns, one invocation each: many distinct subscriptions of one connection delay that
//!   connection.
//! - Under load, what waits for a field is handed over as one batch, sized so that it takes a fraction of the CPU time
//!   of one call, and two milliseconds at most. When idle, an event is taken the moment it comes.
//! - A field whose call had to be stopped is **on probation**: one invocation at a time, and all such fields of a module
//!   together hold one instance. It gets out by a number of calls without trouble. One that is stopped again and again
//!   is switched off for a while.
//! - A field never holds the last instance, as long as there are several fields and several instances; nor does a tenant.
//! - Queues are bounded in number and in time: what is beyond is shed, and its subscribers are told.

mod circuit;
mod field;
mod line;
mod lines;
mod tenants;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use circuit::Switched;
pub(super) use tenants::Bond;

use super::config::{Isolation, Limits};
use super::piece::Piece;
use crate::outcome::Tenant;
use field::FieldQueue;
use line::Line;
use tenants::Tenants;

/// A batch is sized to take this part of the CPU time of a call,
const BATCH_SHARE: u32 = 4;
/// and this time at most: what comes next waits for so long, and the cost of a call (13 µs) is below 1 % of it.
const BATCH_TIME: Duration = Duration::from_millis(2);

/// For how long an instance stays with a tenant that has work for it while others have no instance at all. Several times
/// of what it takes to start a fresh one, so that most of the time is spent on work.
const STAY: Duration = Duration::from_millis(5);
/// After so long in a line, work is also done by instances that are not its tenant's, and have nothing else to do.
pub(super) const HELP: Duration = Duration::from_millis(3);

/// A field, by its place in the module's manifest.
type FieldIndex = usize;

/// What one instance is to do next.
#[derive(Debug)]
pub(super) struct Batch {
    /// At least one, in the order in which they came; all of one tenant where tenants are isolated.
    pub(super) pieces: Vec<Piece>,
    /// To be given back with [`Queues::finish`].
    pub(super) running: Running,
}

/// A batch that an instance works on.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) name: Arc<str>,
    field: FieldIndex,
    invocations: usize,
    on_probation: bool,
    tenant: Tenant,
}

/// What [`Queues::take`] found.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) batch: Option<Batch>,
    /// Pieces that have waited for too long, to be answered as shed.
    pub(super) expired: Vec<Piece>,
}

/// Why a piece may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too much waits already.
    Full,
    /// The field is switched off.
    SwitchedOff,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finished {
    /// In this time.
    Well(Duration),
    /// The call had to be stopped, or the instance broke.
    Stopped,
    /// There was no instance for it, since the host had no room for one. Says nothing about the field.
    NotBegun,
}

/// What follows from the end of a batch.
#[derive(Debug, Default)]
pub(super) struct Consequence {
    /// The field's circuit.
    pub(super) switched: Option<Switched>,
    /// What waited for a field that is switched off now.
    pub(super) cut: Vec<Piece>,
}

/// Whose work an instance could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// That of the tenant it is bound to, or of anyone if it is bound to nobody.
    Own,
    /// That of another tenant, after it was replaced.
    Other,
}

/// What holds for each field of the module.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Invocations that may wait.
    waiting: usize,
    /// For how long.
    patience: Duration,
    /// Time that a batch is sized for.
    batch_time: Duration,
    /// Whether each call has one invocation only.
    one_by_one: bool,
    /// Most instances that one field may hold.
    most_per_field: usize,
    /// Most instances that may work for one tenant at a time.
    most_per_tenant: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queues {
    bounds: Bounds,
    fields: Vec<FieldQueue>,
    names: HashMap<Arc<str>, FieldIndex>,
    /// Fields with something to do, in the order of their turns.
    turns: VecDeque<FieldIndex>,
    /// Batches of fields on probation that are running now: none or one.
    on_probation_running: usize,
    tenants: Tenants,
}

impl Queues {
    pub(super) fn new(fields: &[Arc<str>], limits: &Limits) -> Self {
        let all_but_one = limits.instances.saturating_sub(1).max(1);
        let bounds = Bounds {
            waiting: limits.queue,
            patience: limits.patience,
            batch_time: BATCH_TIME.min(limits.cpu / BATCH_SHARE),
            one_by_one: limits.isolation == Isolation::PerCall,
            most_per_field: if fields.len() > 1 { all_but_one } else { limits.instances },
            most_per_tenant: all_but_one,
        };
        let names = fields.iter().cloned().zip(0..).collect();
        let fields = fields.iter().map(|name| FieldQueue::new(name, limits)).collect();
        let (turns, on_probation_running, tenants) = (VecDeque::new(), 0, Tenants::default());
        Self { bounds, fields, names, turns, on_probation_running, tenants }
    }

    /// Queues a piece. Gives back those of its invocations that may not wait: the field has too much already (or is none
    /// of the module's), or is switched off.
    pub(super) fn push(&mut self, field: &str, piece: Piece, now: Instant) -> Result<(), (Piece, Refusal)> {
        let Some(&index) = self.names.get(field) else { return Err((piece, Refusal::Full)) };
        let queue = &mut self.fields[index];
        let idle = queue.invocations == 0 && queue.running == 0;
        if !queue.circuit.admits(idle, now) {
            return Err((piece, Refusal::SwitchedOff));
        }
        if queue.lines.is_empty() {
            self.turns.push_back(index);
        }
        let refused = queue.push(piece, &self.bounds);
        refused.map_or(Ok(()), |refused| Err((refused, Refusal::Full)))
    }

    /// The next batch for an instance that has nothing to do, while `idle` others have nothing to do either. Its bond is
    /// to the tenant of the batch then; if it was to another one, the instance has to be replaced.
    pub(super) fn take(&mut self, bond: &mut Bond, idle: usize, now: Instant) -> Taken {
        let mut taken = Taken::default();
        let (fields, bounds) = (&mut self.fields, &self.bounds);
        self.turns.retain(|&index| {
            fields[index].expire(bounds, now, &mut taken.expired);
            !fields[index].lines.is_empty()
        });
        while let Some((place, tenant, _)) = self.choose(bond, now) {
            let Some(index) = self.turns.remove(place) else { break };
            let queue = &mut self.fields[index];
            let on_probation = queue.on_probation();
            let pieces = queue.take(&tenant, idle, &self.bounds, now, &mut taken.expired);
            if !queue.lines.is_empty() {
                self.turns.push_back(index);
            }
            if pieces.is_empty() {
                continue;
            }
            self.on_probation_running += usize::from(on_probation);
            let name = Arc::clone(&queue.name);
            self.tenants.begin(bond, &tenant, now);
            let invocations = pieces.iter().map(Piece::len).sum();
            let running = Running { name, field: index, invocations, on_probation, tenant };
            taken.batch = Some(Batch { pieces, running });
            break;
        }
        taken
    }

    /// Takes out what has waited for too long, whoever's turn it is, and sees which fields keep up. To be called now and
    /// then: [`Queues::take`] looks at the queues only while there are instances that are not busy.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<Piece> {
        let mut expired = Vec::new();
        for queue in &mut self.fields {
            queue.expire(&self.bounds, now, &mut expired);
            queue.look_back(now);
        }
        let fields = &self.fields;
        self.turns.retain(|&index| !fields[index].lines.is_empty());
        expired
    }

    /// A batch has ended.
    pub(super) fn finish(&mut self, running: &Running, outcome: Finished, now: Instant) -> Consequence {
        let Running { field, invocations, on_probation, ref tenant, name: _ } = *running;
        self.tenants.end(tenant);
        self.on_probation_running -= usize::from(on_probation);
        let queue = &mut self.fields[field];
        let switched = queue.finish(outcome, invocations, on_probation, now);
        let mut cut = Vec::new();
        if matches!(switched, Some(Switched::Opened(_) | Switched::StaysOpen(_))) {
            cut = queue.clear();
            self.turns.retain(|&index| index != field);
        }
        Consequence { switched, cut }
    }

    /// The instance with this bond is gone, or has been replaced by a fresh one.
    pub(super) fn release(&mut self, bond: &mut Bond) {
        self.tenants.release(bond);
    }

    /// Whether an instance with this bond could do something now.
    pub(super) fn fit(&self, bond: &Bond, now: Instant) -> Option<Fit> {
        self.choose(bond, now).map(|(_, _, fit)| fit)
    }

    /// Whether something waits that some instance could do, now or soon.
    pub(super) fn has_work(&self) -> bool {
        self.turns.iter().any(|&index| self.may_run(&self.fields[index]))
    }

    /// Fields with something that some instance could do, now or soon.
    pub(super) fn runnable(&self) -> usize {
        self.turns.iter().filter(|&&index| self.may_run(&self.fields[index])).count()
    }

    fn may_run(&self, queue: &FieldQueue) -> bool {
        if queue.on_probation() { self.on_probation_running == 0 } else { queue.running < self.bounds.most_per_field }
    }

    /// What an instance with this bond does next: the place of a field in `turns`, and whose line.
    fn choose(&self, bond: &Bond, now: Instant) -> Option<(usize, Tenant, Fit)> {
        let (mut own, mut without, mut late) = (None, None, None);
        for (place, &index) in self.turns.iter().enumerate() {
            let queue = &self.fields[index];
            if !self.may_run(queue) {
                continue;
            }
            if *bond == Bond::Anyone {
                return Some((place, None, Fit::Own));
            }
            // Ends at the first tenant without an instance; there are no more tenants with one than instances. On
            // probation one call is made at a time, so that turns have to be kept to: there, only the first line counts.
            for (nth, tenant) in queue.lines.tenants().enumerate() {
                if nth > 0 && queue.on_probation() {
                    break;
                }
                if !self.tenants.has_instance(tenant) {
                    without = without.or(Some((place, tenant)));
                    break;
                }
                let waits_since = queue.lines.line(tenant).and_then(Line::next_since);
                let is_late = waits_since.is_some_and(|since| now.duration_since(since) >= HELP);
                if is_late && late.is_none() && self.may_serve(tenant) {
                    late = Some((place, tenant));
                }
            }
            if let Bond::To(tenant, _) = bond
                && own.is_none()
                && self.may_serve(tenant)
                && queue.lines.line(tenant).is_some()
                && (!queue.on_probation() || queue.lines.tenants().next() == Some(tenant))
            {
                own = Some((place, tenant));
            }
        }
        let stayed = matches!(bond, Bond::To(_, since) if now.duration_since(*since) >= STAY);
        let other = if *bond == Bond::Free { Fit::Own } else { Fit::Other };
        let chosen = |found: Option<(usize, &Tenant)>, fit| found.map(|(place, tenant)| (place, tenant.clone(), fit));
        match (own, without) {
            (Some(_), Some(_)) if stayed => chosen(without, other),
            (Some(_), _) => chosen(own, Fit::Own),
            (None, Some(_)) => chosen(without, other),
            (None, None) => chosen(late, other),
        }
    }

    fn may_serve(&self, tenant: &Tenant) -> bool {
        self.tenants.working(tenant) < self.bounds.most_per_tenant
    }

    /// Invocations that publishers should wait for: of all fields that keep up.
    pub(super) fn backlog(&self) -> usize {
        let keeps_up = |queue: &&FieldQueue| !queue.lagging && !queue.on_probation();
        self.fields.iter().filter(keeps_up).map(|queue| queue.invocations).sum()
    }

    /// All invocations that wait.
    pub(super) fn waiting(&self) -> usize {
        self.fields.iter().map(|queue| queue.invocations).sum()
    }

    /// Fields that are switched off.
    pub(super) fn switched_off(&self) -> impl Iterator<Item = &Arc<str>> {
        self.fields.iter().filter(|queue| queue.circuit.is_open()).map(|queue| &queue.name)
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Vec<Piece> {
        self.turns.clear();
        self.fields.iter_mut().flat_map(FieldQueue::clear).collect()
    }
}
