//! Lines of NDJSON, taken together into requests: as many as are there without waiting, and not more than a host takes.

use std::io::{self, BufRead, BufReader, Read};

/// Events in one request; hosts take 10,000.
const LINES: usize = 5_000;
/// Bytes of one request, unless a single line has more; hosts take 16 MiB unless told otherwise.
const BYTES: usize = 1 << 20;
/// What is read at a time.
const BUFFER: usize = 256 << 10;

/// Lines that are published together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Batch {
    pub(super) text: Vec<u8>,
    /// How many there are; at least one that is not blank.
    pub(super) lines: usize,
    /// The number of the first, from 1.
    first: usize,
}

impl Batch {
    /// Two batches of half as many lines. Only for several lines.
    pub(super) fn halves(self) -> (Self, Self) {
        let half = self.lines / 2;
        let at = self.text.split_inclusive(|byte| *byte == b'\n').take(half).map(<[u8]>::len).sum();
        let mut text = self.text;
        let rest = text.split_off(at);
        (
            Self { text, lines: half, first: self.first },
            Self { text: rest, lines: self.lines - half, first: self.first + half },
        )
    }

    /// The host's message about a line, with its number in the whole input. `None`: it is about no line.
    pub(super) fn located(&self, message: &str) -> Option<String> {
        let (number, rest) = message.strip_prefix("line ")?.split_once(':')?;
        let number: usize = number.parse().ok()?;
        Some(format!("line {}:{rest}", self.first + number - 1))
    }
}

/// Reads batches.
pub(super) struct Batches<R> {
    reader: BufReader<R>,
    /// How many lines were read.
    read: usize,
    /// A line that did not fit into the batch before.
    left: Vec<u8>,
}

impl<R: Read> Batches<R> {
    pub(super) fn new(source: R) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER, source), read: 0, left: Vec::new() }
    }

    /// The next batch; waits until there is a line.
    pub(super) fn next(&mut self) -> io::Result<Option<Batch>> {
        let mut text = std::mem::take(&mut self.left);
        let mut lines = usize::from(!text.is_empty());
        let mut is_blank = text.trim_ascii().is_empty();
        while is_blank || (lines < LINES && self.reader.buffer().contains(&b'\n')) {
            if is_blank {
                text.clear();
                lines = 0;
            }
            let start = text.len();
            if self.reader.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            self.read += 1;
            lines += 1;
            if lines > 1 && text.len() > BYTES {
                self.left = text.split_off(start);
                lines -= 1;
                break;
            }
            is_blank &= text[start..].trim_ascii().is_empty();
        }
        let first = self.read + 1 - lines - usize::from(!self.left.is_empty());
        Ok((!is_blank).then_some(Batch { text, lines, first }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(text: &str) -> Vec<Batch> {
        let mut batches = Batches::new(text.as_bytes());
        std::iter::from_fn(|| batches.next().unwrap()).collect()
    }

    #[test]
    fn what_is_there_goes_together_and_blank_lines_alone_go_nowhere() {
        assert_eq!(batches(""), []);
        assert_eq!(batches("\n \n"), []);
        let seen = batches("\n\n{1}\n\n{2}\n{3}");
        // The last line has no end yet when the others are there.
        assert_eq!(seen.iter().map(|batch| (batch.first, batch.lines)).collect::<Vec<_>>(), [(3, 3), (6, 1)]);
        assert_eq!((seen[0].text.as_slice(), seen[1].text.as_slice()), (b"{1}\n\n{2}\n".as_slice(), b"{3}".as_slice()));
    }

    #[test]
    fn no_line_is_lost_or_doubled_at_the_limits() {
        let line = |n: usize| format!("{n} {}\n", "x".repeat(n * 7919 % 90_000));
        let text: String = (0..200).map(line).chain((0..12_000).map(|n| format!("{n}\n"))).collect();
        let seen = batches(&text);
        assert!(seen.len() > 5);
        let mut next = 1;
        for batch in &seen {
            assert_eq!(batch.first, next);
            assert_eq!(batch.text.split_inclusive(|byte| *byte == b'\n').count(), batch.lines);
            assert!(batch.lines <= LINES && (batch.text.len() <= BYTES || batch.lines == 1));
            next += batch.lines;
        }
        assert_eq!(seen.into_iter().flat_map(|batch| batch.text).collect::<Vec<_>>(), text.into_bytes());
    }

    #[test]
    fn halves_keep_their_numbers_and_errors_name_the_line_of_the_input() {
        let batch = batches("a\nb\nc\n").remove(0);
        let (first, second) = batch.halves();
        assert_eq!((first.text.as_slice(), first.lines, first.first), (b"a\n".as_slice(), 1, 1));
        assert_eq!((second.text.as_slice(), second.lines, second.first), (b"b\nc\n".as_slice(), 2, 2));
        assert_eq!(second.located("line 2: type is missing: x").unwrap(), "line 3: type is missing: x");
        assert_eq!(second.located("more than 3 events"), None);
    }
}
