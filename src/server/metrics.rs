//! Sockets.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Gauges and counters of the server.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Open WebSocket connections.
    pub connections: Gauge,
    /// WebSocket connections since the start.
    pub connections_accepted: Counter,
    /// Upgrades refused because of the limit.
    pub connections_refused: Counter,
}

impl Metrics {
    /// Adds them to the registry of the process.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Open WebSocket connections", self.connections.clone());
        registry.register(
            "connections_accepted",
            "WebSocket connections since the start",
            self.connections_accepted.clone(),
        );
        registry.register(
            "connections_refused",
            "Upgrades refused because of the limit",
            self.connections_refused.clone(),
        );
    }
}
