//! The plan: a validated subscription operation, compiled once.

use std::sync::Arc;

use apollo_compiler::executable::{ExecutableDocument, Field, Operation};
use serde_json::{Map, Value};

use super::coerce;
use super::collect;
use super::error::GraphqlError;
use super::limits::Limits;
use super::schema::Schema;
use super::selection::Selection;
use crate::footprint;

/// A subscription operation with its variables: what to ask for, and what to select from the answer.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The root field.
    pub field: Arc<str>,
    /// Its coerced arguments. Absent ones without a default are absent; IDs are strings.
    pub arguments: Map<String, Value>,
    /// The same as JSON text, canonical: keys sorted, so that equal arguments are equal texts.
    pub arguments_json: Arc<str>,
    /// What is selected. Operations that select the same have equal selections.
    pub selection: Arc<Selection>,
}

impl Plan {
    /// Bytes that it takes while it is kept, as if it shared nothing.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let arguments = footprint::of_map(&self.arguments, usize::MAX);
        size_of::<Self>() + self.field.len() + arguments + self.arguments_json.len() + self.selection.bytes()
    }
}

/// `variables` are coerced already.
pub(super) fn plan(
    schema: &Schema,
    document: &ExecutableDocument,
    operation: &Operation,
    variables: &Map<String, Value>,
    limits: &Limits,
) -> Result<Plan, GraphqlError> {
    // Validation leaves exactly one, without conditions, possibly inside a fragment.
    let field: &Field =
        operation.root_fields(document).next().ok_or_else(|| GraphqlError::new("the subscription selects no field"))?;
    let arguments = coerce::arguments(schema, field, variables, limits)
        .map_err(|error| error.at(field.name.location().and_then(|span| span.line_column(&document.sources))))?;
    let owner = operation.object_type().as_str();
    let selection = collect::collect(schema, document, field, owner, variables, limits)?;
    let arguments_json = coerce::canonical(&arguments).into();
    Ok(Plan { field: field.name.as_str().into(), arguments, arguments_json, selection: Arc::new(selection) })
}
