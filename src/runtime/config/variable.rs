//! A variable of the environment that begins with `SUBCAST_`: the key that it sets, or what follows if it sets none.

use super::error::ConfigError;
use super::file::unknown_section;
use super::keys::{self, Key, LATER, MODULE, SECTIONS, Section};
use super::settings::Origin;

const PREFIX: &str = "SUBCAST_";

/// How keys end that hold the name of a variable with a secret.
pub(super) const NAMES_A_SECRET: &str = "_env";

/// Last words of variables that hold credentials.
const CREDENTIALS: [&str; 5] = ["TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL"];

/// See the module.
pub(super) struct Variable<'e> {
    pub(super) name: &'e str,
    pub(super) value: &'e str,
    /// What it sets.
    pub(super) sets: Option<(&'static Section, &'static Key)>,
    /// The first word behind the prefix, in lower case: a section, perhaps.
    section: String,
    /// What follows.
    rest: String,
}

impl<'e> Variable<'e> {
    /// `None` for variables of other programs.
    pub(super) fn read(name: &'e str, value: &'e str) -> Option<Self> {
        let lower = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
        let (section, rest) = lower.split_once('_').unwrap_or((&lower, ""));
        let known = keys::section(section).filter(|section| section.name != MODULE);
        let sets = known.and_then(|known| Some((known, known.keys.iter().find(|key| flat(key.name) == rest)?)));
        Some(Self { name, value, sets, section: section.to_owned(), rest: rest.to_owned() })
    }

    /// Whether it sets a key that holds the name of a variable with a secret.
    pub(super) fn names_a_secret(&self) -> bool {
        self.sets.is_some_and(|(_, key)| key.name.ends_with(NAMES_A_SECRET))
    }

    /// Refuses a variable that looks like a key and is none. Returns a sentence about a credential that nothing uses.
    pub(super) fn judge(&self) -> Result<Option<String>, ConfigError> {
        if self.is_service_link() {
            return Ok(None);
        }
        let origin = Origin::Environment(self.name.to_owned());
        if self.section == MODULE {
            let problem = "modules are set in the file or on the command line, not by the environment".to_owned();
            return Err(ConfigError::Value { place: origin.to_string(), problem });
        }
        if let Some(known) = keys::section(&self.section) {
            let secret = known.keys.iter().find(|key| key.name.ends_with(NAMES_A_SECRET));
            return match secret {
                Some(_) if self.is_credential() && !self.is_misspelt(known) => Ok(self.unused()),
                _ => Err(self.refusal(&origin, known)),
            };
        }
        let sections = SECTIONS.iter().map(|section| section.name).chain(LATER.iter().map(|later| later.0));
        let is_misspelt = |known: &str| strsim::osa_distance(known, &self.section) <= known.len() / 4;
        if sections.into_iter().any(is_misspelt) {
            return Err(unknown_section(&origin, &self.section));
        }
        Ok(if self.is_credential() { self.unused() } else { None })
    }

    /// Whether Kubernetes has set it, for a service whose name begins with `subcast`: `SUBCAST_SERVER_SERVICE_HOST`,
    /// `SUBCAST_SERVER_PORT_8000_TCP_ADDR`.
    fn is_service_link(&self) -> bool {
        const ENDS: [&str; 4] = ["", "_ADDR", "_PROTO", "_PORT"];
        let name = self.name;
        let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| self.value.starts_with(scheme));
        let is_port = |port: &str| {
            let rest = port.trim_start_matches(|c: char| c.is_ascii_digit());
            let protocols = ["_TCP", "_UDP", "_SCTP"];
            rest.len() < port.len()
                && protocols.iter().any(|own| rest.strip_prefix(own).is_some_and(|end| ENDS.contains(&end)))
        };
        name.ends_with("_SERVICE_HOST")
            || name.ends_with("_SERVICE_PORT")
            || name.contains("_SERVICE_PORT_")
            || name.ends_with("_PORT") && is_address
            || name.match_indices("_PORT_").any(|(at, word)| is_port(&name[at + word.len()..]))
    }

    /// Whether its name is that of a credential.
    fn is_credential(&self) -> bool {
        let last = self.name.rsplit('_').next().unwrap_or_default().to_ascii_uppercase();
        CREDENTIALS.contains(&last.as_str())
    }

    /// That nothing uses this credential, and which key would; nothing of an empty one.
    fn unused(&self) -> Option<String> {
        if self.value.is_empty() {
            return None;
        }
        let (variable, name) = (self.name, self.name.to_ascii_lowercase());
        let naming = || {
            let keys = SECTIONS.iter().flat_map(|section| section.keys.iter().map(|key| (section.name, key.name)));
            keys.filter(|(_, key)| key.ends_with(NAMES_A_SECRET))
        };
        let is_meant = |(section, key): &(&str, &str)| {
            let table = key.split_once('.').map_or("", |(table, _)| table);
            name.contains(section) || !table.is_empty() && name.contains(table)
        };
        let meant = if let Some((section, key)) = naming().find(is_meant) {
            format!("[{section}] {key} = \"{variable}\" would use it")
        } else {
            let keys: Vec<_> = naming().map(|(section, key)| format!("[{section}] {key}")).collect();
            format!("the keys that name a variable with a secret are {}", keys.join(", "))
        };
        Some(format!("the environment variable {variable} looks like a credential and is not used: {meant}"))
    }

    /// Whether it is another key of this section but for a letter or two.
    fn is_misspelt(&self, section: &'static Section) -> bool {
        let others = section.keys.iter().filter(|key| !key.name.ends_with(NAMES_A_SECRET)).map(|key| flat(key.name));
        others.into_iter().any(|known| strsim::osa_distance(&known, &self.rest) <= known.len() / 4)
    }

    /// The key of a section that is spelt most like this variable, if one is nearly that.
    fn nearest(&self, section: &'static Section) -> Option<&'static str> {
        let likeness = |known: &str| strsim::jaro_winkler(&flat(known), &self.rest);
        let keys = section.keys.iter().map(|key| key.name);
        keys.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|nearest| likeness(nearest) > 0.8)
    }

    /// That the section has no such key, or not yet.
    fn refusal(&self, origin: &Origin, section: &'static Section) -> ConfigError {
        let later = |later: &&(&str, &str, &str)| later.0 == section.name && flat(later.1) == self.rest;
        if let Some((_, name, instead)) = LATER.iter().find(later) {
            return ConfigError::NotYet { place: origin.place(section.name, name), instead: (*instead).to_owned() };
        }
        let suggestion = match self.nearest(section) {
            Some(nearest) => {
                format!("did you mean {}?", format!("{PREFIX}{}_{}", section.name, flat(nearest)).to_ascii_uppercase())
            }
            None => "`subcast config reference` prints all keys".to_owned(),
        };
        ConfigError::UnknownKey {
            place: origin.to_string(),
            section: section.name.to_owned(),
            key: self.rest.clone(),
            suggestion,
        }
    }
}

/// A name as part of a variable's.
fn flat(name: &str) -> String {
    name.replace('.', "_")
}
