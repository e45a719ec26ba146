//! The words of a predicate: which functions may be called, and how.

use super::error::FilterError;

/// A function of CEL whose cost is at most proportional to what it is given.
struct Function {
    name: &'static str,
    /// `name(x)`.
    global: bool,
    /// `x.name(…)` with so many arguments.
    member: Option<usize>,
    usage: &'static str,
}

const fn conversion(name: &'static str, usage: &'static str) -> Function {
    Function { name, global: true, member: None, usage }
}

const fn search(name: &'static str, usage: &'static str) -> Function {
    Function { name, global: false, member: Some(1), usage }
}

const FUNCTIONS: &[Function] = &[
    Function { name: "size", global: true, member: Some(0), usage: "`size(x)` or `x.size()`" },
    search("contains", "`text.contains(part)`"),
    search("startsWith", "`text.startsWith(part)`"),
    search("endsWith", "`text.endsWith(part)`"),
    conversion("string", "`string(x)`"),
    conversion("int", "`int(x)`"),
    conversion("uint", "`uint(x)`"),
    conversion("double", "`double(x)`"),
    conversion("bool", "`bool(x)`"),
    conversion("bytes", "`bytes(x)`"),
    conversion("dyn", "`dyn(x)`"),
    conversion("type", "`type(x)`"),
];

/// They evaluate an expression per element of a list: nested, the cost multiplies.
const MACROS: &[&str] = &["all", "exists", "exists_one", "existsOne", "map", "filter"];

/// Names of types, for `type(x) == string`.
pub(super) const TYPES: &[&str] =
    &["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"];

/// The function that is no function: it tests for a member.
pub(super) const HAS: &str = "has";

/// How to call it.
pub(super) const HAS_USAGE: &str = "`has(event.data.name)`, with a member as its one argument";

/// Checks a call of a function by name.
pub(super) fn check_call(name: &str, has_target: bool, arguments: usize) -> Result<(), FilterError> {
    if MACROS.contains(&name) {
        let reason = "because its cost has no bound; use `in`, or decide in the resolver";
        return Err(FilterError::NotAllowed { what: format!("the macro `{name}` is"), reason });
    }
    if name == "matches" {
        let reason = "because its cost has no bound; use `contains`, `startsWith` or `endsWith`";
        return Err(FilterError::NotAllowed { what: "the function `matches` is".to_owned(), reason });
    }
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
        let known = FUNCTIONS.iter().map(|function| function.name).chain([HAS]);
        return Err(FilterError::UnknownFunction { name: name.to_owned(), nearest: nearest(name, known) });
    };
    let fits = if has_target { function.member == Some(arguments) } else { function.global && arguments == 1 };
    if fits { Ok(()) } else { Err(FilterError::Usage { name: function.name, usage: function.usage }) }
}

/// The known name that is most like a wrong one, if any is.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|candidate| (strsim::jaro_winkler(candidate, name), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}
