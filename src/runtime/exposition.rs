//! The metrics of all parts, in one registry, with the prefix `subcast_`.

use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::registry::Registry;

use crate::delivery::Delivery;
use crate::sandbox::Sandbox;
use crate::session::Services;
use crate::supervision;
use crate::text::foreign_error;

pub(super) fn registry(services: &Services, delivery: &Delivery, sandbox: &Sandbox) -> Registry {
    let mut registry = Registry::with_prefix("subcast");
    services.bus.metrics().register(&mut registry);
    services.registry.metrics().register(&mut registry);
    services.answers.register("introspection_answers", "answers to introspection that are not read yet", &mut registry);
    services.authenticator.refusals().register(&mut registry);
    delivery.metrics().register(&mut registry);
    sandbox.metrics().register(&mut registry);
    supervision::register(&mut registry);
    registry
}

pub(super) fn encode(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a string fails only if a metric's own encoder does, which would be a bug; an empty answer shows it.
    if let Err(error) = encode_text(&mut text, registry) {
        tracing::error!(error = %foreign_error(error), "failed to encode the metrics");
        text.clear();
    }
    text
}
