//! What an index hashes.

use crate::number::{Decimal, Exact};

/// A value, normalised: values that a predicate may call equal have equal keys. The reverse need not hold.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key(Normal);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Normal {
    Null,
    Boolean(bool),
    Int(i64),
    Unsigned(u64),
    /// The bits.
    Double(u64),
    Digits(Decimal),
    Text(Box<str>),
}

/// What an event must have to match a subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Keys {
    /// No event can match, ever.
    Never,
    /// Per term of the filter the key that [`Filter::event_key`](super::Filter::event_key) must give for an event;
    /// `None` if the subscription does not restrict the term.
    Terms(Vec<Option<Key>>),
}

impl Key {
    pub(super) fn null() -> Self {
        Self(Normal::Null)
    }

    pub(super) fn boolean(value: bool) -> Self {
        Self(Normal::Boolean(value))
    }

    pub(super) fn number(value: Exact) -> Self {
        Self(match value {
            Exact::Int(value) => Normal::Int(value),
            Exact::Unsigned(value) => Normal::Unsigned(value),
            Exact::Double(value) => Normal::Double(value.to_bits()),
            Exact::Digits(decimal) => Normal::Digits(decimal),
        })
    }

    pub(super) fn text(text: &str) -> Self {
        Self(Normal::Text(text.into()))
    }
}
