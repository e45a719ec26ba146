//! What the client and the log learn of a failed invocation: the client an opaque error with an id, unless the resolver
//! raised a `GraphQLError`; the log everything, with the same id.

use serde_json::{Map, Value};

use crate::event::Event;
use crate::graphql::{GraphqlError, Projected};
use crate::ids::ErrorId;
use crate::modules::Field;
use crate::outcome::{Failure, Outcome};
use crate::sandbox::Module;
use crate::text::{foreign, foreign_error, in_margin};
use crate::throttle::{Throttle, Throttles};

/// Detailed lines per second: of failures, of each module; of values that do not fit, over all fields.
const LINES_PER_SECOND: u32 = 50;

/// What clients see of an error that is not meant for them.
const OPAQUE: &str = "Internal server error";

/// Writes failures to the log, within bounds.
#[derive(Debug)]
pub(super) struct FailureLog {
    failures: Throttles,
    misfits: Throttle,
}

impl Default for FailureLog {
    fn default() -> Self {
        Self { failures: Throttles::new(LINES_PER_SECOND), misfits: Throttle::new(LINES_PER_SECOND) }
    }
}

impl FailureLog {
    /// Logs the failure, and turns it into what the client may see. The error's id is drawn here, once for all plans of
    /// the cohort.
    pub(super) fn settle(&self, failure: Failure, field: &Field, module: &Module, event: &Event) -> Outcome {
        if failure.expose {
            tracing::debug!(module = module.name(), field = %field.name, message = %foreign_error(&failure.message), "resolver raised a GraphQLError");
            return Outcome::Failed(failure);
        }
        let id = ErrorId::random();
        if self.failures.may_write(module.name()) {
            // Last, since it takes lines of its own.
            let traceback = failure.traceback.as_deref().map(in_margin).map(tracing::field::display);
            tracing::error!(
                error = %id,
                module = module.name(),
                field = %field.name,
                resolver = %foreign(&field.source),
                event = %foreign(&event.id),
                channel = %foreign(&event.channel),
                traceback,
                "resolver failed: {}", foreign_error(&failure.message)
            );
        }
        Outcome::Failed(opaque(id))
    }

    /// Tells the author that a value does not fit the schema: the client learns it too, but cannot mend it.
    pub(super) fn misfit(&self, projected: &Projected, field: &Field) {
        let Projected { errors, first, malformed } = projected;
        if *errors > 0 && self.misfits.may_write() {
            tracing::warn!(
                field = %field.name,
                resolver = %foreign(&field.source),
                errors,
                malformed = malformed.as_deref(),
                "the resolver's value does not fit the schema: {}",
                foreign_error(first.as_deref().unwrap_or("it is not JSON"))
            );
        }
    }
}

/// Failure for members whose answer was lost in a bug of ours. The log has the bug with its own line; this one names the field
/// and the id that the client reads.
pub(super) fn internal(field: &Field) -> Failure {
    let id = ErrorId::random();
    tracing::error!(error = %id, field = %field.name, "an answer was lost by a bug of Subcast; its subscribers get an error");
    opaque(id)
}

fn opaque(id: ErrorId) -> Failure {
    let mut extensions = Map::new();
    extensions.insert("code".to_owned(), Value::from("INTERNAL_SERVER_ERROR"));
    extensions.insert("id".to_owned(), Value::from(id.to_string()));
    Failure {
        message: OPAQUE.to_owned(),
        code: None,
        extensions: Some(Value::Object(extensions).to_string()),
        expose: true,
        traceback: None,
    }
}

/// The GraphQL error of a failure that the client may read.
pub(super) fn to_graphql(failure: &Failure) -> GraphqlError {
    let mut extensions = match failure.extensions.as_deref().map(serde_json::from_str) {
        Some(Ok(Value::Object(extensions))) => extensions,
        _ => Map::new(),
    };
    if let Some(code) = &failure.code {
        extensions.insert("code".to_owned(), Value::from(code.as_str()));
    }
    GraphqlError { message: failure.message.clone(), locations: Vec::new(), path: Vec::new(), extensions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exposed_failure_keeps_message_code_and_extensions() {
        let failure = Failure {
            message: "no such user".to_owned(),
            code: Some("NOT_FOUND".to_owned()),
            extensions: Some(r#"{"user":7}"#.to_owned()),
            expose: true,
            traceback: None,
        };
        let error = to_graphql(&failure);
        assert_eq!(error.message, "no such user");
        assert_eq!(Value::Object(error.extensions), serde_json::json!({"code": "NOT_FOUND", "user": 7}));
    }

    #[test]
    fn extensions_that_are_no_object_are_left_out() {
        let failure = Failure { extensions: Some("[1".to_owned()), expose: true, ..Failure::default() };
        assert!(to_graphql(&failure).extensions.is_empty());
    }
}
