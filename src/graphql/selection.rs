//! What a subscription selects: the compiled form of its selection set, ready for projection.
//!
//! Fragments are expanded, `@skip` and `@include` are decided, fields with one response key are merged, and types are
//! resolved. Object selections live in one list, children before parents and each distinct one once, so that equal
//! selections are equal lists however they were written, comparing them is linear, and sharing costs nothing.
//! Positions in the document are no part of it, for the same reason: errors of execution have paths, not locations.

use std::fmt;

use super::error::{GraphqlError, PathSegment};
use super::pace::{Brisk, Gentle};
use super::project::{self, Projected};

/// What a subscription selects from its field's values.
#[derive(PartialEq, Eq, Hash)]
pub struct Selection {
    /// Name of the subscription type, for messages.
    pub(super) owner: Box<str>,
    pub(super) root: Field,
    pub(super) composites: Box<[Composite]>,
    repeats: usize,
}

/// A selection on an object, interface or union type.
#[derive(PartialEq, Eq, Hash, Clone)]
pub(super) struct Composite {
    pub(super) name: Box<str>,
    /// Whether the value must say by `__typename` which of the types it is.
    pub(super) is_abstract: bool,
    /// The possible types, by name; one if the type is not abstract.
    pub(super) types: Box<[Object]>,
}

/// What is selected if the value is of this object type.
#[derive(PartialEq, Eq, Hash, Clone)]
pub(super) struct Object {
    pub(super) name: Box<str>,
    /// In the order of the response.
    pub(super) fields: Box<[Field]>,
    /// The distinct members that are read from the value, in the order of their first use.
    pub(super) members: Box<[Box<str>]>,
    /// Indexes into `members`, in the order of the names.
    pub(super) sorted: Box<[u32]>,
}

impl Object {
    /// See [`Selection::repeats`]; `below` are those of the selections before.
    fn repeats(&self, below: &[usize]) -> usize {
        let mut each = vec![0_usize; self.members.len()];
        for field in &self.fields {
            if let Some(each) = field.source.as_ref().and_then(|source| each.get_mut(source.member as usize)) {
                *each = each.saturating_add(field.repeats(below));
            }
        }
        each.into_iter().max().unwrap_or(1)
    }
}

/// One field of a response.
#[derive(PartialEq, Eq, Hash, Clone)]
pub(super) struct Field {
    pub(super) key: Box<str>,
    pub(super) name: Box<str>,
    /// What comes before the value, `{"key":` or `,"key":`; with `__typename` the value, too.
    pub(super) prefix: Box<str>,
    /// `None`: the field is `__typename`.
    pub(super) source: Option<Source>,
}

impl Field {
    fn repeats(&self, below: &[usize]) -> usize {
        let mut kind = self.source.as_ref().map(|source| &source.ty.kind);
        while let Some(Kind::List(item)) = kind {
            kind = Some(&item.kind);
        }
        match kind {
            Some(Kind::Composite(index)) => below.get(*index as usize).copied().unwrap_or(1),
            _ => 1,
        }
    }
}

/// Where the value of a field comes from, and what it must be.
#[derive(PartialEq, Eq, Hash, Clone)]
pub(super) struct Source {
    /// Index into the object's `members`.
    pub(super) member: u32,
    pub(super) ty: Type,
}

/// An output type.
#[derive(PartialEq, Eq, Hash, Clone)]
pub(super) struct Type {
    pub(super) non_null: bool,
    pub(super) kind: Kind,
}

#[derive(PartialEq, Eq, Hash, Clone)]
pub(super) enum Kind {
    List(Box<Type>),
    Leaf(Leaf),
    /// Index into `Selection::composites`.
    Composite(u32),
}

#[derive(PartialEq, Eq, Hash, Clone)]
pub(super) enum Leaf {
    Int,
    Float,
    String,
    Boolean,
    Id,
    Enum {
        name: Box<str>,
        /// Sorted.
        values: Box<[Box<str>]>,
    },
    /// A scalar of the schema's own.
    Custom,
}

impl Selection {
    pub(super) fn new(owner: &str, root: Field, composites: Box<[Composite]>) -> Self {
        let mut each: Vec<usize> = Vec::with_capacity(composites.len());
        for composite in &composites {
            each.push(composite.types.iter().map(|object| object.repeats(&each)).max().unwrap_or(1));
        }
        let repeats = root.repeats(&each);
        Self { owner: owner.into(), root, composites, repeats }
    }

    /// How often a part of the value is written into the result at most, since it is selected under several names. The
    /// result is at most about so many times as large as the value.
    #[must_use]
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// The name of the field in the response: its alias, if it has one.
    #[must_use]
    pub fn response_key(&self) -> &str {
        &self.root.key
    }

    /// Appends the `ExecutionResult` for a resolver's value (JSON text of the field's whole value).
    ///
    /// Values that do not fit the schema become nulls and errors as the specification says (§6.4.4). Text that is not
    /// JSON becomes one error. No message contains anything of the value.
    ///
    /// A selection can repeat parts of the value under many aliases: a result of more than 4 MiB that is also more than
    /// twice as large as the value is refused, with one error in its place.
    pub fn project(&self, value: &str, out: &mut String) -> Projected {
        project::project(self, value, Brisk, out)
    }

    /// The same, with a call of `pause` every 50 µs or so.
    pub fn project_gently(&self, value: &str, pause: impl FnMut(), out: &mut String) -> Projected {
        project::project(self, value, Gentle::new(pause), out)
    }

    /// Appends the `ExecutionResult` for an event whose resolver failed: the field is null, or `data` is where the
    /// field cannot be. The error's path becomes the field's.
    pub fn project_error(&self, mut error: GraphqlError, out: &mut String) {
        error.path = vec![PathSegment::Key(self.root.key.to_string())];
        project::failed(self, &error, out);
    }
}

impl fmt::Debug for Selection {
    /// Short: selections can be large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection").field("response_key", &self.root.key).finish_non_exhaustive()
    }
}
