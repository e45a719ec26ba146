//! The bus of a single process: no history, no other hosts.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::{Accepted, Metrics, Seen, Sequenced};
use crate::position::Position;
use crate::protocol::publish::Published;

/// Channels are spread over this many locks. A fixed number, so that ever new channel names cost no memory.
const LANES: usize = 64;

/// How many identities are remembered: 50 MB at most. At a higher rate of identified events the window gets shorter.
const SEEN_CAPACITY: usize = 1_000_000;

/// Numbers events and hands them on, in order per channel. Share it behind an [`Arc`].
#[derive(Debug)]
pub struct MemoryBus {
    epoch: u64,
    /// The last offset given out. One counter for all channels: offsets rise within each.
    last: AtomicU64,
    /// Held while an event is recognized or numbered and handed on: this keeps the order of its channel.
    lanes: [Mutex<()>; LANES],
    spread: RandomState,
    seen: Seen,
    metrics: Metrics,
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self {
            epoch: rand::random(),
            last: AtomicU64::new(0),
            lanes: [const { Mutex::new(()) }; LANES],
            spread: RandomState::new(),
            seen: Seen::new(SEEN_CAPACITY),
            metrics: Metrics::default(),
        }
    }
}

impl MemoryBus {
    /// A bus with an epoch of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The position of the event that was numbered last.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.last.load(Ordering::Acquire) }
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Numbers each event that was not seen before and hands it to `deliver`, in the order given.
    ///
    /// `deliver` runs under the lock of the event's channel: it must be quick and must not publish.
    ///
    /// A duplicate counts as accepted only after the first event of its identity has left `deliver`, because both take
    /// the lock of the channel first. For the same reason publishers that repeat the same events at the same time cannot
    /// reorder them: each goes on to the next event only when the one before it has been delivered, by whichever
    /// publisher. An event whose `deliver` panics is not remembered, so repeating it publishes it again.
    pub fn publish(&self, events: Vec<Published>, now: Instant, mut deliver: impl FnMut(Sequenced)) -> Accepted {
        let mut accepted = Accepted::default();
        for Published { event, identified } in events {
            let identity = identified.then(|| self.seen.identity(&event));
            #[expect(clippy::cast_possible_truncation, reason = "the remainder is below LANES")]
            let lane = (self.spread.hash_one(&event.channel) % LANES as u64) as usize;
            let _order = self.lanes[lane].lock();
            if identity.is_some_and(|identity| self.seen.knows(identity, now)) {
                accepted.duplicates += 1;
                continue;
            }
            let offset = self.last.fetch_add(1, Ordering::AcqRel) + 1;
            deliver(Sequenced { position: Position { epoch: self.epoch, offset }, event: Arc::new(event) });
            if let Some(identity) = identity {
                self.seen.remember(identity, now);
            }
            accepted.published += 1;
        }
        self.metrics.published.inc_by(accepted.published as u64);
        self.metrics.duplicates.inc_by(accepted.duplicates as u64);
        accepted
    }
}
