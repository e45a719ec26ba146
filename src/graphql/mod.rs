//! GraphQL: the schema, documents, the plan of a subscription, and the projection of resolvers' values.
//!
//! ```text
//! SDL of the modules ─► Schema ─ parse ─► Document ─ prepare(operation name, variables) ─► Prepared
//!                                                             Plan { field, arguments, selection }  │  Response
//! a resolver's value (JSON text) ─► Selection::project ─► ExecutionResult (JSON text)
//! ```
//!
//! Parsing and validation are `apollo-compiler`'s. Ours are the coercion of inputs (canonical, so that equal arguments are
//! equal texts), introspection (within a bound), the plan, and the projection, which is the hot path: it runs once per event and
//! distinct selection, allocates a constant number of times, and copies text where the resolver's text will do.
//!
//! Everything here is pure, immutable and `Send + Sync`; caching is done by the callers.

mod coerce;
mod collect;
mod compose;
mod directives;
mod document;
mod error;
mod introspection;
mod json;
mod leaf;
mod limits;
mod pace;
mod plan;
mod project;
mod schema;
mod selection;

pub use compose::{SchemaError, SchemaPart};
pub use document::{Document, Prepared};
pub use error::{GraphqlError, Location, PathSegment};
pub use limits::Limits;
pub use plan::Plan;
pub use project::Projected;
pub use schema::{Argument, ArgumentKind, Schema, SubscriptionField};
pub use selection::Selection;

#[cfg(test)]
mod tests;
