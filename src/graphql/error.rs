//! Errors as the GraphQL specification shapes them (§7.1.2), and the way there from `apollo-compiler`'s.

use std::fmt;

use apollo_compiler::parser::{LineColumn, SourceMap};
use apollo_compiler::request::RequestError;
use apollo_compiler::validation::DiagnosticList;
use serde::Serialize;
use serde_json::{Map, Value};

/// Bytes of a message.
const MAX_MESSAGE: usize = 1024;

/// An error as clients see it. Empty members are left out of its JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GraphqlError {
    /// What is wrong, for the developer of the client.
    pub message: String,
    /// Where in the document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    /// Which field of the response; only errors of execution have one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<PathSegment>,
    /// Anything more, by convention a `code` among it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

/// A place in a document; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// A step from a response into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PathSegment {
    /// A response key.
    Key(String),
    /// An index of a list.
    Index(usize),
}

impl GraphqlError {
    /// An error that has a message only. Messages quote documents: beyond 1 KiB they are cut.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            message.shrink_to_fit();
            message.push('…');
        }
        Self { message, ..Self::default() }
    }

    pub(super) fn at(mut self, location: Option<LineColumn>) -> Self {
        self.locations.extend(location.map(Location::from));
        self
    }

    pub(super) fn from_request(error: &RequestError, sources: &SourceMap) -> Self {
        Self::new(error.message().to_string()).at(error.location().and_then(|span| span.line_column(sources)))
    }
}

impl fmt::Display for GraphqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.locations.first() {
            Some(at) => write!(f, " (line {}, column {})", at.line, at.column),
            None => Ok(()),
        }
    }
}

impl std::error::Error for GraphqlError {}

impl From<LineColumn> for Location {
    fn from(at: LineColumn) -> Self {
        Self { line: at.line, column: at.column }
    }
}

/// The first `limit` of them, and one that says how many there are beyond.
pub(super) fn from_diagnostics(list: &DiagnosticList, limit: usize) -> Vec<GraphqlError> {
    let mut errors: Vec<GraphqlError> = list
        .iter()
        .take(limit)
        .map(|diagnostic| {
            let at = diagnostic.line_column_range().map(|range| range.start);
            GraphqlError::new(diagnostic.error.to_string()).at(at)
        })
        .collect();
    if list.len() > limit {
        errors.push(left_out(list.len() - limit));
    }
    errors
}

/// The beginning of a name that a client has sent, enough to recognize it by.
pub(super) fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(64)]
}

pub(super) fn left_out(count: usize) -> GraphqlError {
    GraphqlError::new(format!("{count} more errors were left out"))
}
