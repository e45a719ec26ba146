//! Events from publishers onto the bus, and from there to dispatch.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use thiserror::Error;
use uuid::Uuid;

use super::Runtime;
use crate::aside::Aside;
use crate::budget::Budget;
use crate::bus::Accepted;
use crate::delivery::Reached;
use crate::fault;
use crate::protocol::publish::{Published, Stamp};

/// After so many events of one request the publisher waits until those who resolve them have room again.
const BATCH: usize = 256;

/// What requests to publish are read with.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// `[publish] memory`: for bodies, and for events until they are delivered.
    pub memory: Budget,
    /// Where large bodies are parsed.
    pub aside: Aside,
}

/// A request was cut off: the host has ended, or a bug has ended the publishing.
#[derive(Clone, Copy, Debug, Error)]
#[error("publishing was cut off; a part of the events may have been published")]
pub struct Unfinished;

/// What an event gets that came without id or time.
#[must_use]
pub fn stamp() -> Stamp {
    Stamp { id: Uuid::now_v7().to_string(), time: humantime::format_rfc3339_millis(SystemTime::now()).to_string() }
}

impl Runtime {
    /// Publishes all of them, in their order, with pauses while the modules that they are for have no room. Goes on if the
    /// publisher goes away meanwhile, and without pauses once the host is to stop: what is acknowledged is published.
    pub async fn publish(self: &Arc<Self>, mut events: Vec<Published>) -> Result<Accepted, Unfinished> {
        if events.len() <= BATCH {
            let (accepted, reached) = self.publish_batch(events);
            self.pause(reached).await;
            return Ok(accepted);
        }
        // In a task of its own: were the publisher to go away between two batches, its request would be published in part.
        let owner = Arc::clone(self);
        let all = self.tasks.spawn(async move {
            let mut accepted = Accepted::default();
            while !events.is_empty() {
                let rest = events.split_off(events.len().min(BATCH));
                let (batch, reached) = owner.publish_batch(std::mem::replace(&mut events, rest));
                accepted.published += batch.published;
                accepted.duplicates += batch.duplicates;
                owner.pause(reached).await;
                // A batch takes a millisecond; others that this thread serves come in between.
                tokio::task::yield_now().await;
            }
            accepted
        });
        all.await.map_err(|_| Unfinished)
    }

    /// Until the modules have room, or the host is to stop: then there is no time to wait for them.
    async fn pause(&self, reached: Reached) {
        let _ = self.tasks.stopping().run_until_cancelled(self.delivery.ready(reached)).await;
    }

    /// Whether so many events can be published without a pause.
    #[must_use]
    pub fn may_publish(&self, events: usize) -> bool {
        events <= BATCH && self.delivery.is_ready()
    }

    /// Publishes without a pause, and tells how many were new: for few events, from publishers that wait by themselves.
    #[expect(clippy::must_use_candidate, reason = "most publishers need not know")]
    pub fn publish_now(&self, events: Vec<Published>) -> Accepted {
        self.publish_batch(events).0
    }

    fn publish_batch(&self, events: Vec<Published>) -> (Accepted, Reached) {
        fault::point("publish batch", events.first().map_or("", |first| &first.event.id));
        let mut reached = Reached::default();
        let deliver = |sequenced| self.delivery.deliver(&sequenced, &mut reached);
        let accepted = self.services.bus.publish(events, Instant::now(), deliver);
        (accepted, reached)
    }
}
