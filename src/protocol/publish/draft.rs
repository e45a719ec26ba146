//! What all forms of an event have in common, borrowed from the request, and the checks that make an event of it.

use std::borrow::Cow;

use serde_json::Value;

use super::error::Problem;
use super::members::words;
use super::{Published, Stamp, rfc3339};
use crate::event::{Channel, Event, EventCharge};
use crate::number;
use crate::protocol::nesting::{self, deeper_than};

/// Bytes of an event's channel, type and id.
const MAX_NAME_BYTES: usize = Channel::MAX_BYTES;
/// Bytes of an event's source, which may be a URI.
const MAX_SOURCE_BYTES: usize = 1024;

/// An event as it stands in the request: nothing checked but the JSON types.
pub(super) struct Draft<'a> {
    pub(super) channel: Option<Cow<'a, str>>,
    pub(super) kind: Option<Cow<'a, str>>,
    /// JSON text.
    pub(super) data: Option<&'a str>,
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) time: Option<Cow<'a, str>>,
    pub(super) source: Option<Cow<'a, str>>,
}

impl Draft<'_> {
    /// Checks every member and stamps what is missing.
    pub(super) fn finish(self, stamp: &mut dyn FnMut() -> Stamp, max_depth: usize) -> Result<Published, Problem> {
        let channel = self.channel.ok_or(Problem::Missing("channel"))?;
        check_name("channel", &channel)?;
        let kind = self.kind.ok_or(Problem::Missing("type"))?;
        check_name("type", &kind)?;
        if let Some(id) = &self.id {
            check_name("id", id)?;
        }
        let source = self.source.unwrap_or_default();
        check_text("source", &source, MAX_SOURCE_BYTES)?;
        if self.time.as_deref().is_some_and(|time| !rfc3339::is_valid(time)) {
            return Err(Problem::Time);
        }
        let data = self.data.ok_or(Problem::Missing("data"))?;
        let value = parse_data(data, max_depth)?;

        let identified = self.id.is_some();
        let (id, time) = match (self.id, self.time) {
            (Some(id), Some(time)) => (boxed(id), boxed(time)),
            (id, time) => {
                let stamp = stamp();
                (id.map_or_else(|| stamp.id.into(), boxed), time.map_or_else(|| stamp.time.into(), boxed))
            }
        };
        let channel = Channel::new(&channel);
        let (kind, source, charge) = (boxed(kind), boxed(source), EventCharge::default());
        let event = Event { id, channel, kind, time, source, data: data.into(), value, charge };
        Ok(Published { event, identified })
    }
}

fn check_name(member: &'static str, text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(Problem::Empty(member));
    }
    check_text(member, text, MAX_NAME_BYTES)
}

fn check_text(member: &'static str, text: &str, limit: usize) -> Result<(), Problem> {
    if text.len() > limit {
        return Err(Problem::TooLong { member, limit });
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::ControlCharacter(member));
    }
    Ok(())
}

fn parse_data(data: &str, max_depth: usize) -> Result<Value, Problem> {
    let limit = max_depth.min(nesting::DEEPEST);
    if deeper_than(data, limit) {
        return Err(Problem::TooDeep { limit });
    }
    let value = serde_json::from_str(data).map_err(|error| Problem::Data(words(&error)))?;
    if number::all_readable(&value) { Ok(value) } else { Err(Problem::Data("number out of range".to_owned())) }
}

fn boxed(text: Cow<'_, str>) -> Box<str> {
    text.into_owned().into()
}
