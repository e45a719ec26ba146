//! The texts that leave on a GraphQL WebSocket.
//!
//! Payloads arrive here as finished JSON and are spliced, never parsed or copied twice: for one event, the same payload
//! goes to many operations, and only the few bytes around it differ.

use crate::ids::OperationId;

/// `{"id":"…","type":"next","payload":` of one operation. The id is escaped once, when the operation starts, and not
/// again for each of its events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FramePrefix(Box<str>);

impl FramePrefix {
    /// The prefix for this operation.
    #[must_use]
    pub fn new(id: &OperationId) -> Self {
        Self(format!(r#"{{"id":{},"type":"next","payload":"#, quoted(id.as_str())).into())
    }

    /// A whole `next` message around this `ExecutionResult`.
    #[must_use]
    pub fn frame(&self, payload: &str) -> String {
        let mut text = String::with_capacity(self.0.len() + payload.len() + 1);
        text.push_str(&self.0);
        text.push_str(payload);
        text.push('}');
        text
    }
}

/// A `next` message, for those who send only one. Otherwise keep a [`FramePrefix`].
#[must_use]
pub fn next_frame(id: &OperationId, payload: &str) -> String {
    FramePrefix::new(id).frame(payload)
}

/// Errors that end an operation; `errors` is a JSON array with at least one GraphQL error.
pub(super) fn error_frame(id: &OperationId, errors: &str) -> String {
    format!(r#"{{"id":{},"type":"error","payload":{errors}}}"#, quoted(id.as_str()))
}

/// The end of an operation.
pub(super) fn complete_frame(id: &OperationId) -> String {
    format!(r#"{{"id":{},"type":"complete"}}"#, quoted(id.as_str()))
}

/// A message without an id: `connection_ack`, `ping`, `pong`.
pub(super) fn bare_frame(kind: &str, payload: Option<&str>) -> String {
    match payload {
        None => format!(r#"{{"type":"{kind}"}}"#),
        Some(payload) => format!(r#"{{"type":"{kind}","payload":{payload}}}"#),
    }
}

/// One GraphQL error with a code, as the array that [`error_frame`] takes.
pub(super) fn refusal(message: &str, code: &str) -> String {
    serde_json::json!([{ "message": message, "extensions": { "code": code } }]).to_string()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
