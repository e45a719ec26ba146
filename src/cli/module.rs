//! Modules as the commands look at them: loaded into a sandbox of their own, and in words.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::configuration;
use super::failure::Failure;
use crate::manifest::FieldManifest;
use crate::runtime::config::Overrides;
use crate::sandbox::{self, LoadError, Module, Sandbox};

/// Loads a module under this name, does something with it, and cleans up.
pub(super) async fn with<T>(
    name: &str,
    path: &Path,
    work: impl FnOnce(&Module) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // Where `serve` would look for compiled modules. A configuration that does not hold is not what this is about.
    let cache_dir = configuration(None, Overrides::default()).ok().and_then(|config| config.sandbox.cache_dir);
    let config = sandbox::Config { threads: 1, instances: 1, cache_dir, ..sandbox::Config::default() };
    let sandbox = Sandbox::start(config).map_err(Failure::failed)?;
    let loaded = load(&sandbox, name, path).await;
    let done = loaded.and_then(|module| work(&module));
    sandbox.shutdown().await;
    done
}

async fn load(sandbox: &Sandbox, name: &str, path: &Path) -> Result<Arc<Module>, Failure> {
    let limits = sandbox::Limits { instances: 1, ..sandbox::Limits::default() };
    sandbox.load(name, path, limits).await.map_err(|error| Failure::Failed(refusal(path, &error)))
}

/// Why a file is not loaded, and what to do.
pub(super) fn refusal(path: &Path, error: &LoadError) -> String {
    let file = path.display();
    let is_source = path.extension().is_some_and(|extension| extension == "py");
    match error {
        LoadError::Read(error) if error.kind() == io::ErrorKind::NotFound && is_source => {
            format!("{file} was not found; modules are components, which `subcast build` makes from Python")
        }
        LoadError::Read(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("{file} was not found; `subcast build resolvers.py -o {file}` makes it")
        }
        LoadError::Read(error) => format!("failed to read {file}: {error}"),
        LoadError::Component(_) if is_source => {
            format!("{file} is Python; build it with `subcast build {file}`, and use the component that this makes")
        }
        error => format!("{file} cannot be loaded: {error}"),
    }
}

/// A module, for scripts.
pub(super) fn description(path: &Path, module: &Module) -> Value {
    let manifest = module.manifest();
    json!({
        "path": path,
        "name": module.name(),
        "digest": module.digest(),
        "size": module.size(),
        "sdk": manifest.sdk,
        "capabilities": manifest.capabilities,
        "fields": manifest.fields.iter().map(field).collect::<Vec<_>>(),
        "schema": manifest.schema,
    })
}

fn field(field: &FieldManifest) -> Value {
    let mut value = json!(field);
    value["scope"] = json!(scope(field));
    value
}

/// Who shares the outcomes of a field.
pub(super) fn scope(field: &FieldManifest) -> &'static str {
    if field.context { "principal" } else { "shared" }
}

/// The fields with their channels: `userUpdated (users), orderPlaced (orders:{id})`.
pub(super) fn fields(module: &Module) -> String {
    let fields = module.manifest().fields.iter();
    fields.map(|field| format!("{} ({})", field.name, field.channel)).collect::<Vec<_>>().join(", ")
}
