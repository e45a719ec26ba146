//! Who listens to what.
//!
//! Channel → field → index → cohorts → members. An event looks its cohorts up by hash; it never visits a subscription
//! that its equalities exclude. Leaving is the drop of a [`SubscriptionGuard`], however the subscription ends.

mod cohort;
mod index;
mod lane;
mod metrics;

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use thiserror::Error;

pub use cohort::{Answer, Cohort, Member, PlanGroup};
pub use lane::{Lane, Ticket};
pub use metrics::{EndReason, Metrics};

use crate::event::{Channel, Event};
use crate::graphql::Plan;
use crate::ids::SubscriptionId;
use crate::modules::Field;
use crate::outbox::{Operation, Outbox};
use crate::policy::TemplateError;
use crate::position::Position;
use crate::principal::Principal;
use crate::sandbox::Module;
use crate::throttle::Throttle;
use index::FieldIndex;

/// Lines per second about predicates that could not be evaluated.
const UNEVALUATED_PER_SECOND: u32 = 10;

/// How many subscriptions one subject may have, over all its connections. Anonymous principals are not counted: they
/// have no subject.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Live subscriptions per subject.
    pub per_subject: usize,
}

/// Why a subscription was refused.
#[derive(Debug, Error)]
pub enum SubscribeError {
    /// The subject has too many already.
    #[error("this subject already has {limit} subscriptions, which is the limit; end one first")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// An argument cannot be part of a channel's name.
    #[error(transparent)]
    Channel(#[from] TemplateError),
}

/// One who wants to listen.
#[derive(Debug)]
pub struct Subscriber {
    /// Who.
    pub principal: Arc<Principal>,
    /// The operation, as the outbox knows it.
    pub operation: Arc<Operation>,
    /// Where results go.
    pub outbox: Arc<Outbox>,
}

/// The cohorts of one field that an event reaches.
#[derive(Debug)]
pub struct Match {
    /// The field.
    pub field: Arc<Field>,
    /// The module that resolves it.
    pub module: Arc<Module>,
    /// At least one.
    pub cohorts: Vec<Arc<Cohort>>,
}

/// All live subscriptions. A cheap handle.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Only channels that somebody listens to; each with the fields that do.
    channels: DashMap<Channel, Vec<FieldIndex>>,
    /// Live subscriptions per subject; only subjects that have some.
    subjects: DashMap<Arc<str>, usize>,
    limits: Limits,
    metrics: Metrics,
    /// Predicates that could not be evaluated, in the log.
    unevaluated: Throttle,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let shared = Shared {
            channels: DashMap::new(),
            subjects: DashMap::new(),
            limits,
            metrics: Metrics::default(),
            unevaluated: Throttle::new(UNEVALUATED_PER_SECOND),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The gauges and counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Registers a subscription. It receives the events of its channel that are numbered after this call.
    ///
    /// `position` is asked under the channel's lock for the event that was numbered last.
    pub fn subscribe(
        &self,
        field: &Arc<Field>,
        module: &Arc<Module>,
        plan: Plan,
        subscriber: Subscriber,
        position: impl FnOnce() -> Position,
    ) -> Result<SubscriptionGuard, SubscribeError> {
        let channel = field.channel.expand(&plan.arguments)?;
        let seat = self.take_seat(subscriber.principal.subject.as_ref())?;
        let id = SubscriptionId::next();

        let mut fields = self.shared.channels.entry(channel.clone()).or_default();
        let slot = fields.iter().position(|index| Arc::ptr_eq(&index.field, field)).unwrap_or_else(|| {
            fields.push(FieldIndex::new(Arc::clone(field), Arc::clone(module)));
            fields.len() - 1
        });
        let Plan { arguments, arguments_json, selection, .. } = plan;
        let cohort = fields[slot].cohort(arguments, arguments_json, &subscriber.principal);
        let member = Member { operation: subscriber.operation, outbox: subscriber.outbox, since: position().offset };
        cohort.join(id, selection, member);
        drop(fields);

        self.shared.metrics.started(&field.name);
        let reason = Mutex::new(EndReason::ConnectionClosed);
        Ok(SubscriptionGuard { shared: Arc::clone(&self.shared), channel, cohort, id, reason, _seat: seat })
    }

    /// The cohorts that this event reaches, by their fields. The whole predicate of each was evaluated.
    #[must_use]
    pub fn matching(&self, event: &Event) -> Vec<Match> {
        let Some(fields) = self.shared.channels.get(&event.channel) else { return Vec::new() };
        let mut matches = Vec::new();
        for index in fields.iter().filter(|index| index.field.events.accept(&event.kind)) {
            let (cohorts, failed) = index.matching(event, &self.shared.unevaluated);
            if failed > 0 {
                self.shared.metrics.predicate_failed(&index.field.name, failed);
            }
            if !cohorts.is_empty() {
                matches.push(Match { field: Arc::clone(&index.field), module: Arc::clone(&index.module), cohorts });
            }
        }
        matches
    }

    /// Live subscriptions, counted over all channels. For inspection; walks everything.
    #[must_use]
    pub fn count(&self) -> usize {
        let cohorts = |fields: &Vec<FieldIndex>| fields.iter().map(FieldIndex::subscriptions).sum::<usize>();
        self.shared.channels.iter().map(|entry| cohorts(entry.value())).sum()
    }

    /// Whether nothing at all is left behind: no channel, no subject.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.channels.is_empty() && self.shared.subjects.is_empty()
    }

    fn take_seat(&self, subject: Option<&Arc<str>>) -> Result<Seat, SubscribeError> {
        let Some(subject) = subject else { return Ok(Seat(None)) };
        let limit = self.shared.limits.per_subject;
        let mut seats = self.shared.subjects.entry(Arc::clone(subject)).or_insert(0);
        if *seats >= limit {
            return Err(SubscribeError::TooMany { limit });
        }
        *seats += 1;
        Ok(Seat(Some((Arc::clone(&self.shared), Arc::clone(subject)))))
    }
}

/// One of the places that a subject may take. Given back on drop.
#[derive(Debug)]
struct Seat(Option<(Arc<Shared>, Arc<str>)>);

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((shared, subject)) = self.0.take() else { return };
        if let Entry::Occupied(mut entry) = shared.subjects.entry(subject) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// A live subscription. Dropping it is the one way out of the registry.
#[derive(Debug)]
pub struct SubscriptionGuard {
    shared: Arc<Shared>,
    channel: Channel,
    cohort: Arc<Cohort>,
    id: SubscriptionId,
    reason: Mutex<EndReason>,
    _seat: Seat,
}

impl SubscriptionGuard {
    /// Leaves, and says why. A plain drop means that the connection went away.
    pub fn end(self, reason: EndReason) {
        *self.reason.lock() = reason;
    }

    /// The subscription's number.
    #[must_use]
    pub fn id(&self) -> SubscriptionId {
        self.id
    }
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.shared.channels.entry(self.channel.clone()) {
            self.cohort.leave(self.id);
            if self.cohort.is_empty() {
                let fields = entry.get_mut();
                if let Some(slot) = fields.iter().position(|index| Arc::ptr_eq(&index.field, &self.cohort.field)) {
                    fields[slot].remove(&self.cohort);
                    if fields[slot].is_empty() {
                        fields.swap_remove(slot);
                    }
                }
                if fields.is_empty() {
                    entry.remove();
                }
            }
        }
        self.shared.metrics.ended(&self.cohort.field.name, *self.reason.lock());
        tracing::debug!(subscription = %self.id, field = %self.cohort.field.name, channel = %self.channel, reason = ?*self.reason.lock(), "subscription ended");
    }
}
