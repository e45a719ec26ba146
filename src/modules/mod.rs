//! Live modules, and what they amount to together: the [`Generation`].
//!
//! A generation is immutable. An event meets one when it is numbered, and is resolved and projected by it to the end; a
//! swap puts the next one into its place (`registry/`).

mod assemble;
mod documents;
#[cfg(test)]
mod tests;
mod widening;

use std::collections::HashMap;
use std::sync::Arc;

pub use assemble::{AssembleError, FieldProblem, check};
pub use documents::{Documents, Request, Source};

use crate::graphql::Schema;
use crate::policy::{ChannelTemplate, Filter};
use crate::sandbox::Module;

/// One resolver of a live module, with everything that dispatch needs to know about it.
#[derive(Debug)]
pub struct Field {
    /// Root field of `Subscription`.
    pub name: Arc<str>,
    /// Channel it listens to.
    pub channel: ChannelTemplate,
    /// Event types that reach it.
    pub events: EventTypes,
    /// Which of those events a subscription can match.
    pub filter: Filter,
    /// Whether it is resolved per principal.
    pub context: bool,
    /// `file:line` and function, for the log.
    pub source: String,
}

/// Event types that reach a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventTypes {
    /// All of its channel.
    Any,
    /// These.
    Named(Vec<String>),
}

impl EventTypes {
    /// Whether events of this type reach the field.
    #[must_use]
    pub fn accept(&self, kind: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(names) => names.iter().any(|name| name == kind),
        }
    }
}

/// Modules, schema, fields and parsed documents as one immutable value.
#[derive(Debug)]
pub struct Generation {
    /// Counts from 1.
    pub number: u64,
    /// All modules' schemas, composed.
    pub schema: Arc<Schema>,
    /// Parsed documents and introspection results; the same as those of the generation before if the schema is.
    pub documents: Arc<Documents>,
    modules: Vec<Arc<Module>>,
    fields: HashMap<Arc<str>, (Arc<Field>, Arc<Module>)>,
}

impl Generation {
    /// The field of this name, and the module that owns it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&(Arc<Field>, Arc<Module>)> {
        self.fields.get(name)
    }

    /// All fields, in no order.
    pub fn fields(&self) -> impl Iterator<Item = &(Arc<Field>, Arc<Module>)> {
        self.fields.values()
    }

    /// The modules, in the order in which they were given.
    #[must_use]
    pub fn modules(&self) -> &[Arc<Module>] {
        &self.modules
    }
}
