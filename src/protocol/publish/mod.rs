//! Bodies of `POST /events`, read into events. Pure: ids and times for events without them come from the caller.
//!
//! | `Content-Type` | body |
//! |---|---|
//! | `application/json` | one event, or an array of events |
//! | `application/x-ndjson` | one event per line; blank lines are skipped |
//! | `application/cloudevents+json` | one structured `CloudEvent` |
//! | `application/cloudevents-batch+json` | an array of them |
//! | `application/json` or another JSON type, with `ce-*` headers | the data of a binary `CloudEvent` |
//!
//! An event is `{"channel", "type", "data", "id"?, "time"?, "source"?}`. **All or nothing**: one bad event refuses the whole
//! body, and the error says which (line from 1, array element from 0), what is wrong with it and what to do.
//!
//! Choices:
//! - `data` is any JSON value, `null` included, and is kept as the text that came. Inside it a repeated key counts as its
//!   last, as for every reader that follows; in the envelope a repeated member is refused, since readers disagree.
//! - An optional member that is `null` counts as absent (so do `CloudEvents`). Unknown members of a plain event are
//!   refused, naming the nearest known one: a misspelt `tiem` would otherwise be lost without a word.
//! - In a `CloudEvent` the channel is the extension attribute `channel` (`ce-channel`). `subject` is *not* a fallback: it
//!   names what an event is about, and routing by it would publish to channels that nobody chose. Other attributes and
//!   extensions are allowed and ignored.
//! - `data_base64` is refused: it carries bytes, and resolvers read JSON. So is a `datacontenttype` that is not JSON.

mod cloud_event;
mod draft;
mod error;
mod media_type;
mod members;
mod plain;
mod rfc3339;

use serde_json::value::RawValue;

pub use error::{Kind, Place, Problem, PublishError};

use crate::event::Event;
use media_type::Form;

/// An event as its publisher gave it.
#[derive(Clone, PartialEq, Debug)]
pub struct Published {
    /// The event, complete.
    pub event: Event,
    /// Whether the publisher gave the id: only then can a repetition be told from a second event.
    pub identified: bool,
}

/// What an event gets that comes without an id or a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Unique.
    pub id: String,
    /// Now, RFC 3339 with zone.
    pub time: String,
}

/// Bounds on one request. The size of its body is bounded where it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Events in one request. Default 10,000.
    pub events: usize,
    /// Bytes of one event's JSON, envelope included. Default 1 MiB.
    pub event_bytes: usize,
    /// Arrays and objects within each other in `data`. Default 64, at most 120.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 10_000, event_bytes: 1 << 20, depth: 64 }
    }
}

/// Reads the body of one request. `headers` looks a header up by its lower-case name; `stamp` is called once for each
/// event that lacks an id or a time.
pub fn parse(
    content_type: &str,
    headers: &dyn Fn(&str) -> Option<String>,
    body: &[u8],
    stamp: &mut dyn FnMut() -> Stamp,
    limits: &Limits,
) -> Result<Vec<Published>, PublishError> {
    let form = Form::of(content_type, headers).map_err(PublishError::in_body)?;
    let mut reader = Reader { stamp, limits, published: Vec::new() };
    match form {
        Form::Lines => reader.read_lines(body)?,
        Form::Plain => reader.read_one_or_many(text(body)?, plain::draft)?,
        Form::CloudEvents => reader.read_many(text(body)?, cloud_event::structured)?,
        Form::CloudEvent => reader.read(text(body)?, Place::Body, cloud_event::structured)?,
        Form::BinaryCloudEvent => {
            let attributes = cloud_event::Attributes::from_headers(headers).map_err(PublishError::in_body)?;
            reader.read(text(body)?, Place::Body, |data| cloud_event::binary(&attributes, data))?;
        }
    }
    Ok(reader.published)
}

/// One event, from its parts. `data` is JSON text.
pub fn event(
    channel: &str,
    kind: &str,
    data: &str,
    stamp: &mut dyn FnMut() -> Stamp,
    limits: &Limits,
) -> Result<Published, PublishError> {
    if data.len() > limits.event_bytes {
        return Err(PublishError::in_body(Problem::EventTooLarge { limit: limits.event_bytes }));
    }
    let draft = draft::Draft {
        channel: Some(channel.into()),
        kind: Some(kind.into()),
        data: Some(data),
        id: None,
        time: None,
        source: None,
    };
    draft.finish(stamp, limits.depth).map_err(PublishError::in_body)
}

/// Collects the events of one request.
struct Reader<'s> {
    stamp: &'s mut dyn FnMut() -> Stamp,
    limits: &'s Limits,
    published: Vec<Published>,
}

impl Reader<'_> {
    fn read_lines(&mut self, body: &[u8]) -> Result<(), PublishError> {
        for (line, number) in body.split(|&byte| byte == b'\n').zip(1..) {
            let place = Place::Line(number);
            let line = str::from_utf8(line).map_err(|_| Problem::NotUtf8.at(place))?;
            if !line.trim_ascii().is_empty() {
                self.read(line, place, plain::draft)?;
            }
        }
        Ok(())
    }

    fn read_one_or_many(&mut self, text: &str, draft: ReadDraft) -> Result<(), PublishError> {
        if text.trim_ascii_start().starts_with('[') {
            self.read_many(text, draft)
        } else {
            self.read(text, Place::Body, draft)
        }
    }

    fn read_many(&mut self, text: &str, draft: ReadDraft) -> Result<(), PublishError> {
        // Sixteen bytes for each element: no more than a small multiple of the body, which is bounded.
        let elements: Vec<&RawValue> = members::parse(text).map_err(PublishError::in_body)?;
        for (index, element) in elements.into_iter().enumerate() {
            self.read(element.get(), Place::Element(index), draft)?;
        }
        Ok(())
    }

    fn read<'a>(
        &mut self,
        text: &'a str,
        place: Place,
        draft: impl FnOnce(&'a str) -> Result<draft::Draft<'a>, Problem>,
    ) -> Result<(), PublishError> {
        if self.published.len() >= self.limits.events {
            return Err(Problem::TooManyEvents { limit: self.limits.events }.at(Place::Body));
        }
        if text.len() > self.limits.event_bytes {
            return Err(Problem::EventTooLarge { limit: self.limits.event_bytes }.at(place));
        }
        let published = draft(text).and_then(|draft| draft.finish(self.stamp, self.limits.depth));
        self.published.push(published.map_err(|problem| problem.at(place))?);
        Ok(())
    }
}

/// Reads one event's envelope.
type ReadDraft = for<'a> fn(&'a str) -> Result<draft::Draft<'a>, Problem>;

fn text(body: &[u8]) -> Result<&str, PublishError> {
    str::from_utf8(body).map_err(|_| PublishError::in_body(Problem::NotUtf8))
}

#[cfg(test)]
mod tests;
