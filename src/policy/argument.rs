//! The arguments of a field, as far as filters care.

/// An argument that the schema declares for a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its type, without non-null marks.
    pub kind: ArgumentKind,
}

/// How values of an argument compare with values of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgumentKind {
    /// `ID`: by text, so that the number 123 of an event equals `"123"`.
    Id,
    /// `String`: by text, with text only.
    String,
    /// `Int`: by value, with numbers only.
    Int,
    /// `Float`: by value, with numbers only; `1.0` equals 1.
    Float,
    /// `Boolean`.
    Boolean,
    /// An enum: its values are text.
    Enum,
    /// A list, an input object or a custom scalar: for `where` only.
    Other,
}
