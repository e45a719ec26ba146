//! Text from others on its way into the log: quoted, escaped and cut in this one place.
//!
//! Whatever a client, a publisher, a module or a file names reaches a line of the log only as [`Foreign`] (one quoted
//! text), [`printable`] (a line of a guest's own) or [`in_margin`] (its traceback). None of them can begin a line, command
//! a terminal or turn the direction of what stands beside it. `tests/it/log.rs` attacks all of them, and reads the sources
//! for places that log something else.

use std::fmt::{self, Write};

/// Lines that one text may take. The SDK's longest traceback has fewer.
const LINES: usize = 300;

/// Bytes of one of these lines.
const LINE_BYTES: usize = 4096;

/// Bytes of a name in the log, escapes included.
const NAME_BYTES: usize = 256;

/// Bytes of an error in the log, escapes included.
const ERROR_BYTES: usize = 4096;

/// Ranges of Unicode's format characters (category Cf), line and paragraph separators. Among them are those that change the
/// direction of text; not the joiners U+200C and U+200D, which some scripts and emoji are written with.
const FORMAT: [(u32, u32); 25] = [
    (0x00ad, 0x00ad),
    (0x0600, 0x0605),
    (0x061c, 0x061c),
    (0x06dd, 0x06dd),
    (0x070f, 0x070f),
    (0x0890, 0x0891),
    (0x08e2, 0x08e2),
    (0x180e, 0x180e),
    (0x200b, 0x200b),
    (0x200e, 0x200f),
    (0x2028, 0x202e),
    (0x2060, 0x206f),
    (0xfeff, 0xfeff),
    (0xfff0, 0xfffb),
    (0x110bd, 0x110bd),
    (0x110cd, 0x110cd),
    (0x13430, 0x1343f),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0001, 0xe0001),
    (0xe0020, 0xe007f),
    // Private use: what they look like is up to a font.
    (0xe000, 0xf8ff),
    (0xf_0000, 0xf_ffff),
    (0x10_0000, 0x10_ffff),
    // No characters at all.
    (0xfdd0, 0xfdef),
];

/// Whether the character steers instead of showing something: controls, format characters, separators of lines.
#[must_use]
pub fn is_steering(c: char) -> bool {
    if c.is_ascii() {
        return c.is_control();
    }
    c.is_control() || FORMAT.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(c)))
}

/// Text from outside for one field or sentence of the log: in double quotes, with escapes, cut with its length in bytes.
///
/// Shows the same as `Debug`, so that neither `%` nor `?` gets around it.
#[derive(Clone, Copy)]
pub struct Foreign<T> {
    text: T,
    most: usize,
}

/// A name from outside, such as the id of an event, in the log: 256 bytes at most.
pub fn foreign<T: fmt::Display>(text: T) -> Foreign<T> {
    Foreign { text, most: NAME_BYTES }
}

/// An error that may quote something from outside, in the log: 4 KiB at most.
pub fn foreign_error<T: fmt::Display>(error: T) -> Foreign<T> {
    Foreign { text: error, most: ERROR_BYTES }
}

impl<T: fmt::Display> fmt::Display for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        let mut escaped = Escaped { out: f, room: self.most, bytes: 0, is_cut: false };
        write!(escaped, "{}", self.text)?;
        let Escaped { bytes, is_cut, .. } = escaped;
        f.write_char('"')?;
        if is_cut { write!(f, "… ({bytes} bytes)") } else { Ok(()) }
    }
}

impl<T: fmt::Display> fmt::Debug for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Escapes what is written through it, and leaves out what there is no room for.
struct Escaped<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    /// Bytes that may still be written.
    room: usize,
    /// Bytes that came.
    bytes: usize,
    is_cut: bool,
}

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes += text.len();
        for c in text.chars() {
            if self.is_cut {
                break;
            }
            let escapes = matches!(c, '"' | '\\' | '\u{200c}' | '\u{200d}') || is_steering(c);
            let length = match c {
                '"' | '\\' | '\n' | '\r' | '\t' => 2,
                _ if escapes => c.escape_unicode().len(),
                _ => c.len_utf8(),
            };
            let Some(room) = self.room.checked_sub(length) else {
                self.is_cut = true;
                break;
            };
            self.room = room;
            match c {
                '"' | '\\' | '\n' | '\r' | '\t' => write!(self.out, "{}", c.escape_default())?,
                _ if escapes => write!(self.out, "{}", c.escape_unicode())?,
                _ => self.out.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The text without anything that could pass for a line of our own, turn its direction or command a terminal. Tabs stay.
#[must_use]
pub fn printable(line: &str) -> String {
    let stays = |c: char| !is_steering(c) || c == '\t';
    line.chars().map(|c| if stays(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
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
        lines.by_ref().take(LINES).flat_map(|line| ["\n    | ".to_owned(), quoted(line, LINE_BYTES)]).collect();
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
    fn separators_and_marks_of_direction_are_replaced_like_controls() {
        for steering in "\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{200e}\u{200f}\u{61c}\u{85}\u{9b}\u{feff}\u{e0041}".chars() {
            assert_eq!(printable(&format!("a{steering}b")), "a\u{fffd}b", "{}", steering.escape_unicode());
            let line = in_margin(&format!("a{steering}2026 ERROR"));
            assert!(!line.contains(steering) && line.lines().count() == 2, "{line:?}");
            let shown = foreign(steering).to_string();
            assert_eq!(shown, format!("\"{}\"", steering.escape_unicode()));
        }
        for shown in ["é", "日本", "👩\u{200d}🚀", "نمی\u{200c}خواهم", "á"] {
            assert_eq!(printable(shown), shown);
        }
    }

    #[test]
    fn text_from_outside_is_one_quoted_text() {
        assert_eq!(foreign("users").to_string(), "\"users\"");
        assert_eq!(foreign("a\" level=\"ERROR\\\n\r\t\0").to_string(), r#""a\" level=\"ERROR\\\n\r\t\u{0}""#);
        assert_eq!(format!("{:?}", foreign("\u{202e}")), r#""\u{202e}""#);
        assert_eq!(foreign(7).to_string(), "\"7\"");
    }

    #[test]
    fn text_from_outside_is_cut_and_says_how_long_it_was() {
        let long = foreign("x".repeat(700_000)).to_string();
        assert_eq!(long, format!("\"{}\"… (700000 bytes)", "x".repeat(NAME_BYTES)));
        // Escapes count, so that nothing grows beyond the bound.
        for text in ["\u{10fffd}".repeat(10_000), "\0".repeat(10_000), "ä".repeat(10_000), "\"".repeat(10_000)] {
            let shown = foreign(&text).to_string();
            assert!(shown.len() <= NAME_BYTES + 32 && shown.ends_with(&format!("({} bytes)", text.len())), "{shown}");
        }
        assert_eq!(foreign("x".repeat(NAME_BYTES)).to_string().len(), NAME_BYTES + 2);
        // Also in parts, as the texts of errors come.
        let parts = foreign(format_args!("{}{}", "a".repeat(300), "b")).to_string();
        assert!(parts.ends_with("a\"… (301 bytes)"), "{parts}");
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
