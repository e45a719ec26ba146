//! What the sandbox did.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Cause {
    cause: String,
}

/// Counters and gauges of the sandbox.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Duration of calls, batches included.
    pub call_seconds: Histogram,
    /// Instances started.
    pub instances_started: Counter,
    /// Invocations answered as overloaded, because their field does not keep up.
    pub shed: Counter,
    /// Lines that guests wrote beyond their budget.
    pub log_lines_suppressed: Counter,
    /// Invocations that wait for an instance.
    pub waiting: Gauge,
    /// Instances that live.
    pub instances: Gauge,
    stopped: Family<Cause, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            // 10 µs to 1.3 s.
            call_seconds: Histogram::new(exponential_buckets(1e-5, 2.0, 18)),
            instances_started: Counter::default(),
            shed: Counter::default(),
            log_lines_suppressed: Counter::default(),
            waiting: Gauge::default(),
            instances: Gauge::default(),
            stopped: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds them to the registry of the process.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("call_seconds", "Duration of calls into guests, batches included", self.call_seconds.clone());
        registry.register("instances_started", "Instances of modules started", self.instances_started.clone());
        registry.register("calls_stopped", "Calls stopped by a limit or a trap, by cause", self.stopped.clone());
        registry.register("invocations_shed", "Invocations answered as overloaded", self.shed.clone());
        registry.register(
            "guest_log_lines_suppressed",
            "Lines that guests wrote beyond their log_bytes per second",
            self.log_lines_suppressed.clone(),
        );
        registry.register("invocations_waiting", "Invocations that wait for an instance", self.waiting.clone());
        registry.register("instances", "Instances of modules that live", self.instances.clone());
    }

    pub(super) fn stopped(&self, cause: &'static str) {
        self.stopped.get_or_create(&Cause { cause: cause.to_owned() }).inc();
    }
}
