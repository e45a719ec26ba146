//! `subcast compile`: what the host runs in a child process to compile a module. Not for people.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::sandbox::{CompileError, Files, compile_in_child};

/// Compile a component to native code
#[derive(Debug, Args)]
pub(super) struct Arguments {
    input: PathBuf,
    output: PathBuf,
    learnt: PathBuf,
    known: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { input, output, learnt, known } = arguments;
    compile_in_child(Files { input, output, learnt, known: known.as_deref() }).map_err(|error| {
        let status = error.status();
        match error {
            // The parent says what it is about.
            CompileError::Invalid(reason) => Failure::Status(reason, status),
            other => Failure::Status(other.to_string(), status),
        }
    })
}
