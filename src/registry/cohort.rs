//! Subscriptions that share field, arguments and access key, and therefore one resolver invocation per event.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::lane::{Lane, Ticket};
use super::payers::{Candidates, Payers};
use super::subscription::Subscription;
use crate::graphql::Selection;
use crate::ids::{ConnectionId, SubscriptionId};
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

/// Members with equal selections: they share payloads. A group without members does not exist.
#[derive(Debug)]
struct PlanGroup {
    selection: Arc<Selection>,
    members: IndexMap<SubscriptionId, Member>,
}

impl PlanGroup {
    /// Whether an event of this offset is for any of the members.
    fn waits_for(&self, offset: u64) -> bool {
        self.members.values().any(|member| member.since < offset)
    }
}

/// What a cohort's lane has in front.
#[derive(Debug)]
pub enum Next {
    /// The next answer, taken out of the lane.
    Answer(Answer),
    /// A place that is reserved and not filled yet.
    Waiting,
    /// Nothing is reserved.
    Nothing,
}

/// See the module.
///
/// Its two locks are private and never held while another lock is taken, with two exceptions: an outbox while results are
/// pushed, and whatever the caller of [`Cohort::join`] reads.
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
    tenant: Tenant,
    /// Puts answers back into the order of events.
    lane: Mutex<Lane<Answer>>,
    /// By selection; nearly always one.
    groups: Mutex<Vec<PlanGroup>>,
    /// The connections of its members.
    payers: Mutex<Payers>,
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
        let (lane, groups, payers) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { field, arguments, arguments_json, access_key, principal, tenant, lane, groups, payers }
    }

    /// Connections of which one is charged for an invocation.
    pub fn payers(&self) -> Candidates {
        self.payers.lock().candidates()
    }

    /// What to ask the resolver, on behalf of nobody yet.
    #[must_use]
    pub fn invocation(&self) -> Invocation {
        let principal = self.field.context.then(|| Arc::clone(&self.principal));
        Invocation { arguments: Arc::clone(&self.arguments_json), principal, tenant: self.tenant.clone(), payer: None }
    }

    /// Whether the cohort may see the event: the field's whole predicate.
    pub fn verdict(&self, event: &crate::event::Event) -> Verdict {
        self.field.filter.verdict(event, &self.arguments, &self.principal.claims)
    }

    /// Takes the next place of the lane, for the answer to an event. Call it in the order of events.
    pub fn reserve(&self) -> Ticket {
        self.lane.lock().reserve()
    }

    /// Fills a place of the lane. A second answer for the same place is ignored.
    pub fn fill(&self, ticket: Ticket, answer: Answer) {
        self.lane.lock().fill(ticket, answer);
    }

    /// The front of the lane.
    #[must_use]
    pub fn next(&self) -> Next {
        let mut lane = self.lane.lock();
        match lane.pop() {
            Some(answer) => Next::Answer(answer),
            None if lane.is_empty() => Next::Nothing,
            None => Next::Waiting,
        }
    }

    /// Gives up the place in front of the lane if it is not filled; false if there is none. Its answer is ignored when it
    /// comes.
    #[must_use]
    pub fn skip(&self) -> bool {
        self.lane.lock().skip()
    }

    /// Whether answers are still to come: a place of the lane is reserved.
    #[must_use]
    pub fn owes(&self) -> bool {
        !self.lane.lock().is_empty()
    }

    /// What the members selected for whom an event of this offset is, each once.
    #[must_use]
    pub fn waiting(&self, offset: u64) -> SmallVec<[Arc<Selection>; 1]> {
        let groups = self.groups.lock();
        groups.iter().filter(|group| group.waits_for(offset)).map(|group| Arc::clone(&group.selection)).collect()
    }

    /// The sum of a size over all that is selected.
    #[must_use]
    pub fn sum(&self, size: impl Fn(&Selection) -> usize) -> usize {
        self.groups.lock().iter().map(|group| size(&group.selection)).fold(0, usize::saturating_add)
    }

    /// Calls `push` for each member that selected exactly this and for whom an event of this offset is. `push` must be
    /// quick: joins and leaves wait for it.
    pub fn fan_out(&self, selection: &Arc<Selection>, offset: u64, push: impl FnMut(&Member)) {
        let groups = self.groups.lock();
        let group = groups.iter().find(|group| Arc::ptr_eq(&group.selection, selection));
        let members = group.into_iter().flat_map(|group| group.members.values());
        members.filter(|member| member.since < offset).for_each(push);
    }

    /// Ends the operations of all members for whom an event of this offset is; returns how many these were. They have
    /// left the registry when this returns, even if their sessions take their time to drop the guards.
    pub fn complete(&self, offset: u64) -> usize {
        let mut ended = Vec::new();
        self.groups.lock().retain_mut(|group| {
            let (before, after): (Vec<_>, Vec<_>) =
                group.members.drain(..).partition(|(_, member)| member.since < offset);
            ended.extend(before);
            group.members.extend(after);
            !group.members.is_empty()
        });
        for (_, Member { operation, outbox, subscription, .. }) in &ended {
            outbox.complete(operation);
            subscription.end();
        }
        ended.len()
    }

    /// Enters a member. `member` is called while nothing is delivered to this cohort: an event that is numbered after
    /// what it reads finds the member.
    pub(super) fn join(&self, selection: Arc<Selection>, member: impl FnOnce() -> Member) {
        let mut groups = self.groups.lock();
        let member = member();
        let id = member.subscription.id;
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

    pub(super) fn add_payer(&self, payer: ConnectionId) {
        self.payers.lock().join(payer);
    }

    pub(super) fn remove_payer(&self, payer: ConnectionId) {
        self.payers.lock().leave(payer);
    }

    pub(super) fn leave(&self, id: SubscriptionId) {
        let mut groups = self.groups.lock();
        let mut left = None;
        if let Some(at) = groups.iter_mut().position(|group| {
            left = group.members.swap_remove(&id);
            left.is_some()
        }) && groups.get(at).is_some_and(|group| group.members.is_empty())
        {
            groups.swap_remove(at);
        }
        drop(groups);
        // After the lock: a member may be the last to know its outbox.
        drop(left);
    }
}
