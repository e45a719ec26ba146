//! A client's document, and what becomes of an operation in it.

use std::sync::Arc;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast::OperationType;
use apollo_compiler::validation::Valid;
use serde_json::{Map, Value};

use super::coerce;
use super::error::GraphqlError;
use super::introspection;
use super::limits::Limits;
use super::plan::{self, Plan};
use super::schema::Schema;

/// A parsed and validated document. Independent of variables, so worth caching: a few kilobytes, immutable.
#[derive(Debug)]
pub struct Document {
    schema: Arc<Schema>,
    definitions: Valid<ExecutableDocument>,
    limits: Limits,
}

/// An operation, ready.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// A subscription: to be registered.
    Subscription(Plan),
    /// A query for introspection or `__typename`: answered, the complete `ExecutionResult` as JSON text.
    Response(String),
}

impl Document {
    pub(super) fn new(schema: Arc<Schema>, definitions: Valid<ExecutableDocument>, limits: Limits) -> Self {
        Self { schema, definitions, limits }
    }

    /// Names of the variables that the operation declares; none if there is no such operation.
    #[must_use]
    pub fn declared(&self, operation_name: Option<&str>) -> Vec<&str> {
        let operation = self.definitions.operations.get(operation_name).into_iter();
        operation.flat_map(|operation| &operation.variables).map(|variable| variable.name.as_str()).collect()
    }

    /// Chooses the operation, coerces its variables, and compiles or answers it. The name may be left out if the
    /// document has one operation.
    ///
    /// Errors are request errors: nothing was executed, and the whole operation is refused.
    pub fn prepare(
        &self,
        operation_name: Option<&str>,
        variables: &Map<String, Value>,
    ) -> Result<Prepared, Vec<GraphqlError>> {
        let operation = self
            .definitions
            .operations
            .get(operation_name)
            .map_err(|error| vec![GraphqlError::from_request(&error, &self.definitions.sources)])?;
        let mut coerced = coerce::variables(&self.schema, &self.definitions, operation, variables, &self.limits);
        if coerced.errors.len() > self.limits.errors {
            let more = coerced.errors.len() - self.limits.errors;
            coerced.errors.truncate(self.limits.errors);
            coerced.errors.push(super::error::left_out(more));
        }
        if !coerced.errors.is_empty() {
            return Err(coerced.errors);
        }
        match operation.operation_type {
            OperationType::Subscription => {
                plan::plan(&self.schema, &self.definitions, operation, &coerced.values, &self.limits)
                    .map(Prepared::Subscription)
                    .map_err(|error| vec![error])
            }
            OperationType::Query | OperationType::Mutation => {
                introspection::answer(&self.schema, &self.definitions, operation, &coerced.values, &self.limits)
                    .map(Prepared::Response)
                    .map_err(|error| vec![error])
            }
        }
    }
}
