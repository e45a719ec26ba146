//! Which claims a filter reads, and their values as text.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::path::Path;

/// What a filter can learn about a principal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ClaimsRead {
    /// What lies at these paths, and nothing else.
    Paths(BTreeSet<Path>),
    /// Anything.
    All,
}

impl ClaimsRead {
    /// Nothing yet.
    pub(super) fn none() -> Self {
        Self::Paths(BTreeSet::new())
    }

    /// Adds a path. The empty one stands for all claims.
    pub(super) fn add(&mut self, path: &Path) {
        match self {
            Self::Paths(_) if path.is_empty() => *self = Self::All,
            Self::Paths(paths) => drop(paths.insert(path.clone())),
            Self::All => {}
        }
    }

    /// Equal only for claims that no evaluation can tell apart: values as JSON, separated by commas. For a missing one
    /// stands how far the path leads, and whether an object (`!`) or something else (`?`) is there: `has(…)` is false
    /// in the first case and an error in the second.
    pub(super) fn text(&self, claims: &Map<String, Value>) -> String {
        let paths = match self {
            Self::Paths(paths) => paths,
            Self::All => return serde_json::to_string(claims).unwrap_or_default(),
        };
        let mut text = String::new();
        for (index, path) in paths.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            // Writing to a string does not fail.
            let _ = match path.walk(claims) {
                (depth, Some(value)) if depth == path.len() => write!(text, "{value}"),
                (depth, None | Some(Value::Object(_))) => write!(text, "!{depth}"),
                (depth, Some(_)) => write!(text, "?{depth}"),
            };
        }
        text
    }
}
