//! What every answer is compared with.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Distinct values of `id`: each event reaches the 50 subscriptions that asked for its own.
pub const IDS: usize = 200;
/// Events per id that there is room for.
const ROOM: usize = 4_000;

/// What went wrong, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    pub lost: u64,
    pub doubled: u64,
    pub reordered: u64,
    pub by_two_versions: u64,
    pub closed: u64,
}

impl Verdict {
    pub fn is_clean(self) -> bool {
        self == Self::default()
    }

    pub fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.by_two_versions += other.by_two_versions;
        self.closed += other.closed;
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, reordered, by_two_versions, closed } = self;
        write!(
            f,
            "lost {lost}, doubled {doubled}, out of order {reordered}, by two versions {by_two_versions}, connections closed {closed}"
        )
    }
}

/// One subscription's numbers: 1, 2, 3, …
#[derive(Debug, Default)]
pub struct Sequence {
    seen: Vec<bool>,
    highest: usize,
    pub verdict: Verdict,
}

impl Sequence {
    pub fn take(&mut self, number: usize) {
        if self.seen.len() <= number {
            self.seen.resize(number + 1, false);
        }
        if std::mem::replace(&mut self.seen[number], true) {
            self.verdict.doubled += 1;
        } else if number < self.highest {
            self.verdict.reordered += 1;
        }
        self.highest = self.highest.max(number);
    }

    /// The verdict once `last` was the last number published.
    pub fn end(&self, last: usize) -> Verdict {
        let missing = (1..=last).filter(|number| !self.seen.get(*number).copied().unwrap_or_default()).count();
        Verdict { lost: missing as u64, ..self.verdict }
    }
}

/// When each event was published, by which version it was answered, and how long answers took.
pub struct Board {
    began: Instant,
    published: Vec<Vec<AtomicU64>>,
    answered_by: Vec<Vec<AtomicU32>>,
    pub last: Vec<AtomicUsize>,
    window: AtomicUsize,
    latencies: [Mutex<Vec<Duration>>; WINDOWS],
}

/// Kinds of windows.
pub const WINDOWS: usize = 3;
const NO_WINDOW: usize = usize::MAX;

impl Board {
    pub fn new() -> Self {
        let table = || (0..IDS).map(|_| (0..ROOM).map(|_| AtomicU64::new(0)).collect()).collect();
        let versions = || (0..IDS).map(|_| (0..ROOM).map(|_| AtomicU32::new(u32::MAX)).collect()).collect();
        Self {
            began: Instant::now(),
            published: table(),
            answered_by: versions(),
            last: (0..IDS).map(|_| AtomicUsize::new(0)).collect(),
            window: AtomicUsize::new(NO_WINDOW),
            latencies: Default::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    /// The next number of this id, published now.
    pub fn publish(&self, id: usize) -> usize {
        let number = self.last[id].load(Ordering::Relaxed) + 1;
        assert!(number < ROOM, "the bench runs longer than it has room for");
        // The window that it belongs to is that of its publishing.
        let window = self.window.load(Ordering::Relaxed).wrapping_add(1) as u64 & 3;
        self.published[id][number].store(self.now() << 2 | window, Ordering::Release);
        self.last[id].store(number, Ordering::Release);
        number
    }

    /// An answer has come. False if another version has answered the same event.
    pub fn answer(&self, id: usize, number: usize, version: u32) -> (bool, Option<(usize, Duration)>) {
        let stamp = self.published[id][number].load(Ordering::Acquire);
        let (at, window) = (stamp >> 2, (stamp & 3) as usize);
        let took = Duration::from_nanos(self.now().saturating_sub(at));
        let first =
            self.answered_by[id][number].compare_exchange(u32::MAX, version, Ordering::AcqRel, Ordering::Acquire);
        let same = first.is_ok() || first == Err(version);
        (same, window.checked_sub(1).filter(|window| *window < WINDOWS).map(|window| (window, took)))
    }

    pub fn keep(&self, window: usize, times: &mut Vec<Duration>) {
        self.latencies[window].lock().unwrap().append(times);
    }

    pub fn window(&self, window: Option<usize>) {
        self.window.store(window.unwrap_or(NO_WINDOW), Ordering::Relaxed);
    }

    /// Of all these windows, in order of size.
    pub fn latencies(&self, windows: &[usize]) -> Vec<Duration> {
        let mut times: Vec<_> =
            windows.iter().flat_map(|window| self.latencies[*window].lock().unwrap().clone()).collect();
        times.sort_unstable();
        times
    }

    pub fn answers(&self) -> usize {
        self.last.iter().map(|last| last.load(Ordering::Relaxed)).sum::<usize>() * 50
    }

    pub fn versions(&self) -> usize {
        let all = self.answered_by.iter().flatten().map(|version| version.load(Ordering::Relaxed));
        all.filter(|version| *version != u32::MAX).collect::<std::collections::BTreeSet<_>>().len()
    }
}

pub fn percentile(sorted: &[Duration], part: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// A judge that cannot find a fault is none.
pub fn self_test() {
    let judged = |numbers: &[usize]| {
        let mut sequence = Sequence::default();
        for number in numbers {
            sequence.take(*number);
        }
        sequence.end(4)
    };
    assert_eq!(judged(&[1, 2, 3, 4]), Verdict::default());
    assert_eq!(judged(&[1, 2, 4]), Verdict { lost: 1, ..Verdict::default() });
    assert_eq!(judged(&[1, 2, 2, 3, 4]), Verdict { doubled: 1, ..Verdict::default() });
    assert_eq!(judged(&[1, 3, 2, 4]), Verdict { reordered: 1, ..Verdict::default() });
    let board = Board::new();
    board.publish(0);
    assert!(board.answer(0, 1, 7).0 && board.answer(0, 1, 7).0 && !board.answer(0, 1, 8).0);
}
