//! Text from others on its way into the log.

/// The text without anything that could pass for a line of our own or command a terminal.
#[must_use]
pub fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The same for a text of several lines: each begins on a line of its own, behind a margin that no line of ours has.
#[must_use]
pub fn in_margin(text: &str) -> String {
    text.lines().flat_map(|line| ["\n    | ".to_owned(), printable(line)]).collect()
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
}
