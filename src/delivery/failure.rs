//! What the client and the log learn of a failed invocation: the client an opaque error with an id, unless the resolver
//! raised a `GraphQLError`; the log everything, with the same id.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::event::Event;
use crate::graphql::GraphqlError;
use crate::ids::ErrorId;
use crate::modules::Field;
use crate::outcome::{Failure, Outcome};
use crate::sandbox::Module;

/// Detailed lines per second, over all fields: a resolver that fails on every event must not drown the log.
const LINES_PER_SECOND: u32 = 50;

/// What clients see of an error that is not meant for them.
const OPAQUE: &str = "Internal server error";

/// Writes failures to the log, within bounds.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    second: Mutex<Option<Second>>,
}

#[derive(Debug)]
struct Second {
    began: Instant,
    written: u32,
    suppressed: u64,
}

impl FailureLog {
    /// Logs the failure, and turns it into what the client may see. The error's id is drawn here, once for all plans of
    /// the cohort.
    pub(super) fn settle(&self, failure: Failure, field: &Field, module: &Module, event: &Event) -> Outcome {
        if failure.expose {
            tracing::debug!(module = module.name(), field = %field.name, message = %failure.message, "resolver raised a GraphQLError");
            return Outcome::Failed(failure);
        }
        let id = ErrorId::random();
        if self.may_write() {
            tracing::error!(
                error = %id,
                module = module.name(),
                field = %field.name,
                resolver = %field.source,
                event = %event.id,
                channel = %event.channel,
                traceback = failure.traceback.as_deref().unwrap_or_default(),
                "resolver failed: {}", failure.message
            );
        }
        let mut extensions = Map::new();
        extensions.insert("code".to_owned(), Value::from("INTERNAL_SERVER_ERROR"));
        extensions.insert("id".to_owned(), Value::from(id.to_string()));
        Outcome::Failed(Failure {
            message: OPAQUE.to_owned(),
            code: None,
            extensions: Some(Value::Object(extensions).to_string()),
            expose: true,
            traceback: None,
        })
    }

    fn may_write(&self) -> bool {
        let now = Instant::now();
        let mut guard = self.second.lock();
        let second = guard.get_or_insert(Second { began: now, written: 0, suppressed: 0 });
        if now.duration_since(second.began) >= Duration::from_secs(1) {
            if second.suppressed > 0 {
                tracing::error!(suppressed = second.suppressed, "more resolver failures, not written in detail");
            }
            *second = Second { began: now, written: 0, suppressed: 0 };
        }
        if second.written >= LINES_PER_SECOND {
            second.suppressed += 1;
            return false;
        }
        second.written += 1;
        true
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

    #[test]
    fn detailed_lines_are_bounded_per_second() {
        let log = FailureLog::default();
        let written = (0..1000).filter(|_| log.may_write()).count();
        assert!((50..=100).contains(&written), "{written}");
    }
}
