//! From a file to a module that can be called: read, check, compile unless that was done before, start, describe.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::oneshot;
use wasmtime::component::Component;

use super::bindings::ResolverPre;
use super::cache::CacheError;
use super::call::CallError;
use super::compile::{self, CompileError, Files};
use super::component::{self, ComponentError};
use super::config::Limits;
use super::guest_log::{GuestLog, Output};
use super::module::Module;
use super::pool::{Full, Pool};
use super::state::State;
use super::thread::Command;
use super::{Sandbox, Shared};
use crate::manifest::Manifest;
use crate::pace;
use crate::text::quoted;

/// Bytes of what wasmtime says about a module that are told; it quotes names of the component.
const QUOTED: usize = 2_000;

/// Why a module is not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// The file is larger than anyone needs.
    #[error("it has {size} bytes, and at most {most} are loaded")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        most: u64,
    },
    /// It is not a module.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Where compiled modules are kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The compiled module cannot be used.
    #[error("its compiled form cannot be used: {0}")]
    Link(String),
    /// It does not start, or does not say what it is.
    #[error("it does not start: {0}")]
    Start(String),
    /// The host has no room for it.
    #[error("there is no room for another instance: raise [sandbox] instances")]
    Full,
    /// The sandbox is stopping.
    #[error("the sandbox is stopping")]
    Stopping,
}

impl Sandbox {
    /// Loads a module and gets its first instances ready.
    ///
    /// The first time, this compiles for some seconds in a process of its own; the result is kept, and the next time
    /// takes milliseconds.
    pub async fn load(&self, name: &str, path: &Path, limits: Limits) -> Result<Arc<Module>, LoadError> {
        let path = path.to_owned();
        let (bytes, digest) = blocking(move || read(&path)).await??;
        let size = bytes.len() as u64;
        let component = self.shared.component(&digest, bytes).await?;
        let shared = Arc::clone(&self.shared);
        let pre = blocking(move || shared.linker.instantiate_pre(&component).and_then(ResolverPre::new));
        let pre = pre.await?.map_err(|error| LoadError::Link(quoted(&format!("{error:#}"), QUOTED)))?;

        let suppressed = self.shared.host.metrics.log_lines_suppressed.clone();
        let log = Arc::new(GuestLog::new(name, limits.log_bytes, suppressed));
        let manifest = self.describe(&pre, limits, Output::new(Arc::clone(&log))).await?;
        let fields: Vec<Arc<str>> = manifest.fields.iter().map(|field| Arc::from(field.name.as_str())).collect();
        let pool = Pool::open(&self.shared.host, pre, limits, log, &fields).map_err(|Full| LoadError::Full)?;
        self.shared.host.room.add(Arc::downgrade(&pool));
        Ok(Arc::new(Module::new(name, digest, size, manifest, pool)))
    }

    async fn describe(&self, pre: &ResolverPre<State>, limits: Limits, output: Output) -> Result<Manifest, LoadError> {
        let (reply, described) = oneshot::channel();
        let command = Command::Describe { pre: pre.clone(), limits, output, reply };
        let told = self
            .shared
            .host
            .threads
            .iter()
            .min_by_key(|thread| thread.load())
            .is_some_and(|thread| thread.tell(command));
        if !told {
            return Err(LoadError::Stopping);
        }
        let described = described.await.map_err(|_| LoadError::Stopping)?;
        described.map_err(|error: CallError| LoadError::Start(error.to_string()))
    }
}

impl Shared {
    /// The compiled component: from the cache, or compiled now. One at a time, since compiling takes all cores.
    async fn component(&self, digest: &str, bytes: Vec<u8>) -> Result<Component, LoadError> {
        let _turn = self.compiling.lock().await;
        let name = format!("{digest}-{}", self.compatibility);
        let cache = self.cache.clone();
        let found = blocking({
            let (cache, name) = (cache.clone(), name.clone());
            move || cache.find(&name)
        })
        .await?;
        let path = if let Some(path) = found {
            path
        } else {
            let (input, output) = (cache.unfinished()?, cache.unfinished()?);
            // A copy: what is compiled must be what was checked and hashed.
            tokio::fs::write(&input, &bytes).await?;
            drop(bytes);
            tracing::info!(digest = &digest[..12], "compiling the module; this is done once, and takes some seconds");
            let functions = format!("functions-{}", self.compatibility);
            let known = blocking({
                let (cache, functions) = (cache.clone(), functions.clone());
                move || cache.find(&functions)
            });
            let (known, learnt) = (known.await?, cache.unfinished()?);
            let files = Files { input: &input, output: &output, learnt: &learnt, known: known.as_deref() };
            compile::compile(self.config.compiler.as_deref(), files).await?;
            blocking(move || {
                cache.keep(&functions, learnt)?;
                cache.keep(&name, output)
            })
            .await??
        };
        let engine = self.engine.clone();
        let component = blocking(move || {
            #[expect(unsafe_code, reason = "compiled modules are loaded as native code, there is no other way")]
            // SAFETY: the file was written by our own compiler from a checked component, and its tag was verified (or made)
            // just now; folder and file can be written by this user alone. `cache.rs` has the tests.
            unsafe {
                Component::deserialize_file(&engine, path)
            }
        });
        component.await?.map_err(|error| LoadError::Link(format!("{error:#}")))
    }
}

/// The file's content if it can be a module, and its sha256.
fn read(path: &Path) -> Result<(Vec<u8>, String), LoadError> {
    let size = fs::metadata(path)?.len();
    if size > component::MOST_BYTES {
        return Err(LoadError::TooLarge { size, most: component::MOST_BYTES });
    }
    let bytes = fs::read(path)?;
    component::check(&bytes)?;
    let mut hasher = Sha256::new();
    for chunk in bytes.chunks(pace::BYTES) {
        hasher.update(chunk);
        pace::pause();
    }
    Ok((bytes, hex::encode(hasher.finalize())))
}

/// Runs something that takes long where it holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| LoadError::Read(std::io::Error::other(error)))
}
