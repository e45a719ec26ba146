//! One live subscription: what is kept of it, its places in rosters, and the one way out.

use std::sync::Arc;

use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::cohort::Cohort;
use super::index::Lease;
use super::roster::Roster;
use super::{EndReason, Shared};
use crate::event::Channel;
use crate::ids::{ConnectionId, SubscriptionId};
use crate::modules::Source;
use crate::principal::Principal;

/// A subscription's membership in a cohort of one roster, and the lease that keeps the cohort in the index. Dropping it
/// ends both; nothing else does.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) roster: Arc<Roster>,
    channel: Channel,
    cohort: Arc<Cohort>,
    /// Taken by the drop alone.
    lease: Option<Lease>,
    id: SubscriptionId,
    /// The connection that is charged for it.
    payer: ConnectionId,
}

impl Place {
    pub(super) fn new(
        roster: Arc<Roster>,
        channel: Channel,
        cohort: Arc<Cohort>,
        lease: Lease,
        subscription: &Subscription,
    ) -> Self {
        let Subscription { id, payer, .. } = *subscription;
        cohort.add_payer(payer);
        Self { roster, channel, cohort, lease: Some(lease), id, payer }
    }

    pub(super) fn cohort(&self) -> &Arc<Cohort> {
        &self.cohort
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.cohort.leave(self.id);
        self.cohort.remove_payer(self.payer);
        if let Some(lease) = self.lease.take() {
            self.roster.release(&self.channel, &self.cohort.field, lease);
        }
    }
}

/// What is kept of a subscription so that a swap can move it.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: SubscriptionId,
    /// The connection that is charged for it.
    pub(super) payer: ConnectionId,
    pub(super) field: Arc<str>,
    pub(super) principal: Arc<Principal>,
    pub(super) source: Source,
    pub(super) standing: Mutex<Standing>,
}

/// The places of a subscription. The lock is held while it joins a roster, so that it cannot end in between; places are
/// dropped without it.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// One, except during a swap.
    pub(super) places: SmallVec<[Place; 1]>,
    /// Nothing is to come any more: it joins no other roster.
    pub(super) ended: bool,
}

impl Standing {
    /// The cohort in this roster.
    pub(super) fn cohort_in(&self, roster: &Arc<Roster>) -> Option<&Arc<Cohort>> {
        self.places.iter().find(|place| Arc::ptr_eq(&place.roster, roster)).map(Place::cohort)
    }
}

impl Subscription {
    /// Gives its place in this roster back.
    pub(super) fn leave(&self, roster: &Arc<Roster>) {
        let mut standing = self.standing.lock();
        let at = standing.places.iter().position(|place| Arc::ptr_eq(&place.roster, roster));
        let place = at.map(|at| standing.places.swap_remove(at));
        drop(standing);
        drop(place);
    }

    /// Gives all its places back, and takes no more. A second call does nothing.
    pub(super) fn end(&self) {
        let mut standing = self.standing.lock();
        standing.ended = true;
        let places = std::mem::take(&mut standing.places);
        drop(standing);
        drop(places);
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
            taken.subscriptions = taken.subscriptions.saturating_sub(1);
            taken.bytes = taken.bytes.saturating_sub(bytes);
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
        let Subscription { id, field, .. } = &*self.subscription;
        self.subscription.end();
        self.shared.metrics.ended(field, self.reason);
        tracing::debug!(subscription = %id, %field, reason = ?self.reason, "subscription ended");
    }
}
