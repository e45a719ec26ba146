//! What dispatch did.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters of dispatch.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Resolver invocations asked of the sandbox.
    pub invocations: Counter,
    /// Payloads serialized.
    pub projections: Counter,
    /// Payloads whose value did not fit the schema.
    pub projection_errors: Counter,
    /// Messages pushed into outboxes.
    pub deliveries: Counter,
    /// Messages dropped because a client read too slowly.
    pub dropped: Counter,
    /// From match to answer.
    pub resolve_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            invocations: Counter::default(),
            projections: Counter::default(),
            projection_errors: Counter::default(),
            deliveries: Counter::default(),
            dropped: Counter::default(),
            // 50 µs to 3.3 s.
            resolve_seconds: Histogram::new(exponential_buckets(5e-5, 3.0, 11)),
        }
    }
}

impl Metrics {
    /// Adds them to the registry of the process.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("invocations", "Resolver invocations asked of the sandbox", self.invocations.clone());
        registry.register("projections", "Payloads serialized", self.projections.clone());
        registry.register(
            "projection_errors",
            "Payloads whose value did not fit the schema",
            self.projection_errors.clone(),
        );
        registry.register("deliveries", "Messages pushed into outboxes", self.deliveries.clone());
        registry.register("dropped", "Messages dropped because a client read too slowly", self.dropped.clone());
        registry.register("resolve_seconds", "From match to answer, queueing included", self.resolve_seconds.clone());
    }
}
