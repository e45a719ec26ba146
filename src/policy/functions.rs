//! The environment of predicates: CEL's standard functions, and comparisons that differ from CEL's.
//!
//! A predicate cannot name the latter; [`lower`](super::lower) puts them where they are needed.

use cel::common::types::{BOOL_TYPE, CelBool, CelInt, DYN_TYPE, Kind};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::datum::Datum;
use super::value::{datum, equal};

/// `@equal(left, right, as id, guarded)`.
pub(super) const EQUAL: &str = "@equal";

/// `@within(value, container, as id, guarded)`.
pub(super) const IN: &str = "@within";

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
    env.add_overload(IN, IN, vec![DYN_TYPE, DYN_TYPE, BOOL_TYPE, BOOL_TYPE], is_in)
}

/// Guarded: null with null is an error, which withholds the event whatever `!` and `||` surround it.
#[expect(clippy::needless_pass_by_value, reason = "the signature is CEL's")]
fn equal_values<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [left, right, as_id, guarded] = &arguments[..] else {
        return Err(ExecutionError::invalid_argument_count(4, arguments.len()));
    };
    let (left, right) = (left.as_ref(), right.as_ref());
    if is_true(guarded) && is_null(left) && is_null(right) {
        return Err(ExecutionError::function_error(EQUAL, "null"));
    }
    Ok(CowVal::owned(CelBool::from(same(left, right, is_true(as_id)))))
}

/// Guarded: null is an error, wherever it is looked for.
#[expect(clippy::needless_pass_by_value, reason = "the signature is CEL's")]
fn is_in<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value, container, as_id, guarded] = &arguments[..] else {
        return Err(ExecutionError::invalid_argument_count(4, arguments.len()));
    };
    let (value, container) = (value.as_ref(), container.as_ref());
    if is_true(guarded) && is_null(value) {
        return Err(ExecutionError::function_error(EQUAL, "null"));
    }
    let no_overload = || {
        let types = vec![value.get_type().name().to_owned(), container.get_type().name().to_owned()];
        ExecutionError::no_such_overload("in", types)
    };
    let holds = match (container.get_type().kind(), container.as_sizer(), container.as_indexer()) {
        (Kind::List, Some(sizer), Some(items)) => (0..*sizer.size().inner())
            .filter_map(|index| items.get(&CelInt::from(index)).ok())
            .any(|item| same(item.as_ref(), value, is_true(as_id))),
        _ => container.as_container().ok_or_else(no_overload)?.contains(value).map_err(|_| no_overload())?,
    };
    Ok(CowVal::owned(CelBool::from(holds)))
}

fn same(left: &dyn Val, right: &dyn Val, as_id: bool) -> bool {
    match (as_id, datum(left), datum(right)) {
        (true, Some(left), Some(right)) => left.equals_as_id(right),
        _ => equal(left, right),
    }
}

fn is_null(val: &dyn Val) -> bool {
    datum(val).is_some_and(Datum::is_null)
}

fn is_true(val: &CowVal<'_, '_>) -> bool {
    val.downcast_ref::<CelBool>().is_some_and(|value| *value.inner())
}
