//! What no module of the host may go beyond, whatever its own table says.

use std::time::Duration;

use super::error::ConfigError;
use super::setting::{Count, Interval, Size};
use super::settings::Settings;
use crate::sandbox::Limits;

/// Most that a module may be given of each of its limits.
#[derive(Debug)]
pub(super) struct Ceiling {
    bounds: Vec<Bound>,
}

/// The ceiling of one limit.
#[derive(Debug)]
struct Bound {
    /// The limit's key in `[[module]]`.
    key: &'static str,
    most: Amount,
    /// Where the ceiling was set.
    place: String,
    of: fn(&Limits) -> Amount,
}

/// How much of something; compared within one kind only.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Amount {
    Time(Duration),
    Bytes(usize),
    Count(usize),
}

impl Ceiling {
    /// From `[sandbox]`.
    pub(super) fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let time = |key| Ok(Amount::Time(settings.read::<Interval>(key)?.0));
        let bytes = |key| Ok(Amount::Bytes(settings.read::<Size>(key)?.0));
        let count = |key| Ok(Amount::Count(settings.read::<Count>(key)?.0));
        let bound = |key, name: &'static str, most: Result<Amount, ConfigError>, of| {
            Ok(Bound { key, most: most?, place: settings.place(name), of })
        };
        let bounds: Result<Vec<Bound>, ConfigError> = [
            bound("cpu", "ceiling.cpu", time("ceiling.cpu"), |limits: &Limits| Amount::Time(limits.cpu)),
            bound("wall", "ceiling.wall", time("ceiling.wall"), |limits| Amount::Time(limits.wall)),
            bound("memory", "ceiling.memory", bytes("ceiling.memory"), |limits| Amount::Bytes(limits.memory)),
            bound("output", "ceiling.output", bytes("ceiling.output"), |limits| Amount::Bytes(limits.output)),
            bound("instances", "ceiling.instances", count("ceiling.instances"), |limits| {
                Amount::Count(limits.instances)
            }),
            bound("log_bytes", "ceiling.log_bytes", bytes("ceiling.log_bytes"), |limits| {
                Amount::Bytes(limits.log_bytes)
            }),
            bound("queue", "ceiling.queue", count("ceiling.queue"), |limits| Amount::Count(limits.queue)),
            bound("patience", "ceiling.patience", time("ceiling.patience"), |limits| Amount::Time(limits.patience)),
        ]
        .into_iter()
        .collect();
        Ok(Self { bounds: bounds? })
    }

    /// That a module stays below. `settings` are what its limits were read from.
    pub(super) fn check(&self, settings: &Settings, limits: &Limits) -> Result<(), ConfigError> {
        for Bound { key, most, place, of } in &self.bounds {
            let wanted = of(limits);
            if wanted > *most {
                let unset = if settings.first_given(&[key]).is_none() { " (its preset)" } else { "" };
                let problem =
                    format!("{key} = {wanted}{unset} is more than this host allows: ceiling.{key} is {most} ({place})");
                return Err(settings.wrong(key, problem));
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Amount {
    /// As it is written in the file.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time(time) => write!(f, "\"{time:?}\""),
            Self::Count(count) => write!(f, "{count}"),
            Self::Bytes(bytes) => {
                let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
                let unit = units.into_iter().find(|(shift, _)| bytes.trailing_zeros() >= *shift);
                let (shift, unit) = unit.unwrap_or((0, "B"));
                write!(f, "\"{}{unit}\"", bytes >> shift)
            }
        }
    }
}
