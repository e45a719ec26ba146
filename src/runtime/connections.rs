//! Seats for connections: how many there may be, and how many there are, whoever drives them.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All seats. A cheap handle.
#[derive(Clone, Debug)]
pub struct Connections {
    seats: Arc<Semaphore>,
    most: usize,
    metrics: Metrics,
}

#[derive(Clone, Debug, Default)]
struct Metrics {
    open: Gauge,
    accepted: Counter,
    refused: Counter,
}

/// A seat that is kept free for a connection. Given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

/// A seat that a connection has taken. Given back when it is dropped.
#[derive(Debug)]
pub struct Taken {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Connections {
    /// As many seats as there may be connections.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { seats: Arc::new(Semaphore::new(most)), most, metrics: Metrics::default() }
    }

    /// A seat, unless all are taken; that is counted.
    #[must_use]
    pub fn admit(&self) -> Option<Seat> {
        let Ok(permit) = Arc::clone(&self.seats).try_acquire_owned() else {
            self.metrics.refused.inc();
            return None;
        };
        Some(Seat { permit, metrics: self.metrics.clone() })
    }

    /// Seats that are kept or taken.
    #[must_use]
    pub fn open(&self) -> usize {
        self.most.saturating_sub(self.seats.available_permits())
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let Metrics { open, accepted, refused } = &self.metrics;
        registry.register("connections", "Open WebSocket connections", open.clone());
        registry.register("connections_accepted", "WebSocket connections since the start", accepted.clone());
        registry.register("connections_refused", "Upgrades refused because of the limit", refused.clone());
    }
}

impl Seat {
    /// The connection is there.
    #[must_use]
    pub fn taken(self) -> Taken {
        self.metrics.open.inc();
        self.metrics.accepted.inc();
        Taken { _permit: self.permit, metrics: self.metrics }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_given_back_however_far_it_got() {
        let connections = Connections::new(2);
        let (kept, taken) = (connections.admit().unwrap(), connections.admit().unwrap().taken());
        assert!(connections.admit().is_none());
        assert_eq!((connections.open(), connections.metrics.open.get()), (2, 1));
        drop((kept, taken));
        assert_eq!((connections.open(), connections.metrics.open.get()), (0, 0));
        assert_eq!((connections.metrics.accepted.get(), connections.metrics.refused.get()), (1, 1));
    }
}
