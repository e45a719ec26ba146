//! What an equality or a predicate can read: a value of the event, of the arguments, of the claims, or a literal.

use std::fmt;

use serde_json::{Map, Value};

use super::argument::ArgumentKind;
use super::datum::Datum;
use super::path::Path;
use crate::event::Event;

/// Everything that a filter is evaluated over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// `None` while somebody subscribes: then only what does not depend on events is evaluated.
    pub(super) event: Option<&'a Event>,
    pub(super) arguments: &'a Map<String, Value>,
    pub(super) claims: &'a Map<String, Value>,
}

/// A member of `event` beside `data`. All are text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Envelope {
    Id,
    Channel,
    Type,
    Time,
    Source,
}

/// Where to read a value.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Operand {
    Envelope(Envelope),
    Data(Path),
    Argument { name: Box<str>, kind: ArgumentKind, path: Path },
    Claim(Path),
    Literal(Value),
}

impl Operand {
    pub(super) fn reads_event(&self) -> bool {
        matches!(self, Self::Envelope(_) | Self::Data(_))
    }

    pub(super) fn reads_claims(&self) -> bool {
        matches!(self, Self::Claim(_))
    }

    /// Whether it is an argument of type `ID`, which compares by text.
    pub(super) fn is_id(&self) -> bool {
        matches!(self, Self::Argument { kind: ArgumentKind::Id, path, .. } if path.is_empty())
    }

    /// The value; `None` if it is missing. Arguments are never missing: not to be given is to be null.
    pub(super) fn read<'a>(&'a self, scope: &Scope<'a>) -> Option<Datum<'a>> {
        match self {
            Self::Envelope(member) => scope.event.map(|event| Datum::Text(member.read(event))),
            Self::Data(path) => path.find(&scope.event?.value),
            Self::Argument { name, path, .. } => path.find(scope.arguments.get(&**name).unwrap_or(&Value::Null)),
            Self::Claim(path) => path.find_in(scope.claims),
            Self::Literal(value) => Some(value.into()),
        }
    }

    /// The value of something that an event has.
    pub(super) fn read_event<'a>(&self, event: &'a Event) -> Option<Datum<'a>> {
        match self {
            Self::Envelope(member) => Some(Datum::Text(member.read(event))),
            Self::Data(path) => path.find(&event.value),
            Self::Argument { .. } | Self::Claim(_) | Self::Literal(_) => None,
        }
    }
}

impl Envelope {
    pub(super) const ALL: [Self; 5] = [Self::Id, Self::Channel, Self::Type, Self::Time, Self::Source];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Channel => "channel",
            Self::Type => "type",
            Self::Time => "time",
            Self::Source => "source",
        }
    }

    fn read(self, event: &Event) -> &str {
        match self {
            Self::Id => &event.id,
            Self::Channel => event.channel.as_str(),
            Self::Type => &event.kind,
            Self::Time => &event.time,
            Self::Source => &event.source,
        }
    }
}

/// As it is written in a predicate.
impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(member) => write!(f, "event.{}", member.name()),
            Self::Data(path) => write!(f, "event.data{path}"),
            Self::Argument { name, path, .. } => write!(f, "args.{name}{path}"),
            Self::Claim(path) => write!(f, "claims{path}"),
            Self::Literal(value) => write!(f, "{value}"),
        }
    }
}
