//! For how long the guest whose turn it is has computed.
//!
//! Ticks alone do not tell: a host function that works for a guest (it writes what the guest prints, it draws random
//! bytes) lets ticks go by without a look at them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

const UNKNOWN: u64 = u64::MAX;

/// CPU time of this thread since a moment. Used by one thread; atomic, because what belongs to a store must be `Sync`.
#[derive(Debug)]
pub(super) struct TurnClock {
    /// Nanoseconds of the thread's CPU clock.
    began: AtomicU64,
}

impl Default for TurnClock {
    fn default() -> Self {
        Self { began: AtomicU64::new(UNKNOWN) }
    }
}

impl TurnClock {
    pub(super) fn begin(&self) {
        self.began.store(thread_time(), Ordering::Relaxed);
    }

    pub(super) fn forget(&self) {
        self.began.store(UNKNOWN, Ordering::Relaxed);
    }

    /// Since the beginning, unless it is forgotten.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        let began = self.began.load(Ordering::Relaxed);
        (began != UNKNOWN).then(|| Duration::from_nanos(thread_time().saturating_sub(began)))
    }
}

fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or_default() * 1_000_000_000 + nanoseconds.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_work_and_not_sleep() {
        let clock = TurnClock::default();
        assert_eq!(clock.elapsed(), None);
        clock.begin();
        std::thread::sleep(Duration::from_millis(20));
        assert!(clock.elapsed().unwrap() < Duration::from_millis(10));
        let before = clock.elapsed().unwrap();
        let mut number = 1_u64;
        while clock.elapsed().unwrap() < before + Duration::from_millis(2) {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        clock.forget();
        assert_eq!(clock.elapsed(), None);
    }
}
