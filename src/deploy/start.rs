//! What is live when the host starts: the configured files, unless something else was deployed in their place.
//!
//! A deployed version counts for as long as the configured file is the one that somebody has last decided by. Once another
//! file is there, that one is served, if it would be as a deployment: without a word it may not show more than what was
//! live, and its resolvers answer their own examples. If it may not be served, what was live is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::config::check_grants;
use super::record::Records;
use super::report::bounded;
use super::store::StoreError;
use super::{Config, DeployError, ModuleConfig, self_test, signature};
use crate::digest::{self, sha256};
use crate::modules::{AssembleError, Generation};
use crate::sandbox::{LoadError, Module, Sandbox};
use crate::text::foreign_error;

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
    /// The modules do not fit together, or a module does not fit its schema.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The modules, in the order of the configuration.
    pub generation: Generation,
    /// What is known of their versions.
    pub records: Records,
}

/// A module that is to be live. It has `before`, `new`, or both.
struct Place {
    name: String,
    /// What was live when the host ended, where that is not the configured file.
    before: Option<Arc<Module>>,
    /// The configured file.
    new: Option<New>,
}

struct New {
    module: Arc<Module>,
    file: File,
    digest: String,
    size: u64,
    signature: Option<String>,
    /// Whether somebody has decided about this file before, perhaps for another version.
    is_decided: bool,
}

/// Loads every module that is to be live.
pub async fn load(sandbox: &Sandbox, config: &Config) -> Result<Loaded, StartError> {
    let mut records = Records::open(config.store.clone(), config.versions)?;
    // Before anything is compiled, which may drive others out of the cache.
    sandbox.hold(records.digests()).await;
    let mut places = Vec::new();
    for module in &config.modules {
        let (before, new) = match &module.path {
            Some(path) => configured(sandbox, config, module, path, &mut records).await?,
            None => (deployed(sandbox, config, &module.name, &mut records).await, None),
        };
        places.push(Place { name: module.name.clone(), before, new });
    }
    let others: Vec<String> = records.names().filter(|name| config.module(name).is_none()).map(str::to_owned).collect();
    for name in others {
        // One that had been configured, and is not any more, was taken out on purpose.
        if records.get(&name).is_some_and(|record| record.configured.is_none()) {
            let before = deployed(sandbox, config, &name, &mut records).await;
            places.push(Place { name, before, new: None });
        }
    }
    let generation = choose(config, &mut places)?;
    for Place { name, new, .. } in places {
        let Some(New { file, digest, size, signature, is_decided, .. }) = new else { continue };
        records.loaded(&name, file, &digest, size, signature.clone());
        // A host to which nothing was deployed writes nothing.
        let Some(record) = records.get(&name) else { continue };
        let done = match record.live.as_ref() == Some(&digest) {
            true => records.confirmed(&name, &digest, signature, true).map_err(DeployError::from),
            // It stands in for a version that cannot be had now, and may be another time.
            false if is_decided => Ok(()),
            false => records.save_live(&name),
        };
        if let Err(error) = done {
            tracing::error!(module = %name, error = %foreign_error(&error), "the live version could not be kept for a restart");
        }
    }
    Ok(Loaded { generation, records })
}

/// The generation to begin with. Takes out the new files that may not be served; all that are left have their place in it.
fn choose(config: &Config, places: &mut [Place]) -> Result<Generation, AssembleError> {
    let first = |places: &[Place], is_new: &[bool]| {
        let live = places.iter().zip(is_new).filter_map(|(place, is_new)| match &place.new {
            Some(new) if *is_new => Some(&new.module),
            _ => place.before.as_ref(),
        });
        Generation::first(live.cloned().collect(), config.graphql.clone())
    };
    // Like so many deployments, all at once if that is possible: a field may have moved from one module to another.
    let all: Vec<bool> = places.iter().map(|place| place.new.is_some()).collect();
    let mut is_new: Vec<bool> = places.iter().map(|place| place.before.is_none()).collect();
    if all == is_new {
        return first(places, &all);
    }
    let mut generation = first(places, &is_new)?;
    if let Ok(next) = first(places, &all)
        && generation.loosened_by(&next).is_empty()
    {
        return Ok(next);
    }
    for at in 0..places.len() {
        if is_new[at] || places[at].new.is_none() {
            continue;
        }
        is_new[at] = true;
        let checked = first(places, &is_new).map_err(DeployError::from).and_then(|next| {
            let loosened = generation.loosened_by(&next);
            if loosened.is_empty() { Ok(next) } else { Err(DeployError::Widening(bounded(&loosened))) }
        });
        match checked {
            Ok(next) => generation = next,
            Err(error) => {
                is_new[at] = false;
                refused(&places[at].name, &error);
                places[at].new = None;
            }
        }
    }
    Ok(generation)
}

fn refused(name: &str, error: &DeployError) {
    let stage = error.stage().name();
    tracing::error!(module = name, stage, error = %foreign_error(error), "the configured file was refused; serving what was live before");
}

/// What was deployed in the place of the configured module's file, and the file, if it is to be served.
async fn configured(
    sandbox: &Sandbox,
    config: &Config,
    module: &ModuleConfig,
    path: &Path,
    records: &mut Records,
) -> Result<(Option<Arc<Module>>, Option<New>), StartError> {
    let name = &module.name;
    let failed = |source: DeployError| StartError::Load { name: name.clone(), path: path.to_owned(), source };
    let read = |error| failed(DeployError::Load(LoadError::Read(error)));
    let file = digest::open(path).map_err(read)?;
    let (digest, size) = sha256(&file).map_err(read)?;
    let signature = signature::beside(path).map_err(read)?;

    let record = records.get(name).cloned().unwrap_or_default();
    let is_decided = record.configured.as_ref() == Some(&digest);
    let is_live = record.live.as_ref() == Some(&digest);
    let mut before = None;
    if is_decided && !is_live {
        records.overruled(name, &digest);
        if record.live.is_none() {
            tracing::warn!(module = %name, "the module was removed by an operator, and is not served; deploy it to have it again");
            return Ok((None, None));
        }
        before = deployed(sandbox, config, name, records).await;
        if before.is_some() {
            return Ok((before, None));
        }
        tracing::error!(module = %name, path = %path.display(), "serving the configured file in its place");
    } else if !is_live {
        before = deployed(sandbox, config, name, records).await;
        if let Some(configured) = &record.configured {
            records.overruled(name, configured);
        }
    }

    let verified = signature::verify(&config.trusted_keys, &digest, signature.as_deref());
    let loaded = match verified {
        Ok(()) => load_version(sandbox, config, name, path, &digest).await,
        Err(error) => Err(error.into()),
    };
    match loaded {
        Ok(module) => Ok((before, Some(New { module, file, digest, size, signature, is_decided }))),
        Err(error) if before.is_some() => {
            refused(name, &error);
            Ok((before, None))
        }
        Err(error) => Err(failed(error)),
    }
}

/// The version that was deployed last; `None`, with a word in the log, if it cannot be had.
async fn deployed(sandbox: &Sandbox, config: &Config, name: &str, records: &mut Records) -> Option<Arc<Module>> {
    let live = records.get(name)?.live.clone()?;
    let loaded = async {
        let (version, path) = records.earlier(name, Some(&live))?;
        signature::verify(&config.trusted_keys, &version.digest, version.signature.as_deref())?;
        load_granted(sandbox, config, name, &path, &live).await
    };
    let loaded = loaded.await;
    match &loaded {
        Ok(_) => {
            tracing::info!(module = name, digest = %format_args!("{live:.12}"), "loaded the version that was deployed");
        }
        Err(error) => {
            tracing::error!(module = name, digest = %format_args!("{live:.12}"), error = %foreign_error(error), "the version that was deployed cannot be served");
        }
    }
    loaded.ok()
}

/// Loads a version from its file, if that holds what it should, and what it asks for is granted.
async fn load_granted(
    sandbox: &Sandbox,
    config: &Config,
    name: &str,
    path: &Path,
    digest: &str,
) -> Result<Arc<Module>, DeployError> {
    let module = sandbox.load(name, path, config.limits(name)).await?;
    if module.digest() != digest {
        return Err(std::io::Error::other("its file was replaced while it was being loaded; try again").into());
    }
    check_grants(config.module(name), name, module.manifest())?;
    Ok(module)
}

/// The same, and asks its resolvers about their examples.
pub(super) async fn load_version(
    sandbox: &Sandbox,
    config: &Config,
    name: &str,
    path: &Path,
    digest: &str,
) -> Result<Arc<Module>, DeployError> {
    let module = load_granted(sandbox, config, name, path, digest).await?;
    self_test::run(sandbox, &module).await?;
    Ok(module)
}
