//! The environment of predicates: CEL's standard functions, and the comparisons, which differ from CEL's.
//!
//! A predicate cannot name the latter; [`lower`](super::lower) puts them in the place of the operators.

use std::cmp::Ordering;

use cel::common::ast::operators;
use cel::common::functions::Function;
use cel::common::types::{BOOL_TYPE, CelBool, CelInt, DYN_TYPE, Kind};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::datum::Datum;
use super::value::{datum, equal};

/// `@equal(left, right, as id, guarded)`.
pub(super) const EQUAL: &str = "@equal";

/// `@within(value, container, as id, guarded)`.
pub(super) const IN: &str = "@within";

/// The operators of order, and the functions `(left, right)` that stand for them.
pub(super) const ORDER: [(&str, &str); 4] = [
    (operators::LESS, "@less"),
    (operators::LESS_EQUALS, "@less_equals"),
    (operators::GREATER, "@greater"),
    (operators::GREATER_EQUALS, "@greater_equals"),
];

/// The environment to parse in, and to evaluate in.
///
/// Without macros and optional values: what they would expand to must not pass for what somebody wrote.
pub(super) fn environment() -> Env {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    declare(&mut env).expect("the names begin with @, which no name of the standard library does");
    env
}

fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(EQUAL, EQUAL, vec![DYN_TYPE, DYN_TYPE, BOOL_TYPE, BOOL_TYPE], equal_values)?;
    env.add_overload(IN, IN, vec![DYN_TYPE, DYN_TYPE, BOOL_TYPE, BOOL_TYPE], is_in)?;
    let functions: [Function; 4] = [
        |sides| ordered(&sides, operators::LESS, Ordering::is_lt),
        |sides| ordered(&sides, operators::LESS_EQUALS, Ordering::is_le),
        |sides| ordered(&sides, operators::GREATER, Ordering::is_gt),
        |sides| ordered(&sides, operators::GREATER_EQUALS, Ordering::is_ge),
    ];
    for ((_, name), function) in ORDER.into_iter().zip(functions) {
        env.add_overload(name, name, vec![DYN_TYPE, DYN_TYPE], function)?;
    }
    Ok(())
}

/// Guarded: a null on either side, also inside of a list or map, is an error, which withholds the event whatever `!` and
/// `||` surround it.
#[expect(clippy::needless_pass_by_value, reason = "the signature is CEL's")]
fn equal_values<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right, as_id, guarded] = &arguments[..] else {
        return Err(ExecutionError::invalid_argument_count(4, arguments.len()));
    };
    let (left, right) = (left.as_ref(), right.as_ref());
    if is_true(guarded) && (holds_null(left) || holds_null(right)) {
        return Err(ExecutionError::function_error(EQUAL, "null"));
    }
    Ok(CowVal::owned(CelBool::from(same(left, right, is_true(as_id))?)))
}

/// Guarded: a null is an error where it is looked for, and where it is found and nothing else is equal.
#[expect(clippy::needless_pass_by_value, reason = "the signature is CEL's")]
fn is_in<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value, container, as_id, guarded] = &arguments[..] else {
        return Err(ExecutionError::invalid_argument_count(4, arguments.len()));
    };
    let (value, container) = (value.as_ref(), container.as_ref());
    let null = || ExecutionError::function_error(EQUAL, "null");
    if is_true(guarded) && holds_null(value) {
        return Err(null());
    }
    let no_overload = || no_overload("in", value, container);
    let holds = match (container.get_type().kind(), container.as_sizer(), container.as_indexer()) {
        (Kind::List, Some(sizer), Some(items)) => {
            let mut failure = None;
            let found =
                (0..*sizer.size().inner()).filter_map(|index| items.get(&CelInt::from(index)).ok()).any(|item| {
                    if is_true(guarded) && holds_null(item.as_ref()) {
                        failure.get_or_insert_with(null);
                    }
                    same(item.as_ref(), value, is_true(as_id)).unwrap_or_else(|error| {
                        failure.get_or_insert(error);
                        false
                    })
                });
            match failure {
                Some(error) if !found => return Err(error),
                _ => found,
            }
        }
        _ => container.as_container().ok_or_else(no_overload)?.contains(value).map_err(|_| no_overload())?,
    };
    Ok(CowVal::owned(CelBool::from(holds)))
}

/// Numbers are ordered by value, whatever their types; the rest is CEL's.
fn ordered<'b, 'v>(
    sides: &[CowVal<'b, 'v>],
    operator: &str,
    holds: fn(Ordering) -> bool,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right] = sides else { return Err(ExecutionError::invalid_argument_count(2, sides.len())) };
    let (left, right) = (left.as_ref(), right.as_ref());
    let order = match (datum(left), datum(right)) {
        (Some(Datum::Number(left)), Some(Datum::Number(right))) => left.compare(right),
        _ => left.as_comparer().and_then(|left| left.compare(right).ok()),
    };
    let order = order.ok_or_else(|| no_overload(operator, left, right))?;
    Ok(CowVal::owned(CelBool::from(holds(order))))
}

fn no_overload(operator: &str, left: &dyn Val, right: &dyn Val) -> ExecutionError {
    let types = vec![left.get_type().name().to_owned(), right.get_type().name().to_owned()];
    ExecutionError::no_such_overload(operator, types)
}

/// An error for a number whose value is not known: it is neither equal to anything nor different.
fn same(left: &dyn Val, right: &dyn Val, as_id: bool) -> Result<bool, ExecutionError> {
    let (Some(one), Some(other)) = (datum(left), datum(right)) else { return Ok(equal(left, right)) };
    let is_unknown = |datum: Datum<'_>| matches!(datum, Datum::Number(number) if number.exact().is_none());
    if is_unknown(one) || is_unknown(other) {
        return Err(no_overload(operators::EQUALS, left, right));
    }
    Ok(if as_id { one.equals_as_id(other) } else { one.equals(other) })
}

/// Whether it is null, or a list with a null in it, or a map that the predicate builds with one. Members of the event's
/// and the claims' own objects are their content, and may be null.
fn holds_null(val: &dyn Val) -> bool {
    if let Some(datum) = datum(val) {
        return datum.is_null();
    }
    let Some(items) = val.as_indexer() else { return false };
    let is_null_at = |key: &dyn Val| items.get(key).is_ok_and(|item| holds_null(item.as_ref()));
    match (val.get_type().kind(), val.as_sizer(), val.as_iterable()) {
        (Kind::List, Some(sizer), _) => (0..*sizer.size().inner()).any(|index| is_null_at(&CelInt::from(index))),
        (Kind::Map, _, Some(keys)) => {
            let mut keys = keys.iter();
            std::iter::from_fn(|| keys.next()).any(is_null_at)
        }
        _ => false,
    }
}

fn is_true(val: &CowVal<'_, '_>) -> bool {
    val.downcast_ref::<CelBool>().is_some_and(|value| *value.inner())
}
