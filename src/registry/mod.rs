//! Who listens to what.
//!
//! Channel → field → index → cohorts → members. An event looks its cohorts up by hash; it never visits a subscription
//! that its equalities exclude. Leaving is the drop of a [`SubscriptionGuard`], however the subscription ends.
//!
//! | file | noun |
//! |---|---|
//! | `roster` `index` `cohort` `lane` | who listens, as one generation sees it |
//! | `subscription` | one that lives, wherever it stands |
//! | `swap` | from one generation to the next |

mod cohort;
mod index;
mod lane;
mod metrics;
mod payers;
mod roster;
mod subscription;
mod swap;

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use thiserror::Error;

pub use cohort::{Answer, Cohort, Member, Next, Payloads};
pub use lane::Ticket;
pub use metrics::{EndReason, Metrics};
pub use payers::Candidates;
pub use subscription::SubscriptionGuard;
pub use swap::{Handover, Preparation, Published, Unfit};

use crate::event::Event;
use crate::graphql::{GraphqlError, Plan};
use crate::ids::{ConnectionId, SubscriptionId};
use crate::modules::{Field, Generation, Source};
use crate::outbox::{Operation, Outbox};
use crate::policy::TemplateError;
use crate::position::Position;
use crate::principal::Principal;
use crate::sandbox::Module;
use crate::throttle::Throttle;
use roster::Roster;
use subscription::{Seat, Standing, Subscription};

/// Lines per second about predicates that could not be evaluated.
const UNEVALUATED_PER_SECOND: u32 = 10;

/// How many subscriptions one subject may have, over all its connections. Anonymous principals are not counted: they
/// have no subject.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Live subscriptions per subject.
    pub per_subject: usize,
    /// Bytes that the subscriptions of a subject keep; see [`kept_bytes`].
    pub bytes_per_subject: usize,
}

/// Bytes of a live subscription beside its plan and its source.
const SUBSCRIPTION: usize = 1024;

/// Bytes that a subscription keeps while it lives: its document, variables, arguments and selection, each as if nothing was
/// shared, so that the sum over any subscriptions is no less than what they take together.
#[must_use]
pub fn kept_bytes(plan: &Plan, source: &Source) -> usize {
    SUBSCRIPTION + plan.bytes() + source.bytes()
}

/// What the subscriptions of one subject amount to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Taken {
    subscriptions: usize,
    bytes: usize,
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
    /// What the subscriptions of the subject keep would be too much.
    #[error(
        "the subscriptions of this subject would keep more than {limit} bytes (documents, variables, arguments and selections), the limit of [limits] bytes_per_subject; end one first"
    )]
    TooMuch {
        /// The limit.
        limit: usize,
    },
    /// The operation does not hold any more: the schema has changed since it was planned.
    #[error("{}", .0.first().map_or("the operation is not valid any more", |error| &error.message))]
    Operation(Vec<GraphqlError>),
    /// The module isolates tenants, and the principal has none.
    #[error(
        "Subscription.{field} is served to each tenant apart, and the credential names no tenant: \
         its tenant claim must be text or a whole number"
    )]
    NoTenant {
        /// The field.
        field: String,
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
    /// The connection that is charged for it.
    pub payer: ConnectionId,
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
    /// Read while an event is matched and its places in the lanes are taken; written to change the generation. This lock is
    /// the boundary between two events at which a swap happens.
    rosters: RwLock<Rosters>,
    /// Live subscriptions per subject; only subjects that have some.
    subjects: DashMap<Arc<str>, Taken>,
    limits: Limits,
    metrics: Metrics,
    /// Predicates that could not be evaluated, in the log.
    unevaluated: Throttle,
}

/// Those that a swap in preparation cannot serve, each with the reason. Locked by itself, never with another lock.
type Unserved = Arc<Mutex<HashMap<SubscriptionId, (Arc<Subscription>, String)>>>;

#[derive(Clone, Debug)]
struct Rosters {
    live: Arc<Roster>,
    /// Present while a swap is being prepared.
    next: Option<(Arc<Roster>, Unserved)>,
}

impl Rosters {
    fn are(&self, others: &Self) -> bool {
        let next = |rosters: &Self| rosters.next.as_ref().map(|(next, _)| Arc::as_ptr(next));
        Arc::ptr_eq(&self.live, &others.live) && next(self) == next(others)
    }
}

impl Registry {
    /// An empty registry, at this generation.
    #[must_use]
    pub fn new(limits: Limits, generation: Arc<Generation>) -> Self {
        let shared = Shared {
            rosters: RwLock::new(Rosters { live: Arc::new(Roster::new(generation)), next: None }),
            subjects: DashMap::new(),
            limits,
            metrics: Metrics::default(),
            unevaluated: Throttle::new(UNEVALUATED_PER_SECOND),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The generation that is live now.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.shared.rosters.read().live.generation)
    }

    /// The gauges and counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Registers a subscription, planned from `source` by this generation. It receives the events of its channel that are
    /// numbered after this call.
    ///
    /// If another generation has become the live one meanwhile, it is planned again; if another one is about to, it joins
    /// both. `position` is asked for the event that was numbered last, while joining: it must be quick and take no lock.
    pub fn subscribe(
        &self,
        generation: &Arc<Generation>,
        plan: Plan,
        source: Source,
        subscriber: Subscriber,
        position: impl Fn() -> Position,
    ) -> Result<SubscriptionGuard, SubscribeError> {
        let Subscriber { principal, operation, outbox, payer } = subscriber;
        let seat = self.take_seat(principal.subject.as_ref(), kept_bytes(&plan, &source))?;
        let field = Arc::clone(&plan.field);
        let standing = Mutex::new(Standing::default());
        let subscription =
            Arc::new(Subscription { id: SubscriptionId::next(), payer, field, principal, source, standing });
        let mut planned = Some((Arc::clone(generation), plan));
        loop {
            let seen = self.shared.rosters.read().clone();
            let plan = match planned.take() {
                Some((by, plan)) if Arc::ptr_eq(&by, &seen.live.generation) => plan,
                _ => seen.live.generation.documents.plan(&subscription.source).map_err(SubscribeError::Operation)?,
            };
            // Planned outside of the lock: a document may take milliseconds, and publishers would wait.
            let next_plan = seen.next.as_ref().map(|(next, _)| next.generation.documents.plan(&subscription.source));

            let rosters = self.shared.rosters.read();
            if !rosters.are(&seen) {
                // Once per swap, so it ends.
                continue;
            }
            let mut standing = subscription.standing.lock();
            let member = |since| {
                let (operation, outbox) = (Arc::clone(&operation), Arc::clone(&outbox));
                Member { operation, outbox, since, subscription: Arc::clone(&subscription) }
            };
            let mut since = 0;
            let live = rosters.live.join(plan, &subscription, || {
                since = position().offset;
                member(since)
            })?;
            standing.places.push(live);
            let Some(((next, unserved), plan)) = rosters.next.as_ref().zip(next_plan) else { break };
            let joined = plan
                .map_err(SubscribeError::Operation)
                .and_then(|plan| next.join(plan, &subscription, || member(since)));
            match joined {
                Ok(place) => standing.places.push(place),
                Err(error) => {
                    drop(standing);
                    let unfit = (Arc::clone(&subscription), error.to_string());
                    unserved.lock().insert(subscription.id, unfit);
                }
            }
            break;
        }
        self.shared.metrics.started(&subscription.field);
        let shared = Arc::clone(&self.shared);
        Ok(SubscriptionGuard { shared, subscription, reason: EndReason::ConnectionClosed, _seat: seat })
    }

    /// Hands over the cohorts that this event reaches, field by field; false if there are none. The generation does not
    /// change before `with` has returned the last time; it must be quick.
    pub fn matching(&self, event: &Event, with: impl FnMut(Match)) -> bool {
        let Shared { rosters, unevaluated, metrics, .. } = &*self.shared;
        rosters.read().live.matching(event, unevaluated, metrics, with)
    }

    /// Live subscriptions, counted over all channels. For inspection; walks everything.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.rosters.read().live.count()
    }

    /// Bytes that the subscriptions of a subject keep. For inspection.
    #[must_use]
    pub fn kept_bytes_of(&self, subject: &str) -> usize {
        self.shared.subjects.get(subject).map_or(0, |taken| taken.bytes)
    }

    /// Whether nothing at all is left behind: no channel, no subject.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Rosters { live, next } = self.shared.rosters.read().clone();
        live.is_empty() && next.is_none_or(|(next, _)| next.is_empty()) && self.shared.subjects.is_empty()
    }

    fn take_seat(&self, subject: Option<&Arc<str>>, bytes: usize) -> Result<Seat, SubscribeError> {
        let Some(subject) = subject else { return Ok(Seat(None)) };
        let Limits { per_subject, bytes_per_subject } = self.shared.limits;
        let mut taken = self.shared.subjects.entry(Arc::clone(subject)).or_default();
        let refused = if taken.subscriptions >= per_subject {
            Some(("subscriptions_per_subject", SubscribeError::TooMany { limit: per_subject }))
        } else if taken.bytes + bytes > bytes_per_subject {
            Some(("bytes_per_subject", SubscribeError::TooMuch { limit: bytes_per_subject }))
        } else {
            None
        };
        if let Some((key, refused)) = refused {
            self.shared.metrics.refused(key);
            let is_new = taken.subscriptions == 0;
            drop(taken);
            if is_new {
                self.shared.subjects.remove_if(subject, |_, taken| taken.subscriptions == 0);
            }
            return Err(refused);
        }
        taken.subscriptions += 1;
        taken.bytes += bytes;
        Ok(Seat(Some((Arc::clone(&self.shared), Arc::clone(subject), bytes))))
    }
}
