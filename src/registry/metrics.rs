//! How many listen, and why they stopped.

use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// Why a subscription ended. Every end has one of these, in the log and in a counter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, EncodeLabelValue)]
pub enum EndReason {
    /// The client sent `complete`.
    ClientCompleted,
    /// The connection went away or was closed by the client.
    ConnectionClosed,
    /// The resolver said that there is nothing more to come.
    ResolverCompleted,
    /// The client read too slowly.
    SlowConsumer,
    /// The client broke the protocol.
    ProtocolViolation,
    /// The client did not answer pings.
    ConnectionLost,
    /// A swap brought a schema to which the operation does not fit.
    SchemaChanged,
    /// The host shuts down.
    Drained,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct FieldLabel {
    field: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct EndLabels {
    field: String,
    reason: EndReason,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct KeyLabel {
    key: &'static str,
}

/// Gauges and counters of the registry.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    live: Family<FieldLabel, Gauge>,
    ended: Family<EndLabels, Counter>,
    refused: Family<KeyLabel, Counter>,
    predicates_failed: Family<FieldLabel, Counter>,
}

impl Metrics {
    /// Adds them to the registry of the process.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        registry.register("subscriptions", "Live subscriptions", self.live.clone());
        registry.register("subscriptions_ended", "Subscriptions that ended, by reason", self.ended.clone());
        registry.register(
            "subscriptions_refused",
            "Subscriptions beyond a bound, by its key in [limits]",
            self.refused.clone(),
        );
        registry.register(
            "predicates_failed",
            "Events withheld from a cohort because its predicate could not be evaluated",
            self.predicates_failed.clone(),
        );
    }

    pub(super) fn started(&self, field: &Arc<str>) {
        self.live.get_or_create(&FieldLabel { field: field.to_string() }).inc();
    }

    /// A subscription was refused for the bound of this key in `[limits]`.
    pub fn refused(&self, key: &'static str) {
        self.refused.get_or_create(&KeyLabel { key }).inc();
    }

    pub(super) fn ended(&self, field: &Arc<str>, reason: EndReason) {
        let field = field.to_string();
        self.live.get_or_create(&FieldLabel { field: field.clone() }).dec();
        self.ended.get_or_create(&EndLabels { field, reason }).inc();
    }

    pub(super) fn predicate_failed(&self, field: &Arc<str>, count: u64) {
        self.predicates_failed.get_or_create(&FieldLabel { field: field.to_string() }).inc_by(count);
    }
}
