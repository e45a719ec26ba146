//! How often something may be written to the log: what fails on every event must not drown it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::text::foreign;

/// Writers that are remembered at a time.
const MOST_WRITERS: usize = 1_024;

/// So many lines per second, and a count of those that were not written.
#[derive(Debug)]
pub struct Throttle {
    per_second: u32,
    second: Mutex<Option<Second>>,
}

#[derive(Debug)]
struct Second {
    began: Instant,
    written: u32,
    suppressed: u64,
}

impl Throttle {
    /// Lines per second, over everything that asks.
    #[must_use]
    pub const fn new(per_second: u32) -> Self {
        Self { per_second, second: Mutex::new(None) }
    }

    /// Whether a line may be written now. Tells once per second how many could not.
    pub fn may_write(&self) -> bool {
        self.may_write_of(None)
    }

    /// The same; `writer` is named where lines are counted.
    fn may_write_of(&self, writer: Option<&str>) -> bool {
        let now = Instant::now();
        let mut guard = self.second.lock();
        let second = guard.get_or_insert(Second { began: now, written: 0, suppressed: 0 });
        if now.duration_since(second.began) >= Duration::from_secs(1) {
            if second.suppressed > 0 {
                let of = writer.map(foreign).map(tracing::field::display);
                tracing::warn!(suppressed = second.suppressed, of, "more failures of this kind, not written in detail");
            }
            *second = Second { began: now, written: 0, suppressed: 0 };
        }
        if second.written >= self.per_second {
            second.suppressed += 1;
            return false;
        }
        second.written += 1;
        true
    }
}

/// A [`Throttle`] for each of those who write, so that nobody hides what others have to say.
#[derive(Debug)]
pub struct Throttles {
    per_second: u32,
    writers: Mutex<HashMap<Box<str>, Throttle>>,
}

impl Throttles {
    /// Lines per second of each writer.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second, writers: Mutex::default() }
    }

    /// Whether this writer may write a line now.
    pub fn may_write(&self, writer: &str) -> bool {
        let mut writers = self.writers.lock();
        if let Some(throttle) = writers.get(writer) {
            return throttle.may_write_of(Some(writer));
        }
        if writers.len() >= MOST_WRITERS {
            writers.clear();
        }
        writers.entry(writer.into()).or_insert_with(|| Throttle::new(self.per_second)).may_write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_per_second() {
        let throttle = Throttle::new(50);
        let written = (0..1000).filter(|_| throttle.may_write()).count();
        assert!((50..=100).contains(&written), "{written}");
    }

    #[test]
    fn one_writer_does_not_use_up_the_lines_of_another() {
        let throttles = Throttles::new(5);
        let written = (0..1000).filter(|_| throttles.may_write("loud")).count();
        assert!((5..=10).contains(&written), "{written}");
        assert!(throttles.may_write("quiet"));
        for number in 0..3 * MOST_WRITERS {
            assert!(throttles.may_write(&number.to_string()));
        }
        assert!(throttles.writers.lock().len() <= MOST_WRITERS);
    }
}
