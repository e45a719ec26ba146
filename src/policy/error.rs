//! What can be wrong with a field's `match` and `where`, and what to do about it.

use thiserror::Error;

use super::predicate::{ADDITION, MAX_BYTES, MAX_NODES};

/// Why a filter does not compile.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FilterError {
    /// `match` names an argument that the field lacks.
    #[error("match: the field has no argument `{argument}`{}; declare it in the schema, or remove it from match", hint(nearest.as_ref()))]
    UnknownArgument {
        /// The name.
        argument: String,
        /// An argument with nearly that name.
        nearest: Option<String>,
    },
    /// `match` names an argument that has no single value to compare.
    #[error(
        "match: `{argument}` is a list, an input object or a custom scalar, which match cannot compare; \
         write where=\"… args.{argument} …\" instead"
    )]
    NotComparable {
        /// The argument.
        argument: String,
    },
    /// A path of `match` that cannot lead anywhere.
    #[error("match: the path `{path}` for `{argument}` is wrong: {problem}")]
    BadPath {
        /// The argument.
        argument: String,
        /// The path.
        path: String,
        /// What is wrong, and the remedy.
        problem: &'static str,
    },
    /// The predicate is too long to be parsed.
    #[error("where: the predicate has {bytes} bytes, and {MAX_BYTES} are allowed; decide the rest in the resolver")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The predicate is too big to be evaluated for every event.
    #[error(
        "where: the predicate has {nodes} operators, names and literals (each `+` counts as {ADDITION}), and {MAX_NODES} are allowed; decide the rest in the resolver"
    )]
    TooComplex {
        /// Operators, names and literals.
        nodes: usize,
    },
    /// The predicate is no CEL.
    #[error("where: line {line}, column {column}: {problem}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What the parser says.
        problem: String,
    },
    /// A name that stands for nothing.
    #[error("where: unknown variable `{name}`{}; there are `event`, `args` and `claims`", hint(nearest.as_ref()))]
    UnknownVariable {
        /// The name.
        name: String,
        /// A variable with nearly that name.
        nearest: Option<String>,
    },
    /// A member that events lack.
    #[error("where: an event has no `{name}`{}; it has `id`, `channel`, `type`, `time`, `source` and `data`", hint(nearest.as_ref()))]
    UnknownMember {
        /// The name.
        name: String,
        /// What may be meant.
        nearest: Option<String>,
    },
    /// A member of something that is text.
    #[error("where: `event.{member}` is text and has no members")]
    MemberOfText {
        /// The member of `event`.
        member: &'static str,
    },
    /// `args.x` where the field has no argument `x`.
    #[error("where: the field has no argument `{name}`{}; declare it in the schema, or remove `args.{name}`", hint(nearest.as_ref()))]
    NoSuchArgument {
        /// The name.
        name: String,
        /// An argument with nearly that name.
        nearest: Option<String>,
    },
    /// `event` or `args` as a whole.
    #[error("where: `{name}` cannot be used as a whole; name what you need of it, for example `{example}`")]
    Bare {
        /// The variable.
        name: &'static str,
        /// How it can be used.
        example: &'static str,
    },
    /// A function that does not exist.
    #[error("where: unknown function `{name}`{}", hint(nearest.as_ref()))]
    UnknownFunction {
        /// The name.
        name: String,
        /// A function with nearly that name.
        nearest: Option<String>,
    },
    /// A function that is not called like this.
    #[error("where: `{name}` is not called like this; write {usage}")]
    Usage {
        /// The function.
        name: &'static str,
        /// How to call it.
        usage: &'static str,
    },
    /// Something of CEL whose cost has no bound, or that has no meaning here.
    #[error("where: {what} not allowed, {reason}")]
    NotAllowed {
        /// What, with its verb.
        what: String,
        /// Why, and the remedy.
        reason: &'static str,
    },
}

fn hint(nearest: Option<&String>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}
