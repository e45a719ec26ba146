//! What only a person at a terminal gets to see: colours and progress, on standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Whether standard error shows colours, and the user wants them (<https://no-color.org>).
pub(super) fn has_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether standard output is read by a person.
pub(super) fn is_watched() -> bool {
    io::stdout().is_terminal()
}

/// A remark on standard error.
pub(super) fn note(text: impl fmt::Display) {
    // Standard error may be closed; a remark is not worth failing for.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Shows that something is going on, and what. Disappears when dropped; without a terminal it never appears.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn start(doing: impl fmt::Display) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(doing.to_string());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    pub(super) fn say(&self, doing: impl fmt::Display) {
        self.0.set_message(doing.to_string());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
