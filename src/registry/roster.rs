//! Everyone who listens, by the channels and fields of one generation.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use smallvec::SmallVec;

use super::cohort::{Cohort, Member};
use super::index::{self, CohortKey, FieldIndex, Lease, Restrictions};
use super::metrics::Metrics;
use super::subscription::{Place, Subscription};
use super::{Match, SubscribeError};
use crate::event::{Channel, Event};
use crate::graphql::{GraphqlError, Plan};
use crate::modules::{Field, Generation};
use crate::sandbox::{Isolation, Module};
use crate::throttle::Throttle;

/// See the module. A swap builds the next one beside the live one; for that while there are two.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) generation: Arc<Generation>,
    /// Only channels that somebody listens to; each with the fields that do.
    channels: DashMap<Channel, Vec<FieldIndex>>,
}

impl Roster {
    pub(super) fn new(generation: Arc<Generation>) -> Self {
        Self { generation, channels: DashMap::new() }
    }

    /// Enters a member. What it listens to, and with whom, follows from its plan and its principal. The place is the
    /// membership: dropping it ends both.
    ///
    /// `member` is called when the cohort is in the index and nothing is delivered to it: an event that is numbered after
    /// what it reads finds the member.
    pub(super) fn join(
        self: &Arc<Self>,
        plan: Plan,
        subscription: &Subscription,
        member: impl FnOnce() -> Member,
    ) -> Result<Place, SubscribeError> {
        let principal = &subscription.principal;
        let Plan { field, arguments, arguments_json, selection } = plan;
        let Some((field, module)) = self.generation.field(&field) else {
            let missing = GraphqlError::new(format!("no resolver serves Subscription.{field}"));
            return Err(SubscribeError::Operation(vec![missing]));
        };
        if module.isolation() == Isolation::PerTenant && principal.tenant.is_none() {
            return Err(SubscribeError::NoTenant { field: field.name.to_string() });
        }
        let channel = field.channel.expand(&arguments)?;
        let key = index::key(field, module, Arc::clone(&arguments_json), principal);
        let leased = self.lease(&channel, field, &key);
        let (lease, cohort) = leased.unwrap_or_else(|| {
            let tenant = principal.tenant.as_ref().filter(|_| module.isolation() == Isolation::PerTenant).cloned();
            let (own, access_key) = (Arc::clone(field), Arc::clone(&key.1));
            let cohort = Cohort::new(own, arguments, arguments_json, access_key, Arc::clone(principal), tenant);
            // Made without the channel's lock, since the predicate is evaluated for it.
            let restrictions = index::restrictions(&cohort);
            self.enter(&channel, field, module, &key, Arc::new(cohort), restrictions)
        });
        // From here on the place gives the lease back, whatever happens.
        let place = Place::new(Arc::clone(self), channel, cohort, lease, subscription);
        place.cohort().join(selection, member);
        Ok(place)
    }

    fn lease(&self, channel: &Channel, field: &Arc<Field>, key: &CohortKey) -> Option<(Lease, Arc<Cohort>)> {
        let mut fields = self.channels.get_mut(channel)?;
        fields.iter_mut().find(|index| Arc::ptr_eq(&index.field, field))?.lease(key)
    }

    /// Enters a cohort, unless somebody else has done so meanwhile; then a lease of that one.
    fn enter(
        &self,
        channel: &Channel,
        field: &Arc<Field>,
        module: &Arc<Module>,
        key: &CohortKey,
        cohort: Arc<Cohort>,
        restrictions: Option<Restrictions>,
    ) -> (Lease, Arc<Cohort>) {
        let mut fields = self.channels.entry(channel.clone()).or_default();
        let at = fields.iter().position(|index| Arc::ptr_eq(&index.field, field)).unwrap_or_else(|| {
            fields.push(FieldIndex::new(Arc::clone(field), Arc::clone(module)));
            fields.len() - 1
        });
        let index = &mut fields[at];
        index.lease(key).unwrap_or_else(|| (index.enter(Arc::clone(&cohort), restrictions), cohort))
    }

    /// Takes a lease back, and removes whatever is empty without it.
    pub(super) fn release(&self, channel: &Channel, field: &Arc<Field>, lease: Lease) {
        let Entry::Occupied(mut entry) = self.channels.entry(channel.clone()) else { return };
        let fields = entry.get_mut();
        if let Some(at) = fields.iter().position(|index| Arc::ptr_eq(&index.field, field)) {
            fields[at].release(lease);
            if fields[at].is_empty() {
                fields.swap_remove(at);
            }
        }
        if fields.is_empty() {
            entry.remove();
        }
    }

    /// Hands over the cohorts that this event reaches, by their fields. The whole predicate of each was evaluated.
    pub(super) fn matching(
        &self,
        event: &Event,
        unevaluated: &Throttle,
        metrics: &Metrics,
        mut with: impl FnMut(Match),
    ) -> bool {
        let mut matches: SmallVec<[Match; 2]> = SmallVec::new();
        let Some(fields) = self.channels.get(&event.channel) else { return false };
        for index in fields.iter().filter(|index| index.field.events.accept(&event.kind)) {
            let (cohorts, failed) = index.matching(event, unevaluated);
            if failed > 0 {
                metrics.predicate_failed(&index.field.name, failed);
            }
            if !cohorts.is_empty() {
                matches.push(Match { field: Arc::clone(&index.field), module: Arc::clone(&index.module), cohorts });
            }
        }
        // Submitting takes locks of lanes and of the sandbox, and nobody should wait for those to join a channel.
        drop(fields);
        let found = !matches.is_empty();
        matches.into_iter().for_each(&mut with);
        found
    }

    /// Every cohort. A cohort that comes or goes meanwhile may or may not be among them.
    pub(super) fn cohorts(&self) -> Vec<Arc<Cohort>> {
        let mut cohorts = Vec::new();
        for entry in &self.channels {
            cohorts.extend(entry.value().iter().flat_map(FieldIndex::cohorts));
        }
        cohorts
    }

    /// Live subscriptions; walks everything.
    pub(super) fn count(&self) -> usize {
        let members = |fields: &Vec<FieldIndex>| fields.iter().map(FieldIndex::subscriptions).sum::<usize>();
        self.channels.iter().map(|entry| members(entry.value())).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }
}
