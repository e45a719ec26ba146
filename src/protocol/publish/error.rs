//! Why a request to publish was refused: told to the publisher, so every text is about what they sent.

use std::fmt;

/// One bad event, or a bad request. Nothing of the request was published.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("{place}{problem}")]
pub struct PublishError {
    /// Where in the body.
    pub place: Place,
    /// What is wrong there.
    pub problem: Problem,
}

/// Which event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The only one, or the body as a whole.
    Body,
    /// The one on this line, counted from 1, blank lines included.
    Line(usize),
    /// The one at this index of the array, counted from 0.
    Element(usize),
}

/// The three ways to be refused, each an HTTP status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// 400
    BadRequest,
    /// 413
    TooLarge,
    /// 415
    UnsupportedMediaType,
}

/// What is wrong. Names of members are those of the form in which the event came.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The request's content type.
    #[error(
        "content type {given:?} is not supported: send application/json, application/x-ndjson, \
         application/cloudevents+json or application/cloudevents-batch+json"
    )]
    ContentType {
        /// What the request said, shortened.
        given: String,
    },
    /// A `charset` other than UTF-8.
    #[error("charset {given:?} is not supported: send UTF-8")]
    Charset {
        /// What the request said, shortened.
        given: String,
    },
    /// The `datacontenttype` of a `CloudEvent`.
    #[error("datacontenttype {given:?} is not supported: data must be JSON, for example application/json")]
    DataContentType {
        /// What the event said, shortened.
        given: String,
    },
    /// More events than one request may bring.
    #[error("more than {limit} events in one request: send several requests")]
    TooManyEvents {
        /// [`super::Limits::events`]
        limit: usize,
    },
    /// More bytes than one event may have.
    #[error("the event is larger than {limit} bytes: publish a reference to large content instead")]
    EventTooLarge {
        /// [`super::Limits::event_bytes`]
        limit: usize,
    },
    /// The bytes are not text.
    #[error("not valid UTF-8")]
    NotUtf8,
    /// The text is not JSON.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// JSON, but not an event.
    #[error("an event must be a JSON object")]
    NotAnObject,
    /// JSON, but not a batch.
    #[error("a batch must be a JSON array of events")]
    NotAnArray,
    /// A member that a plain event does not have.
    #[error("unknown member {name:?}{}", suggestion(*nearest))]
    UnknownMember {
        /// As it came, shortened.
        name: String,
        /// The known one that is spelt most alike.
        nearest: Option<&'static str>,
    },
    /// Two readers could see two different events.
    #[error("{0} occurs more than once")]
    Repeated(&'static str),
    /// Absent, or `null` where a value is needed.
    #[error("{0} is missing: {hint}", hint = hint(.0))]
    Missing(&'static str),
    /// Some other JSON type.
    #[error("{0} must be a string")]
    NotAString(&'static str),
    /// `""`
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// Beyond the bound for this member.
    #[error("{member} is longer than {limit} bytes")]
    TooLong {
        /// Which member.
        member: &'static str,
        /// Bytes it may have.
        limit: usize,
    },
    /// A tab, a line feed or the like.
    #[error("{0} must not contain control characters")]
    ControlCharacter(&'static str),
    /// Not a point in time.
    #[error("time must be RFC 3339 with a zone, for example 2026-01-31T12:00:00Z")]
    Time,
    /// Nested beyond [`super::Limits::depth`].
    #[error("data is nested more than {limit} levels deep")]
    TooDeep {
        /// [`super::Limits::depth`]
        limit: usize,
    },
    /// JSON by its grammar, but no value can hold it: a number like `1e999`, half a surrogate pair.
    #[error("data cannot be read: {0}")]
    Data(String),
    /// Another version of `CloudEvents`, or a header that forgot it.
    #[error("specversion must be \"1.0\"")]
    SpecVersion,
    /// Binary data in a `CloudEvent`.
    #[error("data_base64 is not supported: send JSON in data")]
    Base64,
    /// A `ce-*` header whose percent-encoding is broken.
    #[error("the header ce-{0} is not valid percent-encoded UTF-8")]
    Header(&'static str),
}

impl PublishError {
    /// Which status answers the request.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.problem {
            Problem::ContentType { .. } | Problem::Charset { .. } => Kind::UnsupportedMediaType,
            Problem::TooManyEvents { .. } | Problem::EventTooLarge { .. } => Kind::TooLarge,
            _ => Kind::BadRequest,
        }
    }

    pub(super) fn in_body(problem: Problem) -> Self {
        problem.at(Place::Body)
    }
}

impl Problem {
    pub(super) fn at(self, place: Place) -> PublishError {
        PublishError { place, problem: self }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => Ok(()),
            Self::Line(number) => write!(f, "line {number}: "),
            Self::Element(index) => write!(f, "event [{index}]: "),
        }
    }
}

/// The beginning of what a publisher sent, enough to recognize it by.
pub(super) fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(64)].to_owned()
}

fn suggestion(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(
        || ": an event has channel, type, data, id, time and source".to_owned(),
        |name| format!(": did you mean {name:?}?"),
    )
}

fn hint(member: &str) -> &'static str {
    match member {
        "channel" => {
            "name the channel to publish to, for example \"users\" (in a CloudEvent: the extension attribute `channel`)"
        }
        "type" => "say what happened, for example \"userUpdated\"",
        "data" => "send the event's payload as JSON",
        "specversion" => "a CloudEvent has specversion \"1.0\"",
        _ => "every CloudEvent has one",
    }
}
