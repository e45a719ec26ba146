//! The extension module `subcast._native`: the engine inside a Python process. What users see of it is `python/subcast`.
//!
//! No thread of ours ever touches Python. What they have for it is left at a [`hub::Hub`], one per event loop, which wakes
//! the loop once per batch; the loop then comes and takes it. Whatever may take long happens without the interpreter's
//! lock: the calls of this module either return at once, or return a [`pending::Pending`] that the hub announces.

mod channel;
mod connection;
mod convert;
mod engine;
mod errors;
mod guard;
mod hub;
mod log;
mod pending;
mod question;

use std::ffi::OsString;

use pyo3::prelude::*;

use self::guard::guard;

use crate::{cli, sandbox};

/// Runs the command line; returns the exit status.
#[pyfunction]
fn main(py: Python<'_>, words: Vec<OsString>) -> PyResult<u8> {
    guard(|| py.detach(|| cli::run(words)))
}

/// Names the command that compiles modules in a child process: this process is a Python, and not `subcast`.
#[pyfunction]
fn compile_with(command: Vec<OsString>) -> PyResult<()> {
    guard(|| sandbox::compile_with(command))
}

/// Nothing below this level is wanted of the log, as Python counts.
#[pyfunction]
fn set_log_level(level: u8) -> PyResult<()> {
    guard(|| log::set_level(level))
}

/// What was logged since the last time, and how many records found no place. A row: level as Python counts, target,
/// message, file, line, seconds since 1970, fields.
#[pyfunction]
fn log_records() -> PyResult<(Vec<log::Row>, u64)> {
    guard(log::take)
}

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::add_to(module)?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<hub::Hub>()?;
    module.add_class::<pending::Pending>()?;
    module.add_class::<question::Question>()?;
    module.add_function(wrap_pyfunction!(channel::channel, module)?)?;
    module.add_function(wrap_pyfunction!(compile_with, module)?)?;
    module.add_function(wrap_pyfunction!(engine::start, module)?)?;
    module.add_function(wrap_pyfunction!(log_records, module)?)?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(set_log_level, module)?)
}
