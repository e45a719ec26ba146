//! Duplicate detection: the identities, (channel, source, id), of the events of the last ten minutes.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::event::Event;

/// For how long a repeated event is recognized.
pub const WINDOW: Duration = Duration::from_mins(10);

/// Identities are spread over this many locks by their hash, so that publishers of different channels rarely meet, and
/// so that whatever happens to a whole part at once (it grows, or all of it expires) takes about a millisecond.
const PARTS: usize = 64;

/// An event's channel, source and id, as a 128-bit keyed hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity(u128);

/// The identities of recent events: about 50 bytes each.
///
/// Bounded: beyond the capacity the oldest identities are forgotten before their time. `knows` and `remember` are two
/// steps, so that an event can be delivered between them; whoever uses them excludes others with the same identity
/// meanwhile (the bus holds the lock of the event's channel).
#[derive(Debug)]
pub struct Seen {
    parts: [Mutex<Recent>; PARTS],
    /// Two independent keys, drawn per process: nobody outside can craft a collision.
    hashers: [RandomState; 2],
}

impl Seen {
    /// Remembers up to `capacity` identities.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            parts: std::array::from_fn(|_| Mutex::new(Recent::new(capacity.div_ceil(PARTS)))),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// The identity of `event`.
    #[must_use]
    pub fn identity(&self, event: &Event) -> Identity {
        let parts = (event.channel.as_str(), &event.source, &event.id);
        let [high, low] = [self.hashers[0].hash_one(parts), self.hashers[1].hash_one(parts)];
        Identity((u128::from(high) << 64) | u128::from(low))
    }

    /// Whether the identity was remembered within the last ten minutes.
    #[must_use]
    pub fn knows(&self, identity: Identity, now: Instant) -> bool {
        self.part(identity).lock().knows(identity, now)
    }

    /// Remembers the identity from `now` on. Changes nothing if it is known.
    pub fn remember(&self, identity: Identity, now: Instant) {
        self.part(identity).lock().remember(identity, now);
    }

    fn part(&self, identity: Identity) -> &Mutex<Recent> {
        let part = (identity.0 % PARTS as u128) as usize;
        &self.parts[part]
    }
}

/// Identities in the order of their arrival.
#[derive(Debug)]
pub(super) struct Recent {
    known: HashSet<Identity>,
    arrivals: VecDeque<(Instant, Identity)>,
    capacity: usize,
}

impl Recent {
    pub(super) fn new(capacity: usize) -> Self {
        Self { known: HashSet::new(), arrivals: VecDeque::new(), capacity: capacity.max(1) }
    }

    pub(super) fn knows(&mut self, identity: Identity, now: Instant) -> bool {
        while let Some(&(arrived, oldest)) = self.arrivals.front() {
            if now.duration_since(arrived) < WINDOW {
                break;
            }
            self.arrivals.pop_front();
            self.known.remove(&oldest);
        }
        self.known.contains(&identity)
    }

    pub(super) fn remember(&mut self, identity: Identity, now: Instant) {
        if !self.known.insert(identity) {
            return;
        }
        self.arrivals.push_back((now, identity));
        if self.arrivals.len() > self.capacity
            && let Some((_, oldest)) = self.arrivals.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
