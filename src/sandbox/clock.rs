//! Clocks for guests that the operator does not trust: too coarse to time what shares the machine with them.

use std::time::{Duration, Instant, SystemTime};

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// Both clocks of WASI, rounded down to multiples of a resolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct CoarseClock {
    resolution: Duration,
    began: Instant,
}

impl CoarseClock {
    /// The resolution must not be zero.
    pub(super) fn new(resolution: Duration) -> Self {
        Self { resolution, began: Instant::now() }
    }

    fn floor(&self, time: Duration) -> Duration {
        let resolution = self.resolution.as_nanos().max(1);
        let nanoseconds = time.as_nanos() / resolution * resolution;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl HostMonotonicClock for CoarseClock {
    fn resolution(&self) -> u64 {
        nanoseconds(self.resolution)
    }

    fn now(&self) -> u64 {
        nanoseconds(self.floor(self.began.elapsed()))
    }
}

impl HostWallClock for CoarseClock {
    fn resolution(&self) -> Duration {
        self.resolution
    }

    fn now(&self) -> Duration {
        self.floor(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_move_in_steps_of_the_resolution() {
        let clock = CoarseClock::new(Duration::from_millis(2));
        std::thread::sleep(Duration::from_millis(3));
        let (monotonic, wall) = (HostMonotonicClock::now(&clock), HostWallClock::now(&clock));
        assert!(monotonic >= 2_000_000 && monotonic.is_multiple_of(2_000_000), "{monotonic}");
        assert!(wall.as_secs() > 1_700_000_000 && wall.as_nanos().is_multiple_of(2_000_000), "{wall:?}");
        assert_eq!(HostMonotonicClock::resolution(&clock), 2_000_000);
    }
}
