//! What a module says about itself: the Rust side of `manifest` in `wit/resolver.wit`. A request, never a grant.

use serde::Serialize;

/// An argument that must equal a value of the event, if the argument is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Equality {
    /// Name of the field's argument.
    pub argument: String,
    /// Dotted path below `event.data`.
    pub path: String,
}

/// One resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldManifest {
    /// Root field of `Subscription`.
    pub name: String,
    /// Qualified name of the Python function.
    pub function: String,
    /// Its file, relative to the sources.
    pub file: String,
    /// Its line.
    pub line: u32,
    /// Channel or channel template.
    pub channel: String,
    /// Event types that reach the field; `*` for all.
    pub events: Vec<String>,
    /// Equalities between arguments and event values.
    pub matches: Vec<Equality>,
    /// CEL predicate.
    #[serde(rename = "where")]
    pub predicate: Option<String>,
    /// Resolved per principal.
    pub context: bool,
    /// May be retried in a module with side effects.
    pub idempotent: bool,
    /// Has a subscribe hook.
    pub on_subscribe: bool,
    /// Example of `event.data`, JSON text.
    pub example: Option<String>,
}

/// A module's description of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// Name and version of the SDK that it was built with.
    pub sdk: String,
    /// GraphQL schema in SDL.
    pub schema: String,
    /// Its resolvers.
    pub fields: Vec<FieldManifest>,
    /// Imports that it wants to use.
    pub capabilities: Vec<String>,
}
