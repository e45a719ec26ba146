//! What an operator decides about modules and their deployment.

use std::path::PathBuf;

use super::DeployError;
use super::signature::TrustedKey;
use crate::manifest::Manifest;
use crate::text::quoted;
use crate::{graphql, sandbox};

/// Longest name of a module.
const NAME_BYTES: usize = 64;

/// What an operator decides about one module.
#[derive(Clone, Debug)]
pub struct ModuleConfig {
    /// Its name.
    pub name: String,
    /// Its file; `None` for one that is only deployed.
    pub path: Option<PathBuf>,
    /// What its calls and instances may use.
    pub limits: sandbox::Limits,
    /// Channels that it may listen to: exact, or up to a `*` at the end. `None`: those that its manifest asks for.
    pub channels: Option<Vec<String>>,
}

/// What an operator decides about deployments.
#[derive(Clone, Debug)]
pub struct Config {
    /// The configured modules.
    pub modules: Vec<ModuleConfig>,
    /// Limits of modules that are not configured.
    pub presets: sandbox::Limits,
    /// Bounds of documents.
    pub graphql: graphql::Limits,
    /// Where versions are kept; `None`: nowhere beyond this host's life.
    pub store: Option<PathBuf>,
    /// Versions kept per module, the live one included.
    pub versions: usize,
    /// If there are any, a module must be signed by one of them.
    pub trusted_keys: Vec<TrustedKey>,
}

impl Config {
    pub(super) fn module(&self, name: &str) -> Option<&ModuleConfig> {
        self.modules.iter().find(|module| module.name == name)
    }

    pub(super) fn limits(&self, name: &str) -> sandbox::Limits {
        self.module(name).map_or(self.presets, |module| module.limits)
    }
}

/// What a manifest asks for must have been granted.
pub(super) fn check_grants(config: Option<&ModuleConfig>, name: &str, manifest: &Manifest) -> Result<(), DeployError> {
    if let Some(capability) = manifest.capabilities.first() {
        return Err(DeployError::Capability {
            capability: capability.clone(),
            grant: format!(
                "`{capability}` of [[module]] {name} would grant it, and this version does not have that key yet"
            ),
        });
    }
    let Some(channels) = config.and_then(|config| config.channels.as_ref()) else { return Ok(()) };
    let granted = |channel: &str| {
        channels.iter().any(|granted| match granted.strip_suffix('*') {
            // A template counts by what stands before its first argument.
            Some(beginning) => channel.split('{').next().unwrap_or_default().starts_with(beginning),
            None => granted == channel,
        })
    };
    match manifest.fields.iter().find(|field| !granted(&field.channel)) {
        None => Ok(()),
        Some(field) => Err(DeployError::Channel {
            module: name.to_owned(),
            field: field.name.clone(),
            channel: field.channel.clone(),
            place: format!("{}:{} {}", field.file, field.line, field.function),
        }),
    }
}

/// Whether this can be the name of a module.
pub fn check_name(name: &str) -> Result<(), DeployError> {
    let characters = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if characters && name.len() <= NAME_BYTES && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(DeployError::Name(quoted(name, 2 * NAME_BYTES)))
}
