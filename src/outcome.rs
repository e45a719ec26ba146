//! What is asked of a resolver, and what it answers. The Rust side of the records in `wit/resolver.wit`.

use std::sync::Arc;

use crate::event::Event;
use crate::ids::ConnectionId;
use crate::principal::Principal;

/// For whom a resolver runs, where that decides on its instance: the tenant's claim as JSON text. Nobody without a tenant
/// subscribes to a module that isolates tenants; `None` stands for everybody where none does.
pub type Tenant = Option<Arc<str>>;

/// The connection for which a resolver runs. Connections take turns in a field's queue, so that one which asks for much
/// delays itself. `None`: the host itself asks.
pub type Payer = Option<ConnectionId>;

/// One distinct way in which a field was subscribed to: arguments, and the principal where the signature asks for it.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The field's coerced arguments, JSON object text, canonical.
    pub arguments: Arc<str>,
    /// Present only for resolvers that take `context`.
    pub principal: Option<Arc<Principal>>,
    /// For modules that isolate tenants from each other; `None` for all others.
    pub tenant: Tenant,
    /// Whose turn it takes.
    pub payer: Payer,
}

/// One event for one field, with the invocations it needs.
#[derive(Clone, Debug)]
pub struct Job {
    /// Root field of `Subscription`.
    pub field: Arc<str>,
    /// The event, shared with everyone else who handles it.
    pub event: Arc<Event>,
    /// At least one.
    pub invocations: Vec<Invocation>,
}

/// What a resolver says for one invocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The field's whole value as JSON text; the host selects from it.
    Value(String),
    /// Nothing is sent for this event.
    Skip,
    /// A last value, if any; then the subscription ends.
    Completed(Option<String>),
    /// The resolver, or the sandbox around it, failed for this event.
    Failed(Failure),
}

/// Why an invocation failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failure {
    /// What happened. The client reads it only if `expose`.
    pub message: String,
    /// The error's `extensions.code`, if the resolver gave one.
    pub code: Option<String>,
    /// JSON object text, merged into the error's `extensions`.
    pub extensions: Option<String>,
    /// Whether the client may read the three above. Otherwise it gets an opaque error with an id.
    pub expose: bool,
    /// For the log, never for the client.
    pub traceback: Option<String>,
}

impl Failure {
    /// What is said instead of an answer that there is no room for.
    #[must_use]
    pub fn no_room() -> Self {
        Self {
            message: "Too much of what was resolved waits for its delivery; this event is not delivered".to_owned(),
            code: Some("OVERLOADED".to_owned()),
            expose: true,
            ..Self::default()
        }
    }

    /// Bytes of all its texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Self { message, code, extensions, expose: _, traceback } = self;
        [code, extensions, traceback].into_iter().flatten().map(String::len).sum::<usize>() + message.len()
    }
}
