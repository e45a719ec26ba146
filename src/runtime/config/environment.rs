//! Reads the environment: `SUBCAST_SECTION_KEY`, and the secrets that keys name.
//!
//! `SUBCAST_DELIVERY_OUTBOX_BYTES` is `[delivery] outbox = { bytes = … }`. Other variables may begin with `SUBCAST_` too,
//! so one whose section is unknown is left alone, unless it looks like a known one that is misspelt.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::file::unknown_section;
use super::keys::{self, LATER, MODULE, SECTIONS, Section};
use super::layers::Layers;
use super::secret::Secret;
use super::settings::{Origin, Raw};

const PREFIX: &str = "SUBCAST_";

/// Variables that look like keys and are none: the tokens that the command line sends.
const TOKENS: [&str; 2] = ["SUBCAST_PUBLISH_TOKEN", "SUBCAST_ADMIN_TOKEN"];

/// Keys that hold the name of a variable.
pub(super) const NAMES_OF_SECRETS: [(&str, &str); 2] = [("auth", "jwt.secret_env"), ("publish", "token_env")];

/// The environment as it was at the start.
#[derive(Debug, Default)]
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The secret in this variable, of at least so many bytes. `place` is the key that names it.
    pub(super) fn secret(&self, place: String, variable: String, at_least: usize) -> Result<Secret, ConfigError> {
        let problem = match self.0.get(&variable).map(String::as_str) {
            None | Some("") => "is not set".to_owned(),
            Some(text) if text.trim() != text => "begins or ends with white space".to_owned(),
            Some(text) if text.len() < at_least => {
                format!("holds {} bytes; the secret must have at least {at_least}", text.len())
            }
            Some(text) => return Ok(Secret::new(text.to_owned())),
        };
        Err(ConfigError::Secret { place, variable, problem })
    }
}

impl Layers {
    /// Adds what the environment sets.
    pub(super) fn add_environment(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        let mut unknown = Vec::new();
        for (variable, value) in &environment.0 {
            let Some(name) = variable.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else { continue };
            let (section, key) = name.split_once('_').unwrap_or((&name, ""));
            let origin = Origin::Environment(variable.clone());
            let known = keys::section(section).filter(|section| section.name != MODULE);
            match known.and_then(|section| section.keys.iter().find(|known| flat(known.name) == key)) {
                Some(key) => self.section(section).set(key.name, Raw::Text(value.clone()), origin),
                None => unknown.push((variable, section.to_owned(), key.to_owned())),
            }
        }
        // Only now is it known which of them hold secrets.
        let mut secrets = Vec::from(TOKENS.map(str::to_owned));
        for (section, key) in NAMES_OF_SECRETS {
            secrets.extend(self.section(section).given::<String>(key)?);
        }
        unknown.retain(|(variable, ..)| !secrets.contains(variable));
        unknown.iter().find_map(|(variable, section, key)| refuse(variable, section, key)).map_or(Ok(()), Err)
    }
}

/// Why a variable that sets nothing is an error, if it is one.
fn refuse(variable: &str, section: &str, key: &str) -> Option<ConfigError> {
    let origin = Origin::Environment(variable.to_owned());
    if section == MODULE {
        let problem = "modules are set in the file or on the command line, not by the environment".to_owned();
        return Some(ConfigError::Value { place: origin.to_string(), problem });
    }
    if let Some(known) = keys::section(section) {
        return Some(refuse_key(&origin, known, key));
    }
    let sections = SECTIONS.iter().map(|section| section.name).chain(LATER.iter().map(|later| later.0));
    let is_misspelt = |known: &str| strsim::osa_distance(known, section) <= known.len() / 4;
    sections.into_iter().any(is_misspelt).then(|| unknown_section(&origin, section))
}

fn refuse_key(origin: &Origin, section: &Section, key: &str) -> ConfigError {
    if let Some((_, name, instead)) = LATER.iter().find(|later| later.0 == section.name && flat(later.1) == key) {
        return ConfigError::NotYet { place: origin.place(section.name, name), instead: (*instead).to_owned() };
    }
    let variable = |name: &str| format!("{PREFIX}{}_{}", section.name, flat(name)).to_ascii_uppercase();
    let likeness = |known: &str| strsim::jaro_winkler(&flat(known), key);
    let nearest = section.keys.iter().max_by(|a, b| likeness(a.name).total_cmp(&likeness(b.name)));
    let suggestion = match nearest.filter(|nearest| likeness(nearest.name) > 0.8) {
        Some(nearest) => format!("did you mean {}?", variable(nearest.name)),
        None => "`subcast config reference` prints all keys".to_owned(),
    };
    ConfigError::UnknownKey {
        place: origin.to_string(),
        section: section.name.to_owned(),
        key: key.to_owned(),
        suggestion,
    }
}

/// A name as part of a variable's.
fn flat(name: &str) -> String {
    name.replace('.', "_")
}
