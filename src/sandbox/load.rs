//! From a file to a module that can be called: read, check, compile unless that was done before, start, describe.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
use crate::digest::{self, sha256};
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
        let (component, digest, size) = self.shared.component(path).await?;
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
    /// The compiled component of a file, the file's digest and its size: from the cache, or compiled now.
    async fn component(&self, path: &Path) -> Result<(Component, String, u64), LoadError> {
        let path = path.to_owned();
        let (file, digest, size) = blocking(move || open(&path)).await??;
        let name = format!("{digest}-{}", self.compatibility);
        let compiled = match self.compiled(&name).await? {
            Some(compiled) => compiled,
            None => self.compile(file, &digest, name).await?,
        };
        let engine = self.engine.clone();
        let component = blocking(move || {
            #[expect(unsafe_code, reason = "compiled modules are loaded as native code, there is no other way")]
            // SAFETY: the file was written by our own compiler from a checked component, and its tag was verified (or made)
            // just now; folder and file can be written by this user alone. `cache.rs` has the tests.
            unsafe {
                Component::deserialize_file(&engine, compiled)
            }
        });
        let component = component.await?.map_err(|error| LoadError::Link(format!("{error:#}")))?;
        Ok((component, digest, size))
    }

    async fn compiled(&self, name: &str) -> Result<Option<PathBuf>, LoadError> {
        let (cache, name) = (self.cache.clone(), name.to_owned());
        blocking(move || cache.find(&name)).await
    }

    /// Checks that it is one of our components, and compiles it into the cache. One at a time, since compiling takes all
    /// cores.
    async fn compile(&self, file: File, digest: &str, name: String) -> Result<PathBuf, LoadError> {
        let _turn = self.compiling.lock().await;
        // By somebody else, meanwhile.
        if let Some(compiled) = self.compiled(&name).await? {
            return Ok(compiled);
        }
        let cache = self.cache.clone();
        let (input, output, learnt) = (cache.unfinished()?, cache.unfinished()?, cache.unfinished()?);
        let expected = digest.to_owned();
        let input = blocking(move || {
            let bytes = read(file, &expected)?;
            component::check(&bytes)?;
            // A copy: what is compiled must be what was checked and hashed.
            pace::write(File::create(&input)?, &bytes)?;
            Ok::<_, LoadError>(input)
        })
        .await??;
        tracing::info!(digest = &digest[..12], "compiling the module; this is done once, and takes some seconds");
        let functions = format!("functions-{}", self.compatibility);
        let known = self.compiled(&functions).await?;
        let files = Files { input: &input, output: &output, learnt: &learnt, known: known.as_deref() };
        compile::compile(self.config.compiler.as_deref(), files).await?;
        let kept = blocking(move || {
            cache.keep(&functions, learnt)?;
            cache.keep(&name, output)
        });
        Ok(kept.await??)
    }
}

/// A component's file, its digest and its size. It is read in pieces: what was compiled before needs no more than that.
fn open(path: &Path) -> Result<(File, String, u64), LoadError> {
    let file = digest::open(path)?;
    let size = file.metadata()?.len();
    if size > component::MOST_BYTES {
        return Err(LoadError::TooLarge { size, most: component::MOST_BYTES });
    }
    let (digest, size) = sha256((&file).take(size))?;
    Ok((file, digest, size))
}

/// The content of a file, if it still has this digest.
fn read(mut file: File, digest: &str) -> Result<Vec<u8>, LoadError> {
    file.rewind()?;
    let bytes = pace::read(&file, component::MOST_BYTES)?;
    if sha256(&bytes[..])?.0 != digest {
        return Err(std::io::Error::other("the file was replaced while it was being loaded; try again").into());
    }
    Ok(bytes)
}

/// Runs something that takes long where it holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    let work = move || {
        pace::stand_back();
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| LoadError::Read(std::io::Error::other(error)))
}
