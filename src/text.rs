//! Text from others on its way into the log.

use std::fmt::Write as _;

/// Lines that one text may take. The SDK's longest traceback has fewer.
const LINES: usize = 300;

/// The text without anything that could pass for a line of our own or command a terminal.
#[must_use]
pub fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The same, and no longer than this many bytes and a mark: for what others named and a message of ours quotes.
#[must_use]
pub fn quoted(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    let mark = if end < text.len() { "…" } else { "" };
    printable(&text[..end]) + mark
}

/// A text of several lines as [`printable`]: each begins on a line of its own, behind a margin that no line of ours has. The
/// margin makes a text of many short lines several times as long, so their number is bounded, too.
#[must_use]
pub fn in_margin(text: &str) -> String {
    let mut lines = text.lines();
    let mut written: String =
        lines.by_ref().take(LINES).flat_map(|line| ["\n    | ".to_owned(), printable(line)]).collect();
    let more = lines.count();
    if more > 0 {
        let _ = write!(written, "\n    | [{more} more lines]");
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_a_terminal_or_begins_a_line() {
        assert_eq!(printable("a\u{1b}[31mb\r\nc\td"), "a\u{fffd}[31mb\u{fffd}\u{fffd}c\td");
        assert_eq!(in_margin("one\n2026 ERROR\r forged"), "\n    | one\n    | 2026 ERROR\u{fffd} forged");
        assert_eq!(in_margin(""), "");
    }

    #[test]
    fn what_is_quoted_is_short() {
        assert_eq!(quoted("a\u{1b}b", 10), "a\u{fffd}b");
        assert_eq!(quoted("äää", 3), "ä…");
    }

    #[test]
    fn many_short_lines_are_cut() {
        let written = in_margin(&"\n".repeat(LINES + 5));
        assert_eq!(written.lines().count(), LINES + 2);
        assert!(written.ends_with("| [5 more lines]"), "{written}");
    }
}
