//! A JSON value seen without being converted, and what it means for two of them to be equal.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::key::Key;
use crate::number::{self, Exact};

/// A borrowed JSON value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Datum<'a> {
    Null,
    Boolean(bool),
    Number(Numeric<'a>),
    Text(&'a str),
    List(&'a [Value]),
    Object(&'a Map<String, Value>),
}

/// A number, by the type that CEL has for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numeric<'a> {
    Int(i64),
    /// Beyond the range of `Int`.
    Unsigned(u64),
    Float(f64),
    /// Held by none of the above: the text of the number.
    Digits(&'a str),
}

impl<'a> From<&'a Value> for Datum<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Boolean(*value),
            Value::Number(number) => Self::Number(number.into()),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items),
            Value::Object(members) => Self::Object(members),
        }
    }
}

impl<'a> From<&'a Number> for Numeric<'a> {
    fn from(number: &'a Number) -> Self {
        match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Self::Int(value),
            (None, Some(value)) => Self::Unsigned(value),
            (None, None) => {
                let text = number.as_str();
                number::double(text).map_or(Self::Digits(text), Self::Float)
            }
        }
    }
}

impl<'a> Datum<'a> {
    pub(super) fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// Equality as CEL has it: by value, numbers across types, lists and objects by their content.
    pub(super) fn equals(self, other: Datum<'_>) -> bool {
        match (self, other) {
            (Self::Null, Datum::Null) => true,
            (Self::Boolean(a), Datum::Boolean(b)) => a == b,
            (Self::Number(a), Datum::Number(b)) => a.equals(b),
            (Self::Text(a), Datum::Text(b)) => a == b,
            (Self::List(a), Datum::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Datum::from(a).equals(b.into()))
            }
            (Self::Object(a), Datum::Object(b)) => {
                let has = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| Datum::from(a).equals(b.into()));
                a.len() == b.len() && a.iter().all(has)
            }
            _ => false,
        }
    }

    /// Equality of IDs: by text, whole numbers by their digits. Null equals null.
    pub(super) fn equals_as_id(self, other: Datum<'_>) -> bool {
        match (self, other) {
            (Self::Null, Datum::Null) => true,
            (Self::Text(a), Datum::Text(b)) => a == b,
            _ => self.id().is_some_and(|a| other.id().is_some_and(|b| a == b)),
        }
    }

    /// The value as an ID, by the rule that projection has for results: whole numbers by their digits. `None` for what
    /// is no ID.
    fn id(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(number) => number.exact()?.id().map(Cow::Owned),
            _ => None,
        }
    }

    /// Equal values have equal keys; `None` for lists, objects, and numbers that cannot be read.
    pub(super) fn key(self) -> Option<Key> {
        match self {
            Self::Null => Some(Key::null()),
            Self::Boolean(value) => Some(Key::boolean(value)),
            Self::Number(number) => number.exact().map(Key::number),
            Self::Text(text) => Some(Key::text(text)),
            Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Equal IDs have equal keys; `None` for what is no ID.
    pub(super) fn id_key(self) -> Option<Key> {
        self.id().map(|id| Key::text(&id))
    }
}

impl Numeric<'_> {
    /// The value; `None` for an exponent beyond all bounds, which equals nothing.
    pub(super) fn exact(self) -> Option<Exact> {
        match self {
            Self::Int(value) => Some(Exact::Int(value)),
            Self::Unsigned(value) => Some(Exact::Unsigned(value)),
            Self::Float(value) => Some(value.into()),
            Self::Digits(text) => Exact::read(text),
        }
    }

    /// By value, whatever the types: stricter than CEL, whose integers become doubles beside a double.
    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (a, b) => a.exact().is_some_and(|a| b.exact().is_some_and(|b| a == b)),
        }
    }

    /// The order by value; `None` if one of them has no place in it.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        self.exact()?.compare(&other.exact()?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_equal_across_types_and_never_equal_text() {
        let equal = |a: Value, b: Value| Datum::from(&a).equals(Datum::from(&b));
        assert!(equal(json!(1), json!(1.0)) && equal(json!(-0.0), json!(0)));
        assert!(equal(json!([1, {"a": 2.0}]), json!([1.0, {"a": 2}])));
        assert!(!equal(json!(1), json!("1")) && !equal(json!(true), json!(1)) && !equal(json!(u64::MAX), json!(-1)));
        assert!(!equal(json!(9_007_199_254_740_992_i64), json!(9_007_199_254_740_993_i64)));
        assert!(!equal(json!({"a": 1}), json!({"b": 1})) && !equal(json!([1]), json!([1, 2])));
    }

    #[test]
    fn whole_numbers_are_ids_and_other_values_are_not() {
        let id = |value: Value| Datum::from(&value).id().map(Cow::into_owned);
        assert_eq!(id(json!(123)).as_deref(), Some("123"));
        assert_eq!(id(json!(-7)).as_deref(), Some("-7"));
        assert_eq!(id(json!(u64::MAX)).as_deref(), Some("18446744073709551615"));
        assert_eq!(id(json!(123.0)).as_deref(), Some("123"));
        assert_eq!(id(json!(-0.0)).as_deref(), Some("0"));
        assert_eq!(id(json!("x")).as_deref(), Some("x"));
        for none in [json!(1.5), json!(true), json!(null), json!([1]), json!({})] {
            assert_eq!(id(none.clone()), None, "{none}");
        }
    }
}
