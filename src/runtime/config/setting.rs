//! How values are written: durations, sizes, counts, addresses, choices.
//!
//! In the file a value has a TOML type; in the environment everything is text. A refusal says what was expected, with an
//! example, and what was found.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use crate::sandbox::COARSE;

/// A value that can be read from a file or from the environment.
pub(super) trait Setting: Sized {
    /// What is expected, for the refusal.
    const EXPECTED: &'static str;

    /// Reads it from text: a string in the file, or a variable of the environment.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads it from a value in the file.
    fn from_toml(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::from_text(text),
            other => Err(mismatch::<Self>(other)),
        }
    }
}

fn mismatch<T: Setting>(found: &Value) -> String {
    let found = match found {
        Value::Array(_) => "an array".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        scalar => scalar.to_string(),
    };
    format!("expected {}, found {found}", T::EXPECTED)
}

fn mismatched_text<T: Setting>(text: &str) -> String {
    format!("expected {}, found {text:?}", T::EXPECTED)
}

/// The number in front of a unit, and the unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim_start()))
}

/// A clock that is coarser tells a guest nothing.
const COARSEST: Duration = Duration::from_secs(1);

/// Longer than anybody waits, short enough to be added to any clock.
const LONGEST: Duration = Duration::from_hours(366 * 24);

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration such as \"50ms\", \"3s\" or \"10m\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text).ok_or_else(|| mismatched_text::<Self>(text))?;
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "" => return Err(format!("{}: a unit is missing", mismatched_text::<Self>(text))),
            _ => return Err(format!("{}: units are ms, s, m and h", mismatched_text::<Self>(text))),
        };
        let duration = number.checked_mul(milliseconds).map(Self::from_millis);
        duration.filter(|duration| *duration <= LONGEST).ok_or_else(|| format!("{text:?} is longer than a year"))
    }
}

/// A duration that is not zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval(pub(super) Duration);

impl Setting for Interval {
    const EXPECTED: &'static str = Duration::EXPECTED;

    fn from_text(text: &str) -> Result<Self, String> {
        match Duration::from_text(text)? {
            Duration::ZERO => Err(format!("{text:?} is too short: it must be at least \"1ms\"")),
            duration => Ok(Self(duration)),
        }
    }
}

/// What a guest's clocks are rounded to; zero: nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockResolution(pub(super) Duration);

impl Setting for ClockResolution {
    const EXPECTED: &'static str = "\"exact\", \"coarse\" or a resolution such as \"10ms\"";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "exact" => Ok(Self(Duration::ZERO)),
            "coarse" => Ok(Self(COARSE)),
            _ if text.starts_with(|first: char| first.is_ascii_digit()) => {
                let resolution = Interval::from_text(text)?.0;
                let fits = resolution <= COARSEST;
                fits.then_some(Self(resolution)).ok_or_else(|| format!("{text:?} is too coarse: at most \"1s\""))
            }
            _ => Err(mismatched_text::<Self>(text)),
        }
    }
}

/// A number of bytes, not zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) usize);

impl Setting for Size {
    const EXPECTED: &'static str = "a size such as \"512B\", \"64KiB\" or \"1MiB\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text).ok_or_else(|| mismatched_text::<Self>(text))?;
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "" => return Err(format!("{}: a unit is missing", mismatched_text::<Self>(text))),
            _ => return Err(format!("{}: units are B, KiB, MiB and GiB", mismatched_text::<Self>(text))),
        };
        let bytes = number.checked_mul(1 << shift).and_then(|bytes| usize::try_from(bytes).ok());
        match bytes {
            None => Err(format!("{text:?} is more than this machine can address")),
            Some(0) => Err(format!("{text:?} is too small: it must be at least \"1B\"")),
            Some(bytes) => Ok(Self(bytes)),
        }
    }
}

/// How many of something, at least one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) usize);

impl Count {
    /// More than any counter here is made for.
    const MOST: u32 = u32::MAX;

    fn new(number: i64) -> Result<Self, String> {
        match usize::try_from(number) {
            Ok(count @ 1..) if number <= i64::from(Self::MOST) => Ok(Self(count)),
            _ => Err(format!("{number} is out of range: it must be at least 1 and at most {}", Self::MOST)),
        }
    }
}

impl Setting for Count {
    const EXPECTED: &'static str = "a whole number, at least 1";

    fn from_text(text: &str) -> Result<Self, String> {
        Self::new(text.parse::<i64>().map_err(|_| mismatched_text::<Self>(text))?)
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        value.as_integer().map_or_else(|| Err(mismatch::<Self>(value)), Self::new)
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| mismatched_text::<Self>(text))
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| mismatch::<Self>(value))
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "text that is not empty";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Err(mismatched_text::<Self>(text)) } else { Ok(text.to_owned()) }
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err(mismatched_text::<Self>(text)) } else { Ok(Self::from(text)) }
    }
}

impl Setting for SocketAddr {
    const EXPECTED: &'static str = "an address with a port such as \"127.0.0.1:8000\" or \"[::1]:8000\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| mismatched_text::<Self>(text))
    }
}

/// The origin of a web page, as browsers send it; or `*` for all.
#[derive(Clone, Debug)]
pub(super) struct WebOrigin(pub(super) String);

impl Setting for WebOrigin {
    const EXPECTED: &'static str = "an origin such as \"https://app.example.com\", or \"*\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' '])
        });
        if is_origin || text == "*" { Ok(Self(text.to_owned())) } else { Err(mismatched_text::<Self>(text)) }
    }
}

/// Directives of the log: levels, for all or per part.
#[derive(Clone, Debug)]
pub(super) struct LogDirectives(pub(super) String);

impl Setting for LogDirectives {
    const EXPECTED: &'static str =
        "off, error, warn, info, debug or trace, or levels per part such as \"info,subcast::session=debug\"";

    fn from_text(text: &str) -> Result<Self, String> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        // The filter takes a bare word that is no level for a part of the program, and would log nothing for `inf`.
        let is_directive = |directive: &str| directive.contains('=') || LEVELS.contains(&directive);
        let known = text.split(',').map(str::trim).all(is_directive);
        if known && tracing_subscriber::EnvFilter::try_new(text).is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(mismatched_text::<Self>(text))
        }
    }
}

/// A list; in the environment its items are separated by commas.
impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = "a list in brackets";

    fn from_text(text: &str) -> Result<Self, String> {
        text.split(',').map(|item| T::from_text(item.trim())).collect()
    }

    fn from_toml(value: &Value) -> Result<Self, String> {
        value.as_array().ok_or_else(|| mismatch::<Self>(value))?.iter().map(T::from_toml).collect()
    }
}

/// One of a few names.
pub(super) trait Choice: Copy + 'static {
    /// Each name with what it stands for.
    const NAMES: &'static [(&'static str, Self)];
    /// Names that a later version brings.
    const LATER: &'static [&'static str] = &[];
}

impl<T: Choice> Setting for T {
    const EXPECTED: &'static str = "a name in quotes";

    fn from_text(text: &str) -> Result<Self, String> {
        if let Some((_, choice)) = T::NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(*choice);
        }
        if T::LATER.contains(&text) {
            return Err(format!("{text:?} is not supported yet in this version; use {}", names::<T>()));
        }
        Err(format!("expected {}, found {text:?}", names::<T>()))
    }
}

fn names<T: Choice>() -> String {
    let quoted: Vec<_> = T::NAMES.iter().map(|(name, _)| format!("{name:?}")).collect();
    quoted.join(" or ")
}
