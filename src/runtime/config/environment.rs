//! Reads the environment: `SUBCAST_SECTION_KEY`, and the secrets that keys name.
//!
//! `SUBCAST_DELIVERY_OUTBOX_BYTES` is `[delivery] outbox = { bytes = … }`. Other variables may begin with `SUBCAST_` too,
//! so one whose section is unknown is left alone, unless it looks like a known one that is misspelt. A variable with a
//! secret may have any name: it sets no key. A credential that nothing uses is told, and does not stop the start.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::keys::SECTIONS;
use super::layers::Layers;
use super::secret::Secret;
use super::settings::{Origin, Raw};
use super::variable::{NAMES_A_SECRET, Variable};

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

    /// The same for a secret that requests show in a header.
    pub(super) fn token(&self, place: String, variable: String, at_least: usize) -> Result<Secret, ConfigError> {
        let token = self.secret(place.clone(), variable.clone(), at_least)?;
        if token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(token);
        }
        let problem = "holds characters that no header has: use visible ASCII characters without spaces".to_owned();
        Err(ConfigError::Secret { place, variable, problem })
    }
}

impl Layers {
    /// Adds what the environment sets. Returns sentences about credentials that nothing uses.
    pub(super) fn add_environment(&mut self, environment: &Environment) -> Result<Vec<String>, ConfigError> {
        let all = environment.0.iter();
        let mut variables: Vec<_> = all.filter_map(|(name, value)| Variable::read(name, value)).collect();
        // Those that name secrets come first, because a variable with a secret sets nothing.
        for naming in [true, false] {
            let secrets = self.names_of_secrets()?;
            variables.retain(|variable| !secrets.iter().any(|secret| secret == variable.name));
            for variable in variables.iter().filter(|variable| variable.names_a_secret() == naming) {
                if let Some((section, key)) = variable.sets {
                    let origin = Origin::Environment(variable.name.to_owned());
                    self.section(section.name).set(key.name, Raw::Text(variable.value.to_owned()), origin);
                }
            }
        }
        let mut warnings = Vec::new();
        for variable in variables.iter().filter(|variable| variable.sets.is_none()) {
            warnings.extend(variable.judge()?);
        }
        Ok(warnings)
    }

    /// The variables with secrets.
    fn names_of_secrets(&mut self) -> Result<Vec<String>, ConfigError> {
        let mut names = Vec::new();
        for section in SECTIONS {
            for key in section.keys.iter().filter(|key| key.name.ends_with(NAMES_A_SECRET)) {
                names.extend(self.section(section.name).given::<String>(key.name)?);
            }
        }
        Ok(names)
    }
}
