//! What every entry of the extension passes: a panic is a bug of ours, and reaches Python as an exception that an
//! application can catch.
//!
//! Left alone, it would become pyo3's `PanicException`, which is no `Exception`: it passes every `except Exception`, and
//! ends worker processes.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;

use super::errors::InternalError;

/// Runs the body of an entry. `tests/embedding/test_panics.py` sees to it that there is no other kind of body.
pub(super) fn guard<T>(work: impl FnOnce() -> T) -> PyResult<T> {
    // What a panic leaves half-done belongs to one connection or one call, and both end with the exception.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| InternalError::new_err(told(&*panic)))
}

/// What is said of a panic.
pub(super) fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a bug of Subcast, please report it: {}", text.unwrap_or("a panic"))
}
