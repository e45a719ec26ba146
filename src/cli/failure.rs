//! How a command ends that does not end well.

use std::fmt;
use std::io::{self, Write};

use super::terminal;
use crate::text::printable;

/// Why a command is over before it is done.
#[derive(Debug)]
pub(super) enum Failure {
    /// It did not work: what, and what to do about it.
    Failed(String),
    /// It was asked for in a wrong way.
    Usage(String),
    /// It did not work, and a program that reads the exit status is to know why.
    Status(String, u8),
    /// Nobody reads the results any more. Nothing to complain about.
    Unread,
}

impl Failure {
    pub(super) fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    pub(super) fn usage(error: impl fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }

    /// Says so on standard error; returns the exit status.
    pub(super) fn report(&self) -> u8 {
        let (message, code) = match self {
            Self::Failed(message) => (message, 1),
            Self::Usage(message) => (message, 2),
            Self::Status(message, status) => (message, *status),
            Self::Unread => return 0,
        };
        let label = if terminal::has_colours() { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
        // It may quote a module or a server, and goes to a terminal.
        let message = message.split('\n').map(printable).collect::<Vec<_>>().join("\n");
        // Standard error may be closed; the exit status remains.
        let _ = writeln!(io::stderr(), "{label} {message}");
        code
    }
}
