//! From one generation to the next, with every subscription.
//!
//! The next roster is built beside the live one while events go on; who subscribes meanwhile joins both. Then the two
//! change places between two events: an event is matched by exactly one of them. What the old one still owes is delivered
//! before anything of the new one, for each subscription; [`Handover`] tells delivery who follows whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::cohort::{Cohort, Member};
use super::roster::Roster;
use super::subscription::Subscription;
use super::{Registry, SubscribeError, Unserved};
use crate::graphql::Plan;
use crate::ids::SubscriptionId;
use crate::modules::Generation;
use crate::pace;

/// Subscriptions of one field that the next generation cannot serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unfit {
    /// Their root field.
    pub field: Arc<str>,
    /// How many.
    pub subscriptions: usize,
    /// Why one of them cannot be served; the others may have other reasons.
    pub reason: String,
}

/// A swap that is being prepared. Dropped without [`Preparation::publish`], it leaves everything as it was.
#[derive(Debug)]
pub struct Preparation {
    registry: Registry,
    live: Arc<Roster>,
    next: Arc<Roster>,
    /// Those that have no place in the next roster, and why.
    unserved: Unserved,
    published: bool,
}

/// What became of a swap.
#[derive(Debug)]
pub struct Published {
    /// Subscriptions that have moved.
    pub moved: usize,
    /// Those that were ended.
    pub ended: Vec<Unfit>,
    old: Arc<Roster>,
}

/// The change of places, for delivery: it must hear of it after the last event of the old roster and before the first of
/// the new one.
#[derive(Debug)]
pub struct Handover {
    old: Arc<Roster>,
    new: Arc<Roster>,
    /// Members whose subscription ends, each with its cohort.
    pub ended: Vec<(Arc<Cohort>, Member)>,
}

impl Registry {
    /// Begins a swap to this generation. One at a time: whoever calls sees to that.
    #[must_use]
    pub fn prepare(&self, generation: Arc<Generation>) -> Preparation {
        let next = Arc::new(Roster::new(generation));
        let unserved = Unserved::default();
        let mut rosters = self.shared.rosters.write();
        debug_assert!(rosters.next.is_none(), "swaps are serialized");
        rosters.next = Some((Arc::clone(&next), Arc::clone(&unserved)));
        let live = Arc::clone(&rosters.live);
        Preparation { registry: self.clone(), live, next, unserved, published: false }
    }
}

impl Preparation {
    /// Gives every live subscription its place in the next roster. Takes a few microseconds for each: run it where it
    /// holds nobody up.
    pub fn enter_all(&self) {
        let same_schema = Arc::ptr_eq(&self.live.generation.schema, &self.next.generation.schema);
        for cohort in self.live.cohorts() {
            for (selection, member) in cohort.everyone() {
                let plan = same_schema.then(|| Plan {
                    field: Arc::clone(&cohort.field.name),
                    arguments: cohort.arguments.clone(),
                    arguments_json: Arc::clone(&cohort.arguments_json),
                    selection,
                });
                self.enter(plan, member);
                pace::pause();
            }
        }
    }

    fn enter(&self, plan: Option<Plan>, member: Member) {
        let subscription = Arc::clone(&member.subscription);
        let planned = match plan {
            Some(plan) => Ok(plan),
            None => self.next.generation.documents.plan(&subscription.source).map_err(SubscribeError::Operation),
        };
        // Held while joining, so that it cannot end in between.
        let mut standing = subscription.standing.lock();
        if standing.ended || standing.cohort_in(&self.next).is_some() {
            return;
        }
        match planned.and_then(|plan| self.next.join(plan, &subscription, || member)) {
            Ok(place) => standing.places.push(place),
            Err(error) => {
                drop(standing);
                let unfit = (Arc::clone(&subscription), error.to_string());
                self.unserved.lock().insert(subscription.id, unfit);
            }
        }
    }

    /// Live subscriptions that the next generation cannot serve, by field.
    #[must_use]
    pub fn unfit(&self) -> Vec<Unfit> {
        let unserved = self.unserved.lock().clone();
        summary(&unserved)
    }

    /// Makes the next roster the live one, between two events. `hand_over` is called at that moment. With subscriptions
    /// that do not fit, only if they may be ended; otherwise everything stays as it was.
    pub fn publish(mut self, may_end: bool, hand_over: impl FnOnce(Handover)) -> Result<Published, Vec<Unfit>> {
        let registry = self.registry.clone();
        let mut rosters = registry.shared.rosters.write();
        let unserved = std::mem::take(&mut *self.unserved.lock());
        let ended = summary(&unserved);
        if !may_end && !ended.is_empty() {
            drop(rosters);
            return Err(ended);
        }
        rosters.live = Arc::clone(&self.next);
        rosters.next = None;
        self.published = true;
        let (old, new) = (Arc::clone(&self.live), Arc::clone(&self.next));
        let leaving = members_of(&unserved, &old);
        hand_over(Handover { old: Arc::clone(&old), new, ended: leaving });
        drop(rosters);
        Ok(Published { moved: self.next.count(), ended, old })
    }
}

impl Drop for Preparation {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        let mut rosters = self.registry.shared.rosters.write();
        // Another one may be on its way already, where this one was given up in the middle.
        if rosters.next.as_ref().is_some_and(|(next, _)| Arc::ptr_eq(next, &self.next)) {
            rosters.next = None;
        }
        drop(rosters);
        forget(&self.next);
    }
}

impl Published {
    /// Forgets the old roster, once delivery has nothing left of it.
    pub fn finish(self) {
        forget(&self.old);
    }
}

/// Takes everybody's place in a roster away that is not live any more, or never was.
fn forget(roster: &Arc<Roster>) {
    for cohort in roster.cohorts() {
        for (_, member) in cohort.everyone() {
            member.subscription.leave(roster);
        }
        pace::pause();
    }
}

impl Handover {
    /// The cohorts of the old roster.
    #[must_use]
    pub fn predecessors(&self) -> Vec<Arc<Cohort>> {
        self.old.cohorts()
    }

    /// The cohorts in which the members of an old one go on.
    #[must_use]
    pub fn successors(&self, old: &Cohort) -> Vec<Arc<Cohort>> {
        let mut successors: BTreeMap<*const Cohort, Arc<Cohort>> = BTreeMap::new();
        for (_, member) in old.everyone() {
            if let Some(new) = member.subscription.standing.lock().cohort_in(&self.new) {
                successors.entry(Arc::as_ptr(new)).or_insert_with(|| Arc::clone(new));
            }
        }
        successors.into_values().collect()
    }
}

/// The members behind these subscriptions, each with its cohort in the roster.
fn members_of(
    subscriptions: &HashMap<SubscriptionId, (Arc<Subscription>, String)>,
    roster: &Arc<Roster>,
) -> Vec<(Arc<Cohort>, Member)> {
    let mut cohorts: BTreeMap<*const Cohort, Arc<Cohort>> = BTreeMap::new();
    for (subscription, _) in subscriptions.values() {
        if let Some(cohort) = subscription.standing.lock().cohort_in(roster) {
            cohorts.insert(Arc::as_ptr(cohort), Arc::clone(cohort));
        }
    }
    let affected = |(_, member): &(_, Member)| subscriptions.contains_key(&member.subscription.id);
    let members = cohorts.into_values().flat_map(|cohort| {
        let members = cohort.everyone().into_iter().filter(affected);
        members.map(|(_, member)| (Arc::clone(&cohort), member)).collect::<Vec<_>>()
    });
    members.collect()
}

fn summary(unserved: &HashMap<SubscriptionId, (Arc<Subscription>, String)>) -> Vec<Unfit> {
    let mut fields: BTreeMap<Arc<str>, Unfit> = BTreeMap::new();
    for (subscription, reason) in unserved.values().filter(|(subscription, _)| !subscription.standing.lock().ended) {
        let field = Arc::clone(&subscription.field);
        let unfit = Unfit { field: Arc::clone(&field), subscriptions: 0, reason: reason.clone() };
        fields.entry(field).or_insert(unfit).subscriptions += 1;
    }
    fields.into_values().collect()
}
