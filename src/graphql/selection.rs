//! What a subscription selects: the compiled form of its selection set, ready for projection.
//!
//! Fragments are expanded, `@skip` and `@include` are decided, fields with one response key are merged, and types are
//! resolved. Object selections live in one list, children before parents and each distinct one once, so that equal
//! selections are equal lists however they were written, comparing them is linear, and sharing costs nothing.
//! Positions in the document are no part of it, for the same reason: errors of execution have paths, not locations.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

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
    weight: Weight,
}

/// How large results can become.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Weight {
    /// How often a part of the value is written at most, since it is selected under several names.
    repeats: usize,
    /// Bytes that are written for an object which has none of its members.
    width: usize,
}

impl Weight {
    const LEAF: Self = Self { repeats: 1, width: 0 };

    fn max(self, other: Self) -> Self {
        Self { repeats: self.repeats.max(other.repeats), width: self.width.max(other.width) }
    }
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
    /// `below` are those of the selections before.
    fn weight(&self, below: &[Weight]) -> Weight {
        let (mut repeats, mut width) = (vec![0_usize; self.members.len()], 0_usize);
        for field in &self.fields {
            let weight = field.weight(below);
            width = width.saturating_add(field.prefix.len() + "null".len()).saturating_add(weight.width);
            if let Some(repeats) = field.source.as_ref().and_then(|source| repeats.get_mut(source.member as usize)) {
                *repeats = repeats.saturating_add(weight.repeats);
            }
        }
        Weight { repeats: repeats.into_iter().max().unwrap_or(1), width }
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
    fn weight(&self, below: &[Weight]) -> Weight {
        let mut kind = self.source.as_ref().map(|source| &source.ty.kind);
        while let Some(Kind::List(item)) = kind {
            kind = Some(&item.kind);
        }
        match kind {
            Some(Kind::Composite(index)) => below.get(*index as usize).copied().unwrap_or(Weight::LEAF),
            _ => Weight::LEAF,
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
    Enum(Arc<EnumType>),
    /// A scalar of the schema's own.
    Custom,
}

/// An enum of the schema, shared by all fields that select from it: it may have any number of values.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct EnumType {
    pub(super) name: Box<str>,
    /// Sorted.
    pub(super) values: Box<[Box<str>]>,
}

impl Hash for EnumType {
    /// By name: equal enums have equal names, and hashing all values for each field takes long.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Field {
    /// Bytes that the field takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.name.len() + self.prefix.len()
    }
}

impl Object {
    /// Bytes that the object takes beside its fields.
    pub(super) fn bytes(&self) -> usize {
        let members: usize =
            self.members.iter().map(|member| size_of_val(member) + size_of::<u32>() + member.len()).sum();
        size_of::<Self>() + self.name.len() + members
    }
}

impl Selection {
    pub(super) fn new(owner: &str, root: Field, composites: Box<[Composite]>) -> Self {
        let mut each: Vec<Weight> = Vec::with_capacity(composites.len());
        for composite in &composites {
            each.push(composite.types.iter().map(|object| object.weight(&each)).fold(Weight::LEAF, Weight::max));
        }
        let weight = root.weight(&each);
        Self { owner: owner.into(), root, composites, weight }
    }

    /// Bytes that the selection takes while it is kept; walks all of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let object = |object: &Object| object.bytes() + object.fields.iter().map(Field::bytes).sum::<usize>();
        let composite = |composite: &Composite| {
            size_of::<Composite>() + composite.name.len() + composite.types.iter().map(object).sum::<usize>()
        };
        size_of::<Self>() + self.root.bytes() + self.composites.iter().map(composite).sum::<usize>()
    }

    /// About how many bytes a result has at most, for a value of so many bytes with so many objects in it. Parts of the
    /// value can be selected under several names, and members that an object does not have are written as nulls.
    #[must_use]
    pub fn most_bytes(&self, bytes: usize, objects: usize) -> usize {
        let Weight { repeats, width } = self.weight;
        bytes.saturating_mul(repeats).max(objects.saturating_mul(width))
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
