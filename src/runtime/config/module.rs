//! The modules of a configuration: those of the file, or those named on the command line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ModuleFile;
use super::ceiling::Ceiling;
use super::error::ConfigError;
use super::layers::Layers;
use super::setting::{Choice, ClockResolution, Count, Interval, Size};
use super::settings::Settings;
use crate::sandbox;
use crate::sandbox::Isolation;

/// A module of resolvers: where it is, and what each call may use.
#[derive(Clone, Debug)]
pub struct ModuleConfig {
    /// What it is called in logs and errors.
    pub name: String,
    /// The component; `None` for one that is only deployed.
    pub path: Option<PathBuf>,
    /// Channels that it may listen to; `None`: those that it asks for.
    pub channels: Option<Vec<String>>,
    /// Whether a new file is deployed as soon as it is there.
    pub watch: bool,
    limits: sandbox::Limits,
}

impl ModuleConfig {
    /// What its calls and instances may use.
    #[must_use]
    pub fn limits(&self) -> sandbox::Limits {
        self.limits
    }

    fn read(settings: &Settings, folder: &Path, ceiling: &Ceiling) -> Result<Self, ConfigError> {
        let limits = limits(settings, ceiling)?;
        let path = settings.given_path("path", folder)?;
        let name = match settings.given::<String>("name")? {
            Some(name) if name.chars().all(is_name_character) => name,
            Some(name) => {
                let problem = format!("expected letters, digits, `-`, `_` and `.`, found {name:?}");
                return Err(settings.wrong("name", problem));
            }
            None => path.as_deref().map(module_name).ok_or_else(|| ConfigError::Missing {
                place: settings.place("path"),
                key: "path",
                hint: "write the component's file, for example path = \"users.wasm\", or the `name` under which it will be deployed",
            })?,
        };
        let (channels, watch) = (settings.given("channels")?, settings.read("watch")?);
        if watch && path.is_none() {
            return Err(settings.wrong("watch", "there is no `path` to watch".to_owned()));
        }
        Ok(Self { name, path, channels, watch, limits })
    }
}

/// The name of a module that was given as a file: `users` for `build/users.wasm`.
#[must_use]
pub fn module_name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    stem.chars().map(|c| if is_name_character(c) { c } else { '-' }).collect()
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// All modules. Those of the command line take the place of those of the file; one that has the name of one of the file
/// keeps its keys.
pub(super) fn modules(
    layers: &Layers,
    folder: &Path,
    named: Vec<ModuleFile>,
    ceiling: &Ceiling,
) -> Result<Vec<ModuleConfig>, ConfigError> {
    let mut modules = Vec::new();
    for settings in &layers.modules {
        modules.push(ModuleConfig::read(settings, folder, ceiling)?);
    }
    if !named.is_empty() {
        let presets = presets(layers, ceiling)?;
        let mut described: HashMap<String, ModuleConfig> =
            modules.drain(..).map(|module| (module.name.clone(), module)).collect();
        modules.extend(named.into_iter().map(|ModuleFile { name, path }| match described.remove(&name) {
            Some(module) => ModuleConfig { path: Some(path), ..module },
            None => ModuleConfig { name, path: Some(path), channels: None, watch: false, limits: presets },
        }));
    }
    for (index, module) in modules.iter().enumerate() {
        if let Some(first) = modules[..index].iter().find(|first| first.name == module.name) {
            return Err(ConfigError::SameName {
                name: module.name.clone(),
                first: first.path.clone().unwrap_or_default(),
                second: module.path.clone().unwrap_or_default(),
            });
        }
    }
    Ok(modules)
}

/// Limits of a module that nobody configured.
pub(super) fn presets(layers: &Layers, ceiling: &Ceiling) -> Result<sandbox::Limits, ConfigError> {
    limits(&layers.no_module(), ceiling)
}

fn limits(settings: &Settings, ceiling: &Ceiling) -> Result<sandbox::Limits, ConfigError> {
    let limits = sandbox::Limits {
        cpu: interval(settings, "cpu")?,
        wall: interval(settings, "wall")?,
        memory: settings.read::<Size>("memory")?.0,
        output: settings.read::<Size>("output")?.0,
        instances: settings.read::<Count>("instances")?.0,
        log_bytes: settings.read::<Size>("log_bytes")?.0,
        isolation: settings.read("isolation")?,
        queue: settings.read::<Count>("queue")?.0,
        patience: interval(settings, "patience")?,
        clock: settings.read::<ClockResolution>("clock")?.0,
        ..sandbox::Limits::default()
    };
    ceiling.check(settings, &limits)?;
    if limits.cpu > limits.wall {
        let problem = format!(
            "cpu ({:?}) can never be used up, because wall ({:?}) ends the call before: raise wall",
            limits.cpu, limits.wall
        );
        let key = settings.first_given(&["cpu", "wall"]).unwrap_or("cpu");
        return Err(settings.wrong(key, problem));
    }
    Ok(limits)
}

fn interval(settings: &Settings, key: &'static str) -> Result<Duration, ConfigError> {
    Ok(settings.read::<Interval>(key)?.0)
}

impl Choice for Isolation {
    const NAMES: &'static [(&'static str, Self)] =
        &[("shared", Self::Shared), ("per-tenant", Self::PerTenant), ("per-call", Self::PerCall)];
}
