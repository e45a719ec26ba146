//! The circuit breaker of one field: a resolver that has to be stopped again and again is switched off for a while.
//!
//! Closed, calls are made. After [`STRIKES`] stopped calls in a row the circuit opens: events are answered at once, and
//! no call is made. After a pause one call is let through; a good one closes the circuit, another stopped one opens it
//! for twice as long.

use std::time::{Duration, Instant};

/// Calls of a field on probation that had to be stopped, one after the other, before it is switched off. At 100 ms of CPU
/// time each this is about two seconds of a thread.
pub(super) const STRIKES: u32 = 16;
/// The first pause. It doubles each time that the call after it has to be stopped, too.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) enum Circuit {
    /// Calls are made. So many had to be stopped in a row.
    Closed {
        /// In a row.
        strikes: u32,
    },
    /// No call is made.
    Open {
        /// When the next one is.
        until: Instant,
        /// How long it is open for.
        pause: Duration,
    },
    /// One call is on its way.
    HalfOpen {
        /// How long it was open for.
        pause: Duration,
    },
}

/// What a call has done to the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Switched {
    /// Opened, for this long.
    Opened(Duration),
    /// Stays open after a trial, for this long.
    StaysOpen(Duration),
    /// Closed again.
    Closed,
}

impl Circuit {
    /// Whether an event may wait for a call; `idle`: nothing of the field waits or runs. The first one after a pause is
    /// the trial.
    pub(super) fn admits(&mut self, idle: bool, now: Instant) -> bool {
        match *self {
            Self::Closed { .. } => true,
            Self::Open { until, pause } if now >= until => {
                *self = Self::HalfOpen { pause };
                true
            }
            Self::Open { .. } => false,
            // The trial may have expired before it was made: then the next one is it.
            Self::HalfOpen { .. } => idle,
        }
    }

    /// A call went well.
    pub(super) fn good(&mut self) -> Option<Switched> {
        match *self {
            // From before it opened.
            Self::Open { .. } => None,
            Self::HalfOpen { .. } => {
                *self = Self::Closed { strikes: 0 };
                Some(Switched::Closed)
            }
            Self::Closed { .. } => {
                *self = Self::Closed { strikes: 0 };
                None
            }
        }
    }

    /// A call on probation had to be stopped.
    pub(super) fn stopped(&mut self, now: Instant) -> Option<Switched> {
        let (pause, switched) = match *self {
            Self::Open { .. } => return None,
            Self::HalfOpen { pause } => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                (pause, Switched::StaysOpen(pause))
            }
            Self::Closed { strikes } if strikes + 1 >= STRIKES => (PAUSE, Switched::Opened(PAUSE)),
            Self::Closed { strikes } => {
                *self = Self::Closed { strikes: strikes + 1 };
                return None;
            }
        };
        *self = Self::Open { until: now + pause, pause };
        Some(switched)
    }

    /// Whether events are answered without a call.
    pub(super) fn is_open(self) -> bool {
        !matches!(self, Self::Closed { .. })
    }
}

impl Default for Circuit {
    fn default() -> Self {
        Self::Closed { strikes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_many_stopped_calls_in_a_row_and_for_twice_as_long_each_time() {
        let mut now = Instant::now();
        let mut circuit = Circuit::default();
        for _ in 1..STRIKES {
            assert_eq!(circuit.stopped(now), None);
        }
        assert_eq!(circuit.good(), None);
        for _ in 1..STRIKES {
            assert_eq!(circuit.stopped(now), None);
        }
        assert!(circuit.admits(true, now));
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(seconds);
            let switched = if seconds == 1 { Switched::Opened(pause) } else { Switched::StaysOpen(pause) };
            assert_eq!(circuit.stopped(now), Some(switched));
            assert_eq!(circuit.stopped(now), None, "one from before it opened");
            assert_eq!(circuit.good(), None, "one from before it opened");
            assert!(!circuit.admits(true, now) && circuit.is_open());
            now += pause;
            assert!(circuit.admits(true, now), "the trial");
            assert!(!circuit.admits(false, now), "only one");
        }
        assert!(circuit.admits(true, now), "the trial expired before it was made");
        assert_eq!(circuit.good(), Some(Switched::Closed));
        assert!(circuit.admits(false, now) && !circuit.is_open());
    }
}
