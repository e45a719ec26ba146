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

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Field {
    module: String,
    field: String,
}

impl Field {
    fn new(module: &str, field: &str) -> Self {
        Self { module: module.to_owned(), field: field.to_owned() }
    }
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
    /// Invocations answered without a call, because their field is switched off.
    pub switched_off: Counter,
    /// Calls that were not made, because the engine has no room for another instance.
    pub no_room: Counter,
    /// Lines that guests wrote beyond their budget.
    pub log_lines_suppressed: Counter,
    /// Invocations that wait for an instance.
    pub waiting: Gauge,
    /// Instances that live.
    pub instances: Gauge,
    stopped: Family<Cause, Counter>,
    retired: Family<Cause, Counter>,
    circuits_open: Family<Field, Gauge>,
    circuits_opened: Family<Field, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            // 10 µs to 1.3 s.
            call_seconds: Histogram::new(exponential_buckets(1e-5, 2.0, 18)),
            instances_started: Counter::default(),
            shed: Counter::default(),
            switched_off: Counter::default(),
            no_room: Counter::default(),
            log_lines_suppressed: Counter::default(),
            waiting: Gauge::default(),
            instances: Gauge::default(),
            stopped: Family::default(),
            retired: Family::default(),
            circuits_open: Family::default(),
            circuits_opened: Family::default(),
        }
    }
}

impl Metrics {
    /// Adds them to the registry of the process.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("call_seconds", "Duration of calls into guests, batches included", self.call_seconds.clone());
        registry.register("instances_started", "Instances of modules started", self.instances_started.clone());
        registry.register("instances_retired", "Instances replaced although they work, by cause", self.retired.clone());
        registry.register(
            "circuits_open",
            "Whether a field is switched off because its calls had to be stopped",
            self.circuits_open.clone(),
        );
        registry.register("circuits_opened", "How often a field was switched off", self.circuits_opened.clone());
        registry.register(
            "invocations_switched_off",
            "Invocations answered without a call, because their field is switched off",
            self.switched_off.clone(),
        );
        registry.register(
            "calls_without_room",
            "Calls that were not made because the engine has no room for another instance",
            self.no_room.clone(),
        );
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

    pub(super) fn retired(&self, cause: &'static str) {
        self.retired.get_or_create(&Cause { cause: cause.to_owned() }).inc();
    }

    /// A field is switched off, for the first time or, after a trial, again.
    pub(super) fn circuit_opened(&self, module: &str, field: &str, was_closed: bool) {
        let field = Field::new(module, field);
        self.circuits_opened.get_or_create(&field).inc();
        if was_closed {
            // Counted, not set: during a swap two versions of a module may have the field.
            self.circuits_open.get_or_create(&field).inc();
        }
    }

    /// A field is switched on again, or its module has gone.
    pub(super) fn circuit_closed(&self, module: &str, field: &str) {
        self.circuits_open.get_or_create(&Field::new(module, field)).dec();
    }
}
