//! Recognizes events that were published before: (channel, source, id) within the last ten minutes.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::event::Event;

/// For how long a repeated event is recognized.
pub const WINDOW: Duration = Duration::from_mins(10);

/// Remembers identities as 128-bit keyed hashes, in the order of their arrival: about 50 bytes each.
///
/// Bounded: beyond `capacity` the oldest is forgotten before its time.
#[derive(Debug)]
pub struct Seen {
    known: HashSet<u128>,
    arrivals: VecDeque<(Instant, u128)>,
    capacity: usize,
    /// Two independent keys, drawn per process: nobody outside can craft a collision.
    hashers: [RandomState; 2],
}

impl Seen {
    /// Remembers up to `capacity` identities.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            known: HashSet::new(),
            arrivals: VecDeque::new(),
            capacity: capacity.max(1),
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// Remembers the event's identity. False if it was already known.
    pub fn insert(&mut self, event: &Event, now: Instant) -> bool {
        while let Some(&(arrived, identity)) = self.arrivals.front() {
            if now.duration_since(arrived) < WINDOW && self.arrivals.len() < self.capacity {
                break;
            }
            self.arrivals.pop_front();
            self.known.remove(&identity);
        }
        let identity = self.identity(event);
        let new = self.known.insert(identity);
        if new {
            self.arrivals.push_back((now, identity));
        }
        new
    }

    fn identity(&self, event: &Event) -> u128 {
        let parts = (event.channel.as_str(), &event.source, &event.id);
        let [high, low] = [self.hashers[0].hash_one(parts), self.hashers[1].hash_one(parts)];
        (u128::from(high) << 64) | u128::from(low)
    }
}
