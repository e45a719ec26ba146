//! Queries: `__schema`, `__type` and `__typename`. Everything else is refused, clearly.
//!
//! The answer is written in one pass by our own executor (`write`), not by `apollo-compiler`'s, which builds the whole answer
//! as a tree first and cannot be stopped: aliases multiply a schema by what a small document has room for. A test compares
//! the two.

mod select;
mod write;

use apollo_compiler::collections::HashMap;
use apollo_compiler::executable::{Operation, Selection, SelectionSet};
use apollo_compiler::introspection::check_max_depth;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Name};
use serde_json::{Map, Value};

use super::error::GraphqlError;
use super::limits::Limits;
use super::schema::Schema;
use select::Sets;
use write::{TooLarge, Writer};

/// Fields of one introspection query, fragments expanded. Clients' standard query has about 150; each may be answered
/// once per element of the schema, so the limit for other operations would be far too much.
const MAX_FIELDS: usize = 1_000;
/// Levels of selections and fragments in one. Executing it recurses; the standard query has about 20.
const MAX_LEVELS: usize = 64;
/// Bytes of an answer: so many, and so many per byte of SDL, within the last. Clients' standard query makes 19 KB of the
/// types that every schema has, and up to 20 bytes of each byte of SDL.
const ANSWER_BYTES: usize = 64 << 10;
const ANSWER_RATIO: usize = 32;
const MAX_ANSWER_BYTES: usize = 16 << 20;

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
    if !limits.introspection
        && let Some(field) = operation.root_fields(document).find(|field| field.name != "__typename")
    {
        let message = "introspection is switched off on this host ([limits] introspection = false)";
        return Err(GraphqlError::new(message).at(at(field.name.location())));
    }
    let most = MAX_FIELDS.min(limits.expanded_fields);
    if expanded(document, &operation.selection_set, MAX_LEVELS, &mut HashMap::default()) > most {
        let message = format!("the introspection query selects more than {most} fields or {MAX_LEVELS} levels");
        return Err(GraphqlError::new(message));
    }
    check_max_depth(document, operation).map_err(|error| GraphqlError::from_request(&error, &document.sources))?;
    let (sets, root) = Sets::compile(document, &operation.selection_set, variables);
    let most = most_bytes(schema);
    Writer::new(schema, &sets, most).answer(operation.object_type().as_str(), root).map_err(|TooLarge| {
        GraphqlError::new(format!(
            "the answer to the introspection query has more than {most} bytes, the limit for this schema: select less, or under fewer aliases"
        ))
    })
}

/// Bytes of an answer about this schema, at most.
pub(super) fn most_bytes(schema: &Schema) -> usize {
    (ANSWER_BYTES + ANSWER_RATIO * schema.sdl().len()).min(MAX_ANSWER_BYTES)
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
