//! From a file to a module that can be called: read, check, compile unless that was done before, start, describe.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tokio::sync::{OwnedMutexGuard, oneshot};
use wasmtime::component::Component;

use super::bindings::ResolverPre;
use super::cache::{Cache, CacheError, Kept, Unfinished};
use super::call::CallError;
use super::compile::{self, CompileError, Files};
use super::component::{self, ComponentError};
use super::config::Limits;
use super::guest_log::{GuestLog, Output};
use super::module::Module;
use super::pool::{Full, Pool};
use super::refusals::REMEMBERED;
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
    /// The sandbox could not start it now, for a reason that is not the module's.
    #[error("it could not be started: {0}; try again")]
    NotNow(String),
    /// It was refused a short while ago.
    #[error(
        "{reason} (it was refused before, and the same file is compiled and started again {} minutes after that at the earliest)",
        REMEMBERED.as_secs() / 60
    )]
    Again {
        /// Why.
        reason: String,
        /// Whether that was the compiler's word.
        compiling: bool,
    },
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
    /// takes milliseconds. A module that is refused leaves nothing behind but the reason, which is the answer for the same
    /// file and limits for a while. Dropping the future ends the compiler.
    pub async fn load(&self, name: &str, path: &Path, limits: Limits) -> Result<Arc<Module>, LoadError> {
        let path = path.to_owned();
        let (file, digest, size) = blocking(move || open(&path)).await??;
        let shared = &self.shared;
        if let Some(refused) = shared.refusals.find(&digest, limits, Instant::now()) {
            return Err(refused);
        }
        let loaded = self.load_file(name, file, (&digest, size), limits).await;
        if let Err(error) = &loaded {
            shared.refusals.remember(&digest, limits, error, Instant::now());
        }
        loaded
    }

    async fn load_file(
        &self,
        name: &str,
        file: File,
        (digest, size): (&str, u64),
        limits: Limits,
    ) -> Result<Arc<Module>, LoadError> {
        // Known before it is compiled for nothing.
        if self.shared.host.permits.available_permits() == 0 {
            return Err(LoadError::Full);
        }
        let image = self.shared.image(file, digest, limits).await?;
        let component = self.shared.component(image.path()).await?;
        let shared = Arc::clone(&self.shared);
        let pre = blocking(move || shared.linker.instantiate_pre(&component).and_then(ResolverPre::new));
        let pre = pre.await?.map_err(|error| LoadError::Link(quoted(&format!("{error:#}"), QUOTED)))?;

        let suppressed = self.shared.host.metrics.log_lines_suppressed.clone();
        let log = Arc::new(GuestLog::new(name, limits.log_bytes, suppressed));
        let manifest = self.describe(&pre, limits, Output::new(Arc::clone(&log))).await?;
        let fields: Vec<Arc<str>> = manifest.fields.iter().map(|field| Arc::from(field.name.as_str())).collect();
        let pool = Pool::open(&self.shared.host, pre, limits, log, &fields).map_err(|Full| LoadError::Full)?;
        let cache = self.shared.cache.clone();
        let kept = match blocking(move || image.keep(&cache)).await.map(|kept| kept.map_err(LoadError::from)) {
            Ok(Ok(kept)) => kept,
            Ok(Err(error)) | Err(error) => {
                pool.close();
                return Err(error);
            }
        };
        self.shared.host.room.add(Arc::downgrade(&pool));
        Ok(Arc::new(Module::new(name, digest.to_owned(), size, manifest, pool, kept)))
    }

    /// Keeps the compiled forms of these versions, by digest, until it is told others.
    pub async fn hold(&self, digests: impl IntoIterator<Item = String>) {
        let compatibility = &self.shared.compatibility;
        let names = digests.into_iter().map(|digest| format!("{digest}-{compatibility}")).collect();
        let cache = self.shared.cache.clone();
        let _ = blocking(move || cache.hold(names)).await;
    }

    async fn describe(&self, pre: &ResolverPre<State>, limits: Limits, output: Output) -> Result<Manifest, LoadError> {
        let place = Arc::clone(&self.shared.describing).acquire_owned().await.map_err(|_| LoadError::Stopping)?;
        let (reply, described) = oneshot::channel();
        let command = Command::Describe { pre: pre.clone(), limits, output, place, reply };
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
        described.await.map_err(|_| LoadError::Stopping)?.map_err(|error| match error {
            CallError::Cpu(_)
            | CallError::Wall(_)
            | CallError::Output(_)
            | CallError::Memory { .. }
            | CallError::Trap(_)
            | CallError::Contract(_) => LoadError::Start(error.to_string()),
            CallError::Start(_) | CallError::NoRoom => LoadError::NotNow(error.to_string()),
        })
    }
}

/// The compiled form of a component.
enum Image {
    /// It was compiled before.
    Kept(Kept),
    /// It was compiled just now, and is gone if it is not kept.
    New {
        name: String,
        code: Unfinished,
        /// The functions of this compilation and of those before, and what they are called.
        learnt: (String, Unfinished),
        _turn: OwnedMutexGuard<()>,
    },
}

impl Image {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(kept) => kept.path(),
            Self::New { code, .. } => code,
        }
    }

    fn keep(self, cache: &Cache) -> Result<Kept, CacheError> {
        match self {
            Self::Kept(kept) => Ok(kept),
            Self::New { name, code, learnt: (functions, learnt), .. } => {
                drop(cache.keep(&functions, learnt)?);
                cache.keep(&name, code)
            }
        }
    }
}

impl Shared {
    async fn component(&self, compiled: &Path) -> Result<Component, LoadError> {
        let (engine, compiled) = (self.engine.clone(), compiled.to_owned());
        let component = blocking(move || {
            #[expect(unsafe_code, reason = "compiled modules are loaded as native code, there is no other way")]
            // SAFETY: the file was written by our own compiler from a checked component, and its tag was verified just now, or
            // nobody else had its name; folder and file can be written by this user alone. `cache.rs` has the tests.
            unsafe {
                Component::deserialize_file(&engine, compiled)
            }
        });
        component.await?.map_err(|error| LoadError::Link(quoted(&error.root_cause().to_string(), QUOTED)))
    }

    async fn compiled(&self, name: &str) -> Result<Option<Kept>, LoadError> {
        let (cache, name) = (self.cache.clone(), name.to_owned());
        blocking(move || cache.find(&name)).await
    }

    /// The compiled form of a file: from the cache, or checked and compiled now. One at a time, since compiling takes all
    /// cores.
    async fn image(&self, file: File, digest: &str, limits: Limits) -> Result<Image, LoadError> {
        let name = format!("{digest}-{}", self.compatibility);
        if let Some(kept) = self.compiled(&name).await? {
            return Ok(Image::Kept(kept));
        }
        let turn = Arc::clone(&self.compiling).lock_owned().await;
        // By somebody else, meanwhile.
        if let Some(kept) = self.compiled(&name).await? {
            return Ok(Image::Kept(kept));
        }
        if let Some(refused) = self.refusals.find(digest, limits, Instant::now()) {
            return Err(refused);
        }
        let cache = self.cache.clone();
        let (input, code, learnt) = (cache.unfinished()?, cache.unfinished()?, cache.unfinished()?);
        let expected = digest.to_owned();
        let input = blocking(move || {
            let bytes = read(file, &expected)?;
            component::check(&bytes, limits.memory)?;
            // A copy: what is compiled must be what was checked and hashed.
            pace::write(File::create(&input)?, &bytes)?;
            Ok::<_, LoadError>(input)
        })
        .await??;
        tracing::info!(digest = &digest[..12], "compiling the module; this is done once, and takes some seconds");
        let functions = format!("functions-{}", self.compatibility);
        let known = self.compiled(&functions).await?;
        let known = known.as_ref().map(Kept::path);
        let files = Files { input: &input, output: &code, learnt: &learnt, known };
        compile::compile(self.config.compiler.as_deref(), files).await?;
        Ok(Image::New { name, code, learnt: (functions, learnt), _turn: turn })
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
