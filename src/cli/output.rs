//! Standard output, where results go.

use std::fmt;
use std::io::{self, Write};

use super::failure::Failure;

/// Writes a line at once, so that whoever reads a pipe sees it when it happens.
pub(super) fn line(line: impl fmt::Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Unread),
        Err(error) => Err(Failure::failed(format!("failed to write to standard output: {error}"))),
    }
}

/// Writes a value as one line of JSON.
pub(super) fn json(value: &serde_json::Value) -> Result<(), Failure> {
    line(value)
}
