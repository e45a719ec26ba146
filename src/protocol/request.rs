//! The GraphQL request in a client's message.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::nesting::{DEEPEST, deeper_than};
use crate::footprint;
use crate::number;

/// `{query, operationName?, variables?, extensions?}` as GraphQL over HTTP, WebSocket and SSE all know it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Request {
    /// The document's text.
    pub query: String,
    /// Which operation of the document.
    pub operation_name: Option<String>,
    /// Empty when absent or `null`.
    pub variables: Map<String, Value>,
    /// Empty when absent or `null`.
    pub extensions: Map<String, Value>,
}

/// Why a text is not a request, or not one that is executed.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// Not JSON, not an object, or with members of the wrong type.
    #[error(
        "the body is not a GraphQL request: send {{\"query\": \"…\", \"operationName\"?: \"…\", \"variables\"?: {{…}}}}"
    )]
    Malformed,
    /// Variables and extensions would take more memory than they may.
    #[error("variables and extensions would take more than {most} bytes of memory, the limit of [limits] arguments")]
    TooLarge {
        /// The bound, in bytes.
        most: usize,
    },
}

impl Request {
    /// Reads a request whose variables and extensions take at most so many bytes of memory.
    pub fn parse(json: &str, most: usize) -> Result<Self, Unreadable> {
        if deeper_than(json, DEEPEST) {
            return Err(Unreadable::Malformed);
        }
        let json: &RawValue = serde_json::from_str(json).map_err(|_| Unreadable::Malformed)?;
        let raw = RawRequest::parse(json).ok_or(Unreadable::Malformed)?;
        if raw.footprint() > most {
            return Err(Unreadable::TooLarge { most });
        }
        raw.build().ok_or(Unreadable::Malformed)
    }
}

/// A request whose members have the right types, but whose variables are not built yet. Checking costs no memory beyond
/// the text, so it can be done before anyone has said who asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawRequest<'a> {
    #[serde(borrow)]
    query: Cow<'a, str>,
    #[serde(borrow, default)]
    operation_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    variables: Option<&'a RawValue>,
    #[serde(borrow, default)]
    extensions: Option<&'a RawValue>,
}

impl<'a> RawRequest<'a> {
    /// The request in this JSON; `None` if a member is missing, repeated or of the wrong type.
    pub(super) fn parse(json: &'a RawValue) -> Option<Self> {
        // `serde` would also take an array for a struct.
        if !is_object(json) {
            return None;
        }
        let request: Self = serde_json::from_str(json.get()).ok()?;
        let members = [request.variables, request.extensions];
        members.into_iter().flatten().all(is_object).then_some(request)
    }

    /// Bytes of memory that variables and extensions would take, at most.
    pub(super) fn footprint(&self) -> usize {
        let members = [self.variables, self.extensions];
        members.into_iter().flatten().map(|json| footprint::of_text(json.get())).sum()
    }

    /// Builds variables and extensions. `None` if JSON's grammar allows them but no value can hold them: `1e999`, half a
    /// surrogate pair, or nesting beyond the parser's own bound. A member that occurs twice counts as its last.
    pub(super) fn build(self) -> Option<Request> {
        Some(Request {
            query: self.query.into_owned(),
            operation_name: self.operation_name.map(Cow::into_owned),
            variables: object(self.variables)?,
            extensions: object(self.extensions)?,
        })
    }
}

/// Whether this is a JSON object. Raw values start with their first token.
pub(super) fn is_object(json: &RawValue) -> bool {
    json.get().starts_with('{')
}

fn object(json: Option<&RawValue>) -> Option<Map<String, Value>> {
    let Some(json) = json else { return Some(Map::new()) };
    let members: Map<String, Value> = serde_json::from_str(json.get()).ok()?;
    members.values().all(number::all_readable).then_some(members)
}
