//! The way from the outside of a JSON object to one of its values.

use std::fmt;

use serde_json::{Map, Value};

use super::datum::Datum;

/// Names of members, from the outside inwards. Leads through objects only, never through lists.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Path(Vec<Box<str>>);

impl Path {
    pub(super) fn new(segments: &[&str]) -> Self {
        Self(segments.iter().map(|segment| Box::from(*segment)).collect())
    }

    /// Reads the dotted path of a `match`. The error completes the sentence "path … is wrong: ".
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with("event.") {
            return Err("it starts below `event.data` already, so leave `event.data.` out");
        }
        let segments: Vec<&str> = text.split('.').collect();
        if segments.iter().any(|segment| segment.trim().is_empty()) {
            return Err("a name is empty; write names separated by single dots, for example `user.id`");
        }
        if segments.iter().any(|segment| segment.trim() != *segment) {
            return Err("there is white space around a name; remove it");
        }
        let is_index =
            |segment: &&str| segment.contains(['[', ']']) || segment.bytes().all(|byte| byte.is_ascii_digit());
        if segments.iter().any(is_index) {
            return Err("`match` does not look into lists; use where=\"event.data.items[0].id == args.id\"");
        }
        Ok(Self::new(&segments))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The path to the object around the value, and the value's name in it.
    pub(super) fn split_last(&self) -> Option<(Self, &str)> {
        let (last, outer) = self.0.split_last()?;
        Some((Self(outer.to_vec()), last))
    }

    /// The value at the path; `None` if it or an object on the way is missing.
    pub(super) fn find<'a>(&self, root: &'a Value) -> Option<Datum<'a>> {
        self.0.iter().try_fold(root, |value, segment| value.get(&**segment)).map(Datum::from)
    }

    /// The same below an object.
    pub(super) fn find_in<'a>(&self, root: &'a Map<String, Value>) -> Option<Datum<'a>> {
        let Some((first, rest)) = self.0.split_first() else { return Some(Datum::Object(root)) };
        let inner = root.get(&**first)?;
        rest.iter().try_fold(inner, |value, segment| value.get(&**segment)).map(Datum::from)
    }

    /// How many of the names lead to a value, and the last such value; `None` if not even the first name does.
    pub(super) fn walk<'a>(&self, root: &'a Map<String, Value>) -> (usize, Option<&'a Value>) {
        let mut found = None;
        for (depth, segment) in self.0.iter().enumerate() {
            let next = match found {
                None => root.get(&**segment),
                Some(value) => Value::get(value, &**segment),
            };
            let Some(value) = next else { return (depth, found) };
            found = Some(value);
        }
        (self.0.len(), found)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// As it is written behind `event.data`, `args` or `claims`: `.user.id`, or `["a key"]` for what is no identifier.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if segment.chars().all(word) && segment.starts_with(|c: char| !c.is_ascii_digit()) {
                write!(f, ".{segment}")
            } else {
                write!(f, "[{segment:?}]")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_through_objects_only() {
        let data = json!({"user": {"id": 7, "tags": [{"id": 1}]}, "none": null});
        let find = |text: &str| Path::parse(text).unwrap().find(&data);
        assert!(find("user.id").is_some_and(|id| id.equals(Datum::from(&json!(7)))));
        assert!(find("none").is_some_and(|none| none.equals(Datum::Null)));
        for missing in ["user.tags.id", "user.name", "none.id", "user.id.id"] {
            assert!(find(missing).is_none(), "{missing}");
        }
    }

    #[test]
    fn paths_that_cannot_match_are_refused() {
        for wrong in ["", ".", "a.", ".a", "a..b", "items[0]", "items.0.id", "a. b", " a", "event.data.id"] {
            assert!(Path::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_path_is_shown_as_it_is_written() {
        assert_eq!(
            Path::new(&["user", "first name", "2x", "_y2", ""]).to_string(),
            r#".user["first name"]["2x"]._y2[""]"#
        );
    }
}
