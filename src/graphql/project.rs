//! The projection: a resolver's value and a selection make an `ExecutionResult` (specification §6.4.3, §6.4.4).
//!
//! One pass writes the response in the selection's order. A null that may not be there raises an error and travels up
//! to the nearest place that may be null: what was written since is cut off. Recursion is as deep as the selection and
//! its lists, both bounded, however deep the value is.

use std::borrow::Cow;

use super::error::{self, GraphqlError, PathSegment};
use super::json::{Json, Shape};
use super::leaf;
use super::pace::Pace;
use super::selection::{Composite, Kind, Object, Selection, Source, Type};

/// Errors told in one result; a final one says how many were left out.
const MAX_ERRORS: usize = 50;
/// A result may have this many bytes, or be this many times as large as its value.
const RESULT_BYTES: usize = 4 << 20;
const RESULT_RATIO: usize = 2;
/// Marks a member that the value does not have.
const ABSENT: u32 = u32::MAX;

/// What came of a projection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projected {
    /// How many errors there were, including those that were left out of the result.
    pub errors: usize,
    /// The first of them, for the log.
    pub first: Option<String>,
    /// Where the value stops being JSON, for the log; nothing of its contents.
    pub malformed: Option<String>,
}

/// Where a value is.
#[derive(Clone, Copy)]
struct At<'a> {
    /// The object type and the field, for messages.
    owner: &'a str,
    field: &'a str,
    path: &'a Path<'a>,
}

/// The steps to a value, innermost first. Lives on the stack, so that it costs nothing unless there is an error.
struct Path<'a> {
    step: Step<'a>,
    parent: Option<&'a Path<'a>>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// An error was recorded, and there is no value.
struct Failed;

struct Projection<'a, P> {
    selection: &'a Selection,
    json: &'a Json<'a>,
    pace: P,
    out: &'a mut String,
    /// The members of the objects that are being written, one group per level.
    members: Vec<u32>,
    errors: Vec<GraphqlError>,
    count: usize,
    /// Where the result would have become too large. Beyond, nothing is written any more.
    most: usize,
    is_too_large: bool,
}

pub(super) fn project(selection: &Selection, value: &str, mut pace: impl Pace, out: &mut String) -> Projected {
    let json = match Json::read(value, &mut pace) {
        Ok(json) => json,
        Err(malformed) => {
            let mut error = GraphqlError::new("The resolver's value is not valid JSON.");
            error.path = vec![PathSegment::Key(selection.response_key().to_owned())];
            failed(selection, &error, out);
            return Projected { errors: 1, first: None, malformed: Some(malformed.to_string()) };
        }
    };
    let Some(source) = &selection.root.source else { return Projected::default() };
    out.reserve(value.len() + 64);
    let before = out.len();
    out.push_str("{\"data\":");
    let start = out.len();
    out.push_str(&selection.root.prefix);
    let mut projection = Projection {
        selection,
        json: &json,
        pace,
        most: before + RESULT_BYTES.max(value.len().saturating_mul(RESULT_RATIO)),
        out,
        members: Vec::with_capacity(32),
        errors: Vec::new(),
        count: 0,
        is_too_large: false,
    };
    let path = Path { step: Step::Key(&selection.root.key), parent: None };
    let at = At { owner: &selection.owner, field: &selection.root.name, path: &path };
    if projection.complete(&source.ty, Json::ROOT, at).is_ok() {
        projection.out.push('}');
    } else {
        projection.out.truncate(start);
        projection.out.push_str("null");
    }
    let Projection { mut errors, count, is_too_large, .. } = projection;
    if is_too_large {
        out.truncate(before);
        let mut error = GraphqlError::new("The result is too large: select less, or under fewer aliases.");
        error.path = vec![PathSegment::Key(selection.response_key().to_owned())];
        failed(selection, &error, out);
        return Projected { errors: 1, first: Some(error.message), malformed: None };
    }
    if count > errors.len() {
        errors.push(error::left_out(count - errors.len()));
    }
    finish(&errors, out);
    Projected { errors: count, first: errors.into_iter().next().map(|error| error.message), malformed: None }
}

/// The result of a field that has no value at all.
pub(super) fn failed(selection: &Selection, error: &GraphqlError, out: &mut String) {
    let nullable = selection.root.source.as_ref().is_some_and(|source| !source.ty.non_null);
    out.push_str("{\"data\":");
    if nullable {
        out.push_str(&selection.root.prefix);
        out.push_str("null}");
    } else {
        out.push_str("null");
    }
    finish(std::slice::from_ref(error), out);
}

fn finish(errors: &[GraphqlError], out: &mut String) {
    if !errors.is_empty() {
        out.push_str(",\"errors\":");
        out.push_str(&serde_json::to_string(errors).expect("errors have string keys only"));
    }
    out.push('}');
}

impl<'a, P: Pace> Projection<'a, P> {
    /// Writes a value of the type, null included.
    fn complete(&mut self, ty: &'a Type, node: u32, at: At<'_>) -> Result<(), Failed> {
        if node == ABSENT || self.json.node(node).shape == Shape::Null {
            if ty.non_null {
                let message = || format!("Cannot return null for non-nullable field {}.{}.", at.owner, at.field);
                return Err(self.fail(message, at));
            }
            self.out.push_str("null");
            return Ok(());
        }
        let (written, members) = (self.out.len(), self.members.len());
        let completed = match &ty.kind {
            Kind::Leaf(leaf) => {
                let json = self.json;
                leaf::write(leaf, json, json.node(node), self.out)
                    .map_err(|message| self.fail(|| message.into_owned(), at))
            }
            Kind::Composite(index) => {
                let selection = self.selection;
                self.composite(&selection.composites[*index as usize], node, at)
            }
            Kind::List(item) => self.list(item, node, at),
        };
        match completed {
            Err(Failed) if !ty.non_null && !self.is_too_large => {
                self.out.truncate(written);
                self.members.truncate(members);
                self.out.push_str("null");
                Ok(())
            }
            other => other,
        }
    }

    fn list(&mut self, item: &'a Type, node: u32, at: At<'_>) -> Result<(), Failed> {
        let list = self.json.node(node);
        if list.shape != Shape::List {
            let message = || format!("Expected Iterable, but did not find one for field '{}.{}'.", at.owner, at.field);
            return Err(self.fail(message, at));
        }
        self.out.push('[');
        let (mut child, mut index) = (node + 1, 0);
        while child < list.next {
            if index > 0 {
                self.out.push(',');
            }
            let path = Path { step: Step::Index(index), parent: Some(at.path) };
            self.check_size()?;
            self.complete(item, child, At { path: &path, ..at })?;
            child = self.json.node(child).next;
            index += 1;
        }
        self.out.push(']');
        Ok(())
    }

    fn composite(&mut self, composite: &'a Composite, node: u32, at: At<'_>) -> Result<(), Failed> {
        if self.json.node(node).shape != Shape::Object {
            return Err(self.fail(|| format!("Expected value of type '{}' to be an object.", composite.name), at));
        }
        let object = if composite.is_abstract {
            match self.runtime_type(composite, node) {
                Ok(object) => object,
                Err(problem) => {
                    let (name, owner, field) = (&composite.name, at.owner, at.field);
                    let message = || {
                        format!(
                            "Abstract type '{name}' must resolve to an Object type at runtime for field '{owner}.{field}': {problem}."
                        )
                    };
                    return Err(self.fail(message, at));
                }
            }
        } else {
            &composite.types[0]
        };
        self.object(object, node, at)
    }

    /// The type that the value says it has.
    fn runtime_type(&self, composite: &'a Composite, node: u32) -> Result<&'a Object, &'static str> {
        let mut name = None;
        let end = self.json.node(node).next;
        let mut key = node + 1;
        while key < end {
            if self.key(key) == "__typename" {
                name = Some(key + 1);
            }
            key = self.json.node(key + 1).next;
        }
        let name = name.map(|name| self.json.node(name)).filter(|name| name.shape != Shape::Null);
        let name = name.ok_or("the value has no __typename")?;
        if !matches!(name.shape, Shape::String | Shape::EscapedString) {
            return Err("the value's __typename is not a string");
        }
        let name = leaf::decoded(self.json, name);
        composite
            .types
            .binary_search_by(|object| (*object.name).cmp(&name))
            .map(|index| &composite.types[index])
            .map_err(|_| "the value's __typename is not one of its possible types")
    }

    fn object(&mut self, object: &'a Object, node: u32, at: At<'_>) -> Result<(), Failed> {
        let base = self.members.len();
        self.find_members(object, node);
        for field in &object.fields {
            self.check_size()?;
            self.out.push_str(&field.prefix);
            if let Some(Source { member, ty }) = &field.source {
                let value = self.members[base + *member as usize];
                let path = Path { step: Step::Key(&field.key), parent: Some(at.path) };
                self.complete(ty, value, At { owner: &object.name, field: &field.name, path: &path })?;
            }
        }
        self.members.truncate(base);
        self.out.push_str(if object.fields.is_empty() { "{}" } else { "}" });
        Ok(())
    }

    /// Notes where the selected members of an object are: one pass, and no search as long as the value has them in the
    /// order of their selection. Of duplicates the last one counts.
    fn find_members(&mut self, object: &'a Object, node: u32) {
        let base = self.members.len();
        self.members.resize(base + object.members.len(), ABSENT);
        let end = self.json.node(node).next;
        let (mut key, mut guess) = (node + 1, 0);
        while key < end {
            let value = key + 1;
            let name = self.key(key);
            let found = match object.members.get(guess) {
                Some(member) if **member == *name => Some(guess),
                _ => object.member(&name),
            };
            if let Some(member) = found {
                self.members[base + member] = value;
                guess = member + 1;
            }
            key = self.json.node(value).next;
        }
    }

    fn key(&self, node: u32) -> Cow<'a, str> {
        leaf::decoded(self.json, self.json.node(node))
    }

    /// Asked before each field and item: what one of them writes is bounded by the value.
    fn check_size(&mut self) -> Result<(), Failed> {
        self.pace.step();
        self.is_too_large |= self.out.len() > self.most;
        if self.is_too_large { Err(Failed) } else { Ok(()) }
    }

    /// Records an error, unless there are enough.
    #[cold]
    fn fail(&mut self, message: impl FnOnce() -> String, at: At<'_>) -> Failed {
        self.count += 1;
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(GraphqlError { path: at.path.segments(), ..GraphqlError::new(message()) });
        }
        Failed
    }
}

impl Object {
    fn member(&self, name: &str) -> Option<usize> {
        let at = self.sorted.binary_search_by(|member| (*self.members[*member as usize]).cmp(name)).ok()?;
        Some(self.sorted[at] as usize)
    }
}

impl Path<'_> {
    fn segments(&self) -> Vec<PathSegment> {
        let mut segments = Vec::new();
        let mut rest = Some(self);
        while let Some(path) = rest {
            segments.push(match path.step {
                Step::Key(key) => PathSegment::Key(key.to_owned()),
                Step::Index(index) => PathSegment::Index(index),
            });
            rest = path.parent;
        }
        segments.reverse();
        segments
    }
}
