//! Everyone who listens, by the channels and fields of one generation.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::cohort::{Cohort, Member};
use super::index::FieldIndex;
use super::metrics::Metrics;
use super::subscription::Place;
use super::{Match, SubscribeError};
use crate::event::{Channel, Event};
use crate::graphql::{GraphqlError, Plan};
use crate::modules::Generation;
use crate::principal::Principal;
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

    /// Enters a member. What it listens to, and with whom, follows from its plan and its principal.
    pub(super) fn join(
        self: &Arc<Self>,
        plan: Plan,
        principal: &Arc<Principal>,
        member: Member,
    ) -> Result<Place, SubscribeError> {
        let Plan { field, arguments, arguments_json, selection } = plan;
        let Some((field, module)) = self.generation.field(&field) else {
            let missing = GraphqlError::new(format!("no resolver serves Subscription.{field}"));
            return Err(SubscribeError::Operation(vec![missing]));
        };
        let channel = field.channel.expand(&arguments)?;
        let mut fields = self.channels.entry(channel.clone()).or_default();
        let slot = fields.iter().position(|index| Arc::ptr_eq(&index.field, field)).unwrap_or_else(|| {
            fields.push(FieldIndex::new(Arc::clone(field), Arc::clone(module)));
            fields.len() - 1
        });
        let cohort = fields[slot].cohort(arguments, arguments_json, principal);
        cohort.join(selection, member);
        drop(fields);
        Ok(Place { roster: Arc::clone(self), channel, cohort })
    }

    /// Takes a member out, and whatever is empty without it.
    pub(super) fn leave(&self, place: &Place, id: crate::ids::SubscriptionId) {
        let Entry::Occupied(mut entry) = self.channels.entry(place.channel.clone()) else { return };
        place.cohort.leave(id);
        if !place.cohort.is_empty() {
            return;
        }
        let fields = entry.get_mut();
        if let Some(slot) = fields.iter().position(|index| Arc::ptr_eq(&index.field, &place.cohort.field)) {
            fields[slot].remove(&place.cohort);
            if fields[slot].is_empty() {
                fields.swap_remove(slot);
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
        let Some(fields) = self.channels.get(&event.channel) else { return false };
        let mut found = false;
        for index in fields.iter().filter(|index| index.field.events.accept(&event.kind)) {
            let (cohorts, failed) = index.matching(event, unevaluated);
            if failed > 0 {
                metrics.predicate_failed(&index.field.name, failed);
            }
            if !cohorts.is_empty() {
                found = true;
                with(Match { field: Arc::clone(&index.field), module: Arc::clone(&index.module), cohorts });
            }
        }
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
