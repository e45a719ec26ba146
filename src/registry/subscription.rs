//! One live subscription: what is kept of it, where it stands, and the one way out.

use std::sync::Arc;

use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::cohort::Cohort;
use super::roster::Roster;
use super::{EndReason, Shared};
use crate::event::Channel;
use crate::ids::SubscriptionId;
use crate::modules::Source;
use crate::principal::Principal;

/// Where a member stands in a roster.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) roster: Arc<Roster>,
    pub(super) channel: Channel,
    pub(super) cohort: Arc<Cohort>,
}

/// What is kept of a subscription so that a swap can move it.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: SubscriptionId,
    pub(super) field: Arc<str>,
    pub(super) principal: Arc<Principal>,
    pub(super) source: Source,
    pub(super) standing: Mutex<Standing>,
}

/// The places of a subscription. Held while it joins a roster, and not while it leaves.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// One, except during a swap.
    pub(super) places: SmallVec<[Place; 1]>,
    pub(super) left: bool,
}

impl Standing {
    /// The cohort in this roster.
    pub(super) fn cohort_in(&self, roster: &Arc<Roster>) -> Option<&Arc<Cohort>> {
        self.places.iter().find(|place| Arc::ptr_eq(&place.roster, roster)).map(|place| &place.cohort)
    }
}

impl Subscription {
    /// Takes its place in this roster away.
    pub(super) fn leave(&self, roster: &Arc<Roster>) {
        let place = {
            let mut standing = self.standing.lock();
            let at = standing.places.iter().position(|place| Arc::ptr_eq(&place.roster, roster));
            at.map(|at| standing.places.remove(at))
        };
        if let Some(place) = place {
            roster.leave(&place, self.id);
        }
    }
}

/// One of the places that a subject may take, with the bytes that it keeps. Given back on drop.
#[derive(Debug)]
pub(super) struct Seat(pub(super) Option<(Arc<Shared>, Arc<str>, usize)>);

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((shared, subject, bytes)) = self.0.take() else { return };
        if let Entry::Occupied(mut entry) = shared.subjects.entry(subject) {
            let taken = entry.get_mut();
            taken.subscriptions -= 1;
            taken.bytes -= bytes;
            if taken.subscriptions == 0 {
                entry.remove();
            }
        }
    }
}

/// A live subscription. Dropping it is the one way out of the registry.
#[derive(Debug)]
pub struct SubscriptionGuard {
    pub(super) shared: Arc<Shared>,
    pub(super) subscription: Arc<Subscription>,
    pub(super) reason: EndReason,
    pub(super) _seat: Seat,
}

impl SubscriptionGuard {
    /// Leaves, and says why. A plain drop means that the connection went away.
    pub fn end(mut self, reason: EndReason) {
        self.reason = reason;
    }

    /// The subscription's number.
    #[must_use]
    pub fn id(&self) -> SubscriptionId {
        self.subscription.id
    }
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        let Subscription { id, field, standing, .. } = &*self.subscription;
        let places = {
            let mut standing = standing.lock();
            standing.left = true;
            std::mem::take(&mut standing.places)
        };
        for place in places {
            place.roster.leave(&place, *id);
        }
        self.shared.metrics.ended(field, self.reason);
        tracing::debug!(subscription = %id, %field, reason = ?self.reason, "subscription ended");
    }
}
