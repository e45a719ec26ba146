//! Subscriptions that share field, arguments and access key, and therefore one resolver invocation per event.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::lane::Lane;
use super::subscription::Subscription;
use crate::graphql::Selection;
use crate::ids::SubscriptionId;
use crate::modules::Field;
use crate::outbox::{Operation, Outbox, Payload};
use crate::outcome::{Invocation, Outcome, Tenant};
use crate::policy::Verdict;
use crate::position::Position;
use crate::principal::Principal;
use crate::sandbox::Held;

/// What a resolver said for the cohort about the event at a position.
#[derive(Debug)]
pub struct Answer {
    /// Where the event stands.
    pub position: Position,
    /// What the resolver said.
    pub outcome: Outcome,
    /// What its members get, where that was worked out beforehand: for large values.
    pub payloads: Payloads,
    /// Until the whole job is delivered.
    pub held: Arc<Held>,
}

/// What the members of a cohort get of an answer, by what they selected.
#[derive(Debug, Default)]
pub struct Payloads(HashMap<Name, (Arc<Selection>, Payload)>);

/// What tells one selection from another, as long as it is kept: where it lies in memory.
type Name = usize;

impl Payloads {
    /// What those get who selected exactly this.
    #[must_use]
    pub fn get(&self, selection: &Arc<Selection>) -> Option<&Payload> {
        self.0.get(&Arc::as_ptr(selection).addr()).map(|(_, payload)| payload)
    }

    /// Keeps it for them.
    pub fn insert(&mut self, selection: Arc<Selection>, payload: Payload) {
        self.0.insert(Arc::as_ptr(&selection).addr(), (selection, payload));
    }
}

/// One subscription inside a cohort.
#[derive(Clone, Debug)]
pub struct Member {
    /// The operation, as the outbox knows it.
    pub operation: Arc<Operation>,
    /// Where results go.
    pub outbox: Arc<Outbox>,
    /// Offset of the last event that was numbered before it joined: only later ones are for it.
    pub since: u64,
    /// What is kept of it wherever it stands.
    pub(super) subscription: Arc<Subscription>,
}

/// Members with equal selections: they share payloads.
#[derive(Debug)]
pub struct PlanGroup {
    /// What they selected.
    pub selection: Arc<Selection>,
    /// Who they are.
    pub members: IndexMap<SubscriptionId, Member>,
}

impl PlanGroup {
    /// Whether an event of this offset is for any of the members.
    #[must_use]
    pub fn waits_for(&self, offset: u64) -> bool {
        self.members.values().any(|member| member.since < offset)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Cohort {
    /// The field.
    pub field: Arc<Field>,
    /// Coerced arguments.
    pub arguments: Map<String, Value>,
    /// The same as canonical JSON text.
    pub arguments_json: Arc<str>,
    /// Everything about a principal that decisions for this field can see.
    pub(super) access_key: Arc<str>,
    /// Who the cohort stands for: equal for all members in whatever the access key covers.
    pub principal: Arc<Principal>,
    /// For whom the resolver runs, if its module isolates tenants.
    pub(super) tenant: Tenant,
    /// Puts answers back into the order of events.
    pub lane: Mutex<Lane<Answer>>,
    /// By selection; nearly always one.
    pub groups: Mutex<Vec<PlanGroup>>,
    /// Where the cohort stands in its bucket of the index, so that leaving needs no search.
    pub(super) place: AtomicUsize,
}

impl Cohort {
    pub(super) fn new(
        field: Arc<Field>,
        arguments: Map<String, Value>,
        arguments_json: Arc<str>,
        access_key: Arc<str>,
        principal: Arc<Principal>,
        tenant: Tenant,
    ) -> Self {
        let (lane, groups, place) = (Mutex::default(), Mutex::default(), AtomicUsize::new(0));
        Self { field, arguments, arguments_json, access_key, principal, tenant, lane, groups, place }
    }

    /// What to ask the resolver.
    #[must_use]
    pub fn invocation(&self) -> Invocation {
        let principal = self.field.context.then(|| Arc::clone(&self.principal));
        Invocation { arguments: Arc::clone(&self.arguments_json), principal, tenant: self.tenant.clone() }
    }

    /// Whether the cohort may see the event: the field's whole predicate.
    pub fn verdict(&self, event: &crate::event::Event) -> Verdict {
        self.field.filter.verdict(event, &self.arguments, &self.principal.claims)
    }

    pub(super) fn join(&self, selection: Arc<Selection>, member: Member) {
        let id = member.subscription.id;
        let mut groups = self.groups.lock();
        if let Some(group) = groups.iter_mut().find(|group| group.selection == selection) {
            group.members.insert(id, member);
        } else {
            groups.push(PlanGroup { selection, members: IndexMap::from([(id, member)]) });
        }
    }

    /// Every member, with what it selected.
    pub(super) fn everyone(&self) -> Vec<(Arc<Selection>, Member)> {
        let groups = self.groups.lock();
        let members = |group: &PlanGroup| {
            let selection = Arc::clone(&group.selection);
            group.members.values().map(move |member| (Arc::clone(&selection), member.clone())).collect::<Vec<_>>()
        };
        groups.iter().flat_map(members).collect()
    }

    pub(super) fn leave(&self, id: SubscriptionId) {
        let mut groups = self.groups.lock();
        if let Some(slot) = groups.iter_mut().position(|group| group.members.swap_remove(&id).is_some())
            && groups[slot].members.is_empty()
        {
            groups.swap_remove(slot);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.lock().iter().all(|group| group.members.is_empty())
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.groups.lock().iter().map(|group| group.members.len()).sum()
    }

    pub(super) fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }
}
