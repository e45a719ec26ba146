//! The event: something that happened, published to a channel.
//!
//! Parsed once when it enters, then shared as `Arc<Event>`: nothing on the way to the socket copies it.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::budget::Charge;

/// Where events are published and listened to, for example `users` or `orders:42`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Channel(Arc<str>);

impl Channel {
    /// Longest name, bytes: names become keys of indexes and labels, and travel through brokers.
    pub const MAX_BYTES: usize = 255;

    /// A channel of this name. Any non-empty text of up to [`Self::MAX_BYTES`] is a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that happened. Maps one to one onto `CloudEvents` 1.0 (`channel` is an extension attribute there).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Unique per channel and source.
    pub id: Box<str>,
    /// Where it was published.
    pub channel: Channel,
    /// What happened, for example `userUpdated`; fields select by it.
    pub kind: Box<str>,
    /// When, RFC 3339 with zone.
    pub time: Box<str>,
    /// Who published it; `""` when unknown.
    pub source: Box<str>,
    /// The payload as JSON text, exactly as it came.
    pub data: Box<str>,
    /// The same payload, parsed: what filters and policies read.
    pub value: Value,
    /// For its memory, until nobody has the event any more.
    pub charge: EventCharge,
}

/// The charge for an event's memory, if there is one: all events of one request share a charge. No part of what happened, so
/// all are equal.
#[derive(Clone, Debug, Default)]
pub struct EventCharge {
    _charge: Option<Arc<Charge>>,
}

impl EventCharge {
    /// Shares this charge.
    #[must_use]
    pub fn new(charge: Arc<Charge>) -> Self {
        Self { _charge: Some(charge) }
    }
}

impl PartialEq for EventCharge {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
