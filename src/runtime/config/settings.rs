//! What was set, where, and the value that holds in the end: flags before environment before file before presets.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Value;

use super::error::ConfigError;
use super::keys::{Preset, Section};
use super::setting::Setting;

/// Where a value was set.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// In the file, on this line.
    File(Arc<PathBuf>, usize),
    /// By the application that embeds the host.
    Argument,
    /// By this variable.
    Environment(String),
    /// By this flag of the command line.
    Flag(&'static str),
}

impl Origin {
    /// Where a key stands, for errors.
    pub(super) fn place(&self, section: &str, key: &str) -> String {
        match self {
            Self::File(..) | Self::Argument if key.is_empty() => format!("{self}: [{section}]"),
            Self::File(..) | Self::Argument => format!("{self}: [{section}] {key}"),
            Self::Environment(_) | Self::Flag(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Argument => f.write_str("argument config"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value as it was set.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    Toml(Value),
    Text(String),
}

/// What was set of one section.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    section: &'static Section,
    /// Where the section begins, if the file has it.
    begins: Option<Origin>,
    given: HashMap<&'static str, (Raw, Origin)>,
}

impl Settings {
    /// Nothing set yet.
    pub(super) fn new(section: &'static Section, begins: Option<Origin>) -> Self {
        Self { section, begins, given: HashMap::new() }
    }

    /// Sets a key; what was set before loses.
    pub(super) fn set(&mut self, key: &'static str, value: Raw, origin: Origin) {
        self.given.insert(key, (value, origin));
    }

    /// The value of a key that somebody set.
    pub(super) fn given<T: Setting>(&self, key: &'static str) -> Result<Option<T>, ConfigError> {
        let Some((raw, _)) = self.given.get(key) else { return Ok(None) };
        let value = match raw {
            Raw::Toml(value) => T::from_toml(value),
            Raw::Text(text) => T::from_text(text),
        };
        value.map(Some).map_err(|problem| self.wrong(key, problem))
    }

    /// The value of a key that has a preset.
    pub(super) fn read<T: Setting>(&self, key: &'static str) -> Result<T, ConfigError> {
        if let Some(value) = self.given(key)? {
            return Ok(value);
        }
        match self.section.key(key).map(|key| key.preset) {
            Some(Preset::Is(text) | Preset::Within(text)) => {
                T::from_toml(&literal(text)).map_err(|problem| self.wrong(key, problem))
            }
            Some(Preset::Unset(_)) | None => {
                unreachable!("[{}] {key} is read as if it had a preset; a test reads them all", self.section.name)
            }
        }
    }

    /// A path that somebody set: relative to `folder` if it stands in the file.
    pub(super) fn given_path(&self, key: &'static str, folder: &Path) -> Result<Option<PathBuf>, ConfigError> {
        let path = self.given::<PathBuf>(key)?;
        let in_file = self.given.get(key).is_some_and(|(_, origin)| matches!(origin, Origin::File(..)));
        Ok(path.map(|path| if in_file { folder.join(path) } else { path }))
    }

    /// That the value of a key cannot be.
    pub(super) fn wrong(&self, key: &'static str, problem: String) -> ConfigError {
        ConfigError::Value { place: self.place(key), problem }
    }

    /// Where a key stands: where it was set, or else its section.
    pub(super) fn place(&self, key: &'static str) -> String {
        let name = self.section.name;
        match (self.given.get(key), &self.begins) {
            (Some((_, origin)), _) => origin.place(name, key),
            (None, Some(begins)) => begins.place(name, ""),
            (None, None) => format!("[{name}] {key}"),
        }
    }

    /// The first of these keys that somebody set.
    pub(super) fn first_given(&self, keys: &[&'static str]) -> Option<&'static str> {
        keys.iter().copied().find(|key| self.given.contains_key(key))
    }
}

/// A value of the table of keys.
fn literal(text: &str) -> Value {
    use serde::Deserialize;
    let parsed = toml::de::ValueDeserializer::parse(text).and_then(Value::deserialize);
    parsed.expect("presets are TOML; a test reads them all")
}
