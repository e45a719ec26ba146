//! Whether the client is still there.

use std::time::Instant;

use super::Config;

/// Silence, then a ping, then a last chance.
#[derive(Debug)]
pub(super) enum KeepAlive {
    /// The client said something then.
    Heard(Instant),
    /// It was asked then, and has said nothing since.
    Asked(Instant),
}

/// What silence has come to.
pub(super) enum Silence {
    /// Not long enough to matter.
    Short,
    /// Time to ask.
    Ask,
    /// Nobody there.
    Dead,
}

impl KeepAlive {
    pub(super) fn deadline(&self, config: &Config) -> Instant {
        match *self {
            Self::Heard(then) => then + config.ping_interval,
            Self::Asked(then) => then + config.pong_timeout,
        }
    }

    /// Looks at the clock, and remembers having asked.
    pub(super) fn handle_timeout(&mut self, config: &Config, now: Instant) -> Silence {
        if now < self.deadline(config) {
            return Silence::Short;
        }
        match *self {
            Self::Heard(_) => {
                *self = Self::Asked(now);
                Silence::Ask
            }
            Self::Asked(_) => Silence::Dead,
        }
    }
}
