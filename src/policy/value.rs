//! JSON as CEL sees it, without conversion: scalars become CEL's own, lists and objects are borrowed.
//!
//! Integers are CEL's `int`. (Converted through serde they would be `uint`, to which `+ 1` does not apply.) Lists can be
//! compared, indexed, counted and searched, but not added: the sum would be a copy.

use std::any::Any;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Sizer};
use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt, Kind, LIST_TYPE, MAP_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use serde_json::{Map, Value};

use super::datum::{Datum, Numeric};

static LIST: Type = LIST_TYPE;
static MAP: Type = MAP_TYPE;
static NUMBER: Type = Type::new_unspecified_type("number");

/// A number that none of CEL's types holds, as its text. It can be compared, and not be reckoned with.
#[derive(Clone, Debug)]
struct Digits(Box<str>);

impl Val for Digits {
    fn get_type(&self) -> &Type {
        &NUMBER
    }

    fn cel_type() -> &'static Type {
        &NUMBER
    }

    fn equals(&self, other: &dyn Val) -> bool {
        datum(other).is_some_and(|other| Datum::Number(Numeric::Digits(&self.0)).equals(other))
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Digits {}

/// A list or an object.
#[derive(Clone, Copy, Debug)]
enum Compound<'a> {
    List(&'a [Value]),
    Object(&'a Map<String, Value>),
}

/// The datum as CEL's value.
pub(super) fn val(datum: Datum<'_>) -> CowVal<'_, '_> {
    static NULL: CelNull = CelNull;
    match datum {
        Datum::Null => CowVal::Borrowed(&NULL),
        Datum::Boolean(value) => CowVal::owned(CelBool::from(value)),
        Datum::Number(Numeric::Int(value)) => CowVal::owned(CelInt::from(value)),
        Datum::Number(Numeric::Unsigned(value)) => CowVal::owned(CelUInt::from(value)),
        Datum::Number(Numeric::Float(value)) => CowVal::owned(CelDouble::from(value)),
        Datum::Number(Numeric::Digits(text)) => CowVal::owned(Digits(text.into())),
        Datum::Text(text) => CowVal::owned(CelString::from(text)),
        Datum::List(items) => CowVal::owned(Compound::List(items)),
        Datum::Object(members) => CowVal::owned(Compound::Object(members)),
    }
}

/// A scalar of CEL as a datum; `None` for what is compound or has no like in JSON.
pub(super) fn datum(val: &dyn Val) -> Option<Datum<'_>> {
    match val.get_type().kind() {
        Kind::NullType => Some(Datum::Null),
        Kind::Boolean => val.downcast_ref::<CelBool>().map(|value| Datum::Boolean(*value.inner())),
        Kind::Int => val.downcast_ref::<CelInt>().map(|value| Datum::Number(Numeric::Int(*value.inner()))),
        Kind::UInt => val.downcast_ref::<CelUInt>().map(|value| {
            let value = *value.inner();
            Datum::Number(i64::try_from(value).map_or(Numeric::Unsigned(value), Numeric::Int))
        }),
        Kind::Double => val.downcast_ref::<CelDouble>().map(|value| Datum::Number(Numeric::Float(*value.inner()))),
        Kind::String => val.downcast_ref::<CelString>().map(|text| Datum::Text(text.inner())),
        _ => val.downcast_ref::<Digits>().map(|Digits(text)| Datum::Number(Numeric::Digits(text))),
    }
}

/// Equality by the rules of [`Datum`], also between lists and objects of JSON and those that a predicate builds, on whichever side they are.
pub(super) fn equal(left: &dyn Val, right: &dyn Val) -> bool {
    if let (Some(left), Some(right)) = (datum(left), datum(right)) {
        return left.equals(right);
    }
    match (left.get_type().kind(), right.get_type().kind()) {
        (Kind::List, Kind::List) => equal_lists(left, right).unwrap_or(false),
        // Only CEL's own maps list their keys; two objects of JSON compare by themselves.
        (Kind::Map, Kind::Map) if left.as_iterable().is_some() => equal_maps(left, right).unwrap_or(false),
        (Kind::Map, Kind::Map) if right.as_iterable().is_some() => equal_maps(right, left).unwrap_or(false),
        _ => left.equals(right),
    }
}

fn equal_lists(left: &dyn Val, right: &dyn Val) -> Option<bool> {
    let size = *left.as_sizer()?.size().inner();
    if size != *right.as_sizer()?.size().inner() {
        return Some(false);
    }
    let (left, right) = (left.as_indexer()?, right.as_indexer()?);
    let same = |index: CelInt| Some(equal(left.get(&index).ok()?.as_ref(), right.get(&index).ok()?.as_ref()));
    Some((0..size).all(|index| same(index.into()).unwrap_or(false)))
}

fn equal_maps(own: &dyn Val, other: &dyn Val) -> Option<bool> {
    if own.as_sizer()?.size() != other.as_sizer()?.size() {
        return Some(false);
    }
    let mut keys = own.as_iterable()?.iter();
    let (own, other) = (own.as_indexer()?, other.as_indexer()?);
    while let Some(key) = keys.next() {
        let (Ok(a), Ok(b)) = (own.get(key), other.get(key)) else { return Some(false) };
        if !equal(a.as_ref(), b.as_ref()) {
            return Some(false);
        }
    }
    Some(true)
}

impl<'a> Compound<'a> {
    fn at(self, key: &dyn Val) -> Result<CowVal<'a, 'a>, ExecutionError> {
        match self {
            Self::List(items) => {
                let index = index(key).ok_or_else(|| unexpected(key, "int"))?;
                let item = usize::try_from(index).ok().and_then(|index| items.get(index));
                item.map(|item| val(item.into())).ok_or(ExecutionError::IndexOutOfBounds(index.into()))
            }
            Self::Object(members) => match datum(key) {
                Some(Datum::Text(name)) => {
                    members.get(name).map(|value| val(value.into())).ok_or_else(|| ExecutionError::no_such_key(name))
                }
                Some(Datum::Null) | None => Err(unexpected(key, "string")),
                // Names of members are text, so there is none for a number.
                Some(_) => Err(ExecutionError::no_such_key("")),
            },
        }
    }
}

/// As CEL's own lists: whole numbers of any type.
fn index(key: &dyn Val) -> Option<i64> {
    match datum(key)? {
        Datum::Number(Numeric::Int(index)) => Some(index),
        Datum::Number(Numeric::Unsigned(_)) => Some(i64::MAX),
        #[expect(clippy::cast_possible_truncation, reason = "saturates far beyond any list")]
        Datum::Number(Numeric::Float(index)) if index.fract() == 0.0 => Some(index as i64),
        _ => None,
    }
}

fn unexpected(found: &dyn Val, wanted: &str) -> ExecutionError {
    ExecutionError::UnexpectedType { got: found.get_type().name().to_owned(), want: wanted.to_owned() }
}

impl Val for Compound<'_> {
    fn get_type(&self) -> &Type {
        match self {
            Self::List(_) => &LIST,
            Self::Object(_) => &MAP,
        }
    }

    /// Only overloads that take this very type would ask, and there are none.
    fn cel_type() -> &'static Type {
        &MAP
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        match self {
            Self::Object(members) if other.get_type().kind() == Kind::Map && other.as_iterable().is_none() => {
                let (Some(sizer), Some(indexer)) = (other.as_sizer(), other.as_indexer()) else { return false };
                let same = |(name, value): (&String, &Value)| {
                    let own = val(value.into());
                    indexer.get(&CelString::from(name.as_str())).is_ok_and(|other| equal(own.as_ref(), other.as_ref()))
                };
                sizer.size() == self.size() && members.iter().all(same)
            }
            Self::List(_) | Self::Object(_) if other.get_type().kind() == self.get_type().kind() => equal(self, other),
            Self::List(_) | Self::Object(_) => false,
        }
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Container for Compound<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        match (self, datum(value)) {
            (Self::List(items), Some(datum)) => Ok(items.iter().any(|item| Datum::from(item).equals(datum))),
            (Self::List(items), None) => Ok(items.iter().any(|item| equal(val(item.into()).as_ref(), value))),
            (Self::Object(members), Some(Datum::Text(name))) => Ok(members.contains_key(name)),
            (Self::Object(_), Some(Datum::Null) | None) => Err(unexpected(value, "string")),
            (Self::Object(_), Some(_)) => Ok(false),
        }
    }
}

impl Sizer for Compound<'_> {
    fn size(&self) -> CelInt {
        let size = match self {
            Self::List(items) => items.len(),
            Self::Object(members) => members.len(),
        };
        i64::try_from(size).unwrap_or(i64::MAX).into()
    }
}

impl Indexer for Compound<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.at(key)
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.at(key).map(CowVal::into_owned)
    }
}
