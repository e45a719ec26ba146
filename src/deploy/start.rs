//! What is live when the host starts: the configured files, unless something else was deployed in their place.
//!
//! A deployed version counts for as long as the configured file is the one that it took the place of. Once somebody has put
//! another file there, that one is served: it is the newer decision.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::record::Records;
use super::store::{self, StoreError};
use super::{Config, DeployError, ModuleConfig, check_grants, signature};
use crate::sandbox::{LoadError, Module, Sandbox};

/// Why the host does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A module.
    #[error("failed to load module `{name}` from {path}: {source}", path = path.display())]
    Load {
        /// The module's name.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Why.
        source: DeployError,
    },
    /// Where versions are kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The modules, in the order of the configuration.
    pub modules: Vec<Arc<Module>>,
    pub(super) records: Records,
}

/// Loads every module that is to be live.
pub async fn load(sandbox: &Sandbox, config: &Config) -> Result<Loaded, StartError> {
    let mut records = Records::open(config.store.clone(), config.versions)?;
    let mut modules = Vec::new();
    for module in &config.modules {
        if let Some(loaded) = configured(sandbox, config, module, &mut records).await? {
            modules.push(loaded);
        }
    }
    let others: Vec<String> = records.names().filter(|name| config.module(name).is_none()).map(str::to_owned).collect();
    for name in others {
        // One that had been configured, and is not any more, was taken out on purpose.
        if records.get(&name).is_some_and(|record| record.configured.is_none())
            && let Some(loaded) = deployed(sandbox, config, &name, &mut records).await
        {
            modules.push(loaded);
        }
    }
    Ok(Loaded { modules, records })
}

/// The configured module's file, or what was deployed in its place; `None` if it is not to be live.
async fn configured(
    sandbox: &Sandbox,
    config: &Config,
    module: &ModuleConfig,
    records: &mut Records,
) -> Result<Option<Arc<Module>>, StartError> {
    let name = &module.name;
    let Some(path) = &module.path else { return Ok(deployed(sandbox, config, name, records).await) };
    let failed = |source: DeployError| StartError::Load { name: name.clone(), path: path.clone(), source };
    let read = |error| failed(DeployError::Load(LoadError::Read(error)));
    let mut file = File::open(path).map_err(read)?;
    let (digest, size) = store::hash(&mut file).map_err(read)?;
    let record = records.get(name);
    let overrules = record
        .is_some_and(|record| record.configured.as_ref() == Some(&digest) && record.live.as_ref() != Some(&digest));
    if overrules {
        let removed = record.is_some_and(|record| record.live.is_none());
        records.overruled(name, &digest);
        if removed {
            tracing::warn!(module = %name, "the module was removed by an operator, and is not served; deploy it to have it again");
            return Ok(None);
        }
        if let Some(loaded) = deployed(sandbox, config, name, records).await {
            return Ok(Some(loaded));
        }
        tracing::error!(module = %name, path = %path.display(), "serving the configured file in its place");
    }
    let signature = signature::beside(path).map_err(read)?;
    signature::verify(&config.trusted_keys, &digest, signature.as_deref()).map_err(|error| failed(error.into()))?;
    let loaded = sandbox.load(name, path, module.limits).await.map_err(|error| failed(error.into()))?;
    if loaded.digest() != digest {
        return Err(read(std::io::Error::other("it was replaced while it was being loaded; start again")));
    }
    check_grants(Some(module), name, loaded.manifest()).map_err(failed)?;
    records.loaded(name, file, &digest, size, signature);
    Ok(Some(loaded))
}

/// The version that was deployed last; `None`, with a word in the log, if it cannot be had.
async fn deployed(sandbox: &Sandbox, config: &Config, name: &str, records: &mut Records) -> Option<Arc<Module>> {
    let live = records.get(name)?.live.clone()?;
    let loaded = async {
        let (version, path) = records.earlier(name, Some(&live))?;
        signature::verify(&config.trusted_keys, &version.digest, version.signature.as_deref())?;
        let module = sandbox.load(name, Path::new(&path), config.limits(name)).await?;
        check_grants(config.module(name), name, module.manifest())?;
        Ok::<_, DeployError>(module)
    };
    match loaded.await {
        Ok(module) => {
            tracing::info!(
                module = name,
                digest = &live[..12.min(live.len())],
                "serving the version that was deployed"
            );
            Some(module)
        }
        Err(error) => {
            tracing::error!(module = name, digest = &live[..12.min(live.len())], %error, "the version that was deployed cannot be served");
            None
        }
    }
}
