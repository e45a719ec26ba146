//! Where published events get their place: recognized when repeated, numbered, and handed on in order per channel.

mod memory;
mod seen;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

pub use memory::MemoryBus;
pub use seen::{Seen, WINDOW};

use crate::event::Event;
use crate::position::Position;

/// An event with its place in the history of its channel.
#[derive(Clone, Debug)]
pub struct Sequenced {
    /// Its place.
    pub position: Position,
    /// The event, shared with everyone who handles it.
    pub event: Arc<Event>,
}

/// What became of a published batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Accepted {
    /// Events handed on.
    pub published: usize,
    /// Events acknowledged but not published again, because they were seen before.
    pub duplicates: usize,
}

/// Counters of a bus.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Events handed on.
    pub published: Counter,
    /// Events recognized as repeated.
    pub duplicates: Counter,
}

impl Metrics {
    /// Adds the counters to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("events_published", "Events accepted and handed to dispatch", self.published.clone());
        registry.register("events_duplicate", "Events acknowledged but seen before", self.duplicates.clone());
    }
}
