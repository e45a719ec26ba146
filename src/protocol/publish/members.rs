//! One JSON object with known members, read in one pass: each value stays a borrowed slice of the text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{Problem, shortened};

/// The values of an object, in the order of the names that were asked for.
pub(super) struct Members<'a, const N: usize> {
    pub(super) values: [Option<&'a RawValue>; N],
    /// The first name that was not asked for.
    pub(super) unknown: Option<String>,
}

impl<'a, const N: usize> Members<'a, N> {
    /// Reads `text`, which must be an object without repeated members among `names`.
    pub(super) fn read(text: &'a str, names: &[&'static str; N]) -> Result<Self, Problem> {
        if !text.trim_ascii_start().starts_with('{') {
            // Say so only of JSON: `{` is not the first thing missing in other text.
            return Err(parse::<IgnoredAny>(text).err().unwrap_or(Problem::NotAnObject));
        }
        let mut repeated = None;
        let visitor = MembersVisitor { names, repeated: &mut repeated };
        let mut parser = serde_json::Deserializer::from_str(text);
        let members = parser.deserialize_map(visitor).and_then(|members| parser.end().map(|()| members));
        match repeated {
            Some(name) => Err(Problem::Repeated(name)),
            None => members.map_err(|error| syntax(&error)),
        }
    }
}

/// Reads text as JSON of this shape. Only its syntax may be wrong, or, for a sequence, the kind of value.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| if error.is_data() { Problem::NotAnArray } else { syntax(&error) })
}

/// The parser's words, with the column alone where there is but one line.
pub(super) fn syntax(error: &serde_json::Error) -> Problem {
    Problem::Syntax(words(error))
}

/// What the parser says, without the line number where it would always be 1.
pub(super) fn words(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

struct MembersVisitor<'n, const N: usize> {
    names: &'n [&'static str; N],
    repeated: &'n mut Option<&'static str>,
}

impl<'a, const N: usize> Visitor<'a> for MembersVisitor<'_, N> {
    type Value = Members<'a, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members { values: [None; N], unknown: None };
        while let Some(name) = map.next_key_seed(Name(self.names))? {
            match name {
                Ok(index) if members.values[index].is_some() => {
                    *self.repeated = Some(self.names[index]);
                    return Err(A::Error::custom("repeated member"));
                }
                Ok(index) => members.values[index] = Some(map.next_value()?),
                Err(unknown) => {
                    members.unknown.get_or_insert(unknown);
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(members)
    }
}

/// A member's name: its index among the known ones, or itself.
struct Name<'n>(&'n [&'static str]);

impl<'a> DeserializeSeed<'a> for Name<'_> {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name).ok_or_else(|| shortened(name)))
    }
}

/// A string member; `None` if absent or `null`.
pub(super) fn string<'a>(member: &'static str, value: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, Problem> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    match value.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(json) => match serde_json::from_str(json) {
            Ok(Text(text)) => Ok(Some(text)),
            Err(_) => Err(Problem::NotAString(member)),
        },
    }
}
