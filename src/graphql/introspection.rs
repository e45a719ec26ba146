//! Queries: `__schema`, `__type` and `__typename`. Everything else is refused, clearly.

use apollo_compiler::collections::HashMap;
use apollo_compiler::executable::{Operation, Selection, SelectionSet};
use apollo_compiler::introspection::{check_max_depth, partial_execute};
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::response::JsonMap;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Name};
use serde_json::{Map, Value};

use super::error::GraphqlError;
use super::limits::Limits;
use super::schema::Schema;

/// Fields of one introspection query, fragments expanded. Clients' standard query has about 150; each may be answered
/// once per element of the schema, so the limit for other operations would be far too much.
const MAX_FIELDS: usize = 1_000;
/// Levels of selections and fragments in one. Executing it recurses; the standard query has about 20.
const MAX_LEVELS: usize = 64;

/// Executes a query; `variables` are coerced already. The answer is a complete `ExecutionResult`.
pub(super) fn answer(
    schema: &Schema,
    document: &Valid<ExecutableDocument>,
    operation: &Operation,
    variables: &Map<String, Value>,
    limits: &Limits,
) -> Result<String, GraphqlError> {
    let at =
        |span: Option<apollo_compiler::parser::SourceSpan>| span.and_then(|span| span.line_column(&document.sources));
    if let Some(field) = operation.root_fields(document).find(|field| !field.name.starts_with("__")) {
        let (kind, name) = (operation.operation_type, &field.name);
        let message = format!(
            "Subcast serves subscriptions: the {kind} field `{name}` is not executed here, only introspection and `__typename` are"
        );
        return Err(GraphqlError::new(message).at(at(field.name.location())));
    }
    let most = MAX_FIELDS.min(limits.expanded_fields);
    if expanded(document, &operation.selection_set, MAX_LEVELS, &mut HashMap::default()) > most {
        let message = format!("the introspection query selects more than {most} fields or {MAX_LEVELS} levels");
        return Err(GraphqlError::new(message));
    }
    let request_error = |error| GraphqlError::from_request(&error, &document.sources);
    check_max_depth(document, operation).map_err(request_error)?;
    let internal = |_| GraphqlError::new("the introspection query could not be executed");
    let variables: JsonMap = serde_json::to_value(variables).and_then(serde_json::from_value).map_err(internal)?;
    let variables = coerce_variable_values(&schema.definitions, operation, &variables).map_err(request_error)?;
    let response = partial_execute(&schema.definitions, &schema.implementers, document, operation, &variables)
        .map_err(request_error)?;
    serde_json::to_string(&response).map_err(internal)
}

/// How many fields a selection set has with all fragments expanded; far too many if it is nested deeper than `levels`.
/// Validation has excluded cycles.
fn expanded<'a>(
    document: &'a ExecutableDocument,
    set: &'a SelectionSet,
    levels: usize,
    fragments: &mut HashMap<(&'a Name, usize), usize>,
) -> usize {
    let Some(levels) = levels.checked_sub(1) else { return usize::MAX };
    set.selections.iter().fold(0_usize, |sum, selection| {
        sum.saturating_add(match selection {
            Selection::Field(field) => expanded(document, &field.selection_set, levels, fragments).saturating_add(1),
            Selection::InlineFragment(fragment) => expanded(document, &fragment.selection_set, levels, fragments),
            Selection::FragmentSpread(spread) => {
                let key = (&spread.fragment_name, levels);
                if let Some(known) = fragments.get(&key) {
                    return sum.saturating_add(*known);
                }
                let fragment = document.fragments.get(&spread.fragment_name);
                let count = fragment.map_or(0, |f| expanded(document, &f.selection_set, levels, fragments));
                fragments.insert(key, count);
                count
            }
        })
    })
}
