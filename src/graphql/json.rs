//! Reads JSON text into a flat list of spans: one allocation, nothing copied, no recursion.
//!
//! `serde_json` would parse numbers (losing their text) and allocate per object, or scan nested values once per level.
//! The grammar is RFC 8259: what Python adds to it (`NaN`, `Infinity`) is refused. Duplicate keys stay; who looks them
//! up takes the last, as Python does.

use super::pace::Pace;

/// Levels of nesting that are read: those that parse it after us recurse.
const MAX_NESTING: usize = 128;

/// What a value is. Numbers keep the difference that Python makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Null,
    True,
    False,
    /// Without fraction and exponent.
    Integer,
    Float,
    /// Its text, quotes and escapes included, is valid JSON.
    String,
    /// Like `String`, but what it stands for is not what is written.
    EscapedString,
    List,
    /// Its children are keys and values in turn.
    Object,
}

/// A value: where its text is, and where the next one begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    start: u32,
    end: u32,
    /// Index of the first node that is not inside this one.
    pub(super) next: u32,
    pub(super) shape: Shape,
}

/// A JSON text, read.
pub(super) struct Json<'t> {
    text: &'t str,
    nodes: Vec<Node>,
}

/// Where a text stops being JSON. Says nothing of its contents, so that it may be logged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    at: usize,
    what: &'static str,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl<'t> Json<'t> {
    /// Index of the whole value.
    pub(super) const ROOT: u32 = 0;

    pub(super) fn read(text: &'t str, pace: &mut impl Pace) -> Result<Self, Malformed> {
        if u32::try_from(text.len()).is_err() {
            return Err(Malformed { at: 0, what: "more than 4 GiB" });
        }
        let mut reader = Reader { bytes: text.as_bytes(), at: 0, nodes: Vec::with_capacity(16 + text.len() / 12) };
        reader.document(pace)?;
        Ok(Self { text, nodes: reader.nodes })
    }

    pub(super) fn node(&self, index: u32) -> Node {
        self.nodes[index as usize]
    }

    /// The text of a value, exactly as it came.
    pub(super) fn text(&self, node: Node) -> &'t str {
        &self.text[node.start as usize..node.end as usize]
    }

    /// What is between the quotes of a string.
    pub(super) fn inside(&self, node: Node) -> &'t str {
        &self.text[node.start as usize + 1..node.end as usize - 1]
    }
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
    nodes: Vec<Node>,
}

impl Reader<'_> {
    fn document(&mut self, pace: &mut impl Pace) -> Result<(), Malformed> {
        let mut open: Vec<u32> = Vec::with_capacity(16);
        loop {
            pace.step();
            if self.value(&mut open)? {
                continue;
            }
            // A value is complete. Close what it closes, until another one must follow.
            loop {
                let Some(&container) = open.last() else {
                    return if self.peek().is_none() { Ok(()) } else { Err(self.error("text after the value")) };
                };
                let in_object = self.nodes[container as usize].shape == Shape::Object;
                match (self.peek(), in_object) {
                    (Some(b','), true) => {
                        self.at += 1;
                        self.key()?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        self.close(container);
                        open.pop();
                    }
                    _ => return Err(self.error("expected a comma or the end of the list or object")),
                }
            }
        }
    }

    /// Reads one value, or the opening of one. True if a value must follow right here.
    fn value(&mut self, open: &mut Vec<u32>) -> Result<bool, Malformed> {
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true", Shape::True)?,
            Some(b'f') => self.word(b"false", Shape::False)?,
            Some(b'n') => self.word(b"null", Shape::Null)?,
            Some(byte @ (b'{' | b'[')) => {
                let (shape, end) = if byte == b'{' { (Shape::Object, b'}') } else { (Shape::List, b']') };
                if open.len() >= MAX_NESTING {
                    return Err(self.error("nested too deeply"));
                }
                let container = self.push(shape, self.at, self.at + 1);
                self.at += 1;
                if self.peek() == Some(end) {
                    self.at += 1;
                    self.close(container);
                    return Ok(false);
                }
                open.push(container);
                if shape == Shape::Object {
                    self.key()?;
                }
                return Ok(true);
            }
            _ => return Err(self.error("expected a value")),
        }
        Ok(false)
    }

    fn key(&mut self) -> Result<(), Malformed> {
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key"));
        }
        self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.error("expected a colon"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let mut shape = Shape::String;
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    shape = Shape::EscapedString;
                    self.escape()?;
                }
                Some(0..=0x1f) => return Err(self.error("control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.error("string without an end")),
            }
        }
        self.at += 1;
        self.push(shape, start, self.at);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        let rest = &self.bytes[self.at + 1..];
        self.at += match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => match (code_unit(rest), rest.get(6..).and_then(code_unit)) {
                // Half of a pair is no character: many clients would refuse the whole message.
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) if rest[5] == b'\\' => 12,
                (Some(0xd800..=0xdfff), _) => return Err(self.error("half of a surrogate pair")),
                (Some(_), _) => 6,
                (None, _) => return Err(self.error("unknown escape")),
            },
            _ => return Err(self.error("unknown escape")),
        };
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let mut shape = Shape::Integer;
        self.at += usize::from(self.bytes[start] == b'-');
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            shape = Shape::Float;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            shape = Shape::Float;
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        self.push(shape, start, self.at);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        if self.at == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8], shape: Shape) -> Result<(), Malformed> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.error("expected a value"));
        }
        self.push(shape, self.at, self.at + word.len());
        self.at += word.len();
        Ok(())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the text is shorter than 4 GiB, and each node takes a byte of it"
    )]
    fn push(&mut self, shape: Shape, start: usize, end: usize) -> u32 {
        let index = self.nodes.len() as u32;
        self.nodes.push(Node { start: start as u32, end: end as u32, next: index + 1, shape });
        index
    }

    #[expect(clippy::cast_possible_truncation, reason = "as in `push`")]
    fn close(&mut self, container: u32) {
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[container as usize];
        node.end = self.at as u32;
        node.next = next;
    }

    fn error(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }
}

/// The code unit of an escape that begins with its `u`.
fn code_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"u")?.get(..4)?;
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then(|| str::from_utf8(digits).ok())??;
    u16::from_str_radix(digits, 16).ok()
}
