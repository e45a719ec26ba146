//! New versions of modules on a host that serves: from a file or an upload to what is live, without a lost event.
//!
//! Receive → verify → compile → start → self-test → check → publish → drain → drop. Until a version is published, the one
//! before it serves, whatever goes wrong; from then on the new one does, and the old one ends when it has delivered what
//! it still owed. One swap at a time, and new versions in the order in which they came; what goes back to a version, or
//! removes one, does not wait for what is only on its way.

mod config;
mod error;
mod history;
mod record;
mod report;
mod self_test;
mod signature;
mod start;
mod store;
mod swap;
mod watch;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

pub use config::{Config, ModuleConfig, check_name};
pub use error::{DeployError, Stage};
pub use history::{DIGEST_START, Version, is_digest_start};
pub use report::{Ended, Report, Status, Times};
pub use signature::{SignatureError, TrustedKey, beside as signature_beside, file as signature_file, public, sign};
pub use start::{Loaded, StartError, load};
pub use store::StoreError;

use crate::delivery::Delivery;
use crate::digest::{self, sha256};
use crate::pace;
use crate::registry::Registry;
use crate::sandbox::{Module, Sandbox};
use crate::tasks::Tasks;
use crate::text::foreign_error;
pub use record::Records;
use report::status;
use store::Incoming;

/// Most bytes of a component.
pub const MOST_BYTES: u64 = 256 << 20;
/// Modules that a host knows, removed ones included: each has a record, versions in the store, and a place in every list.
const MOST_MODULES: usize = 256;

/// What a deployment may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Permission {
    /// End subscriptions that do not fit.
    pub force: bool,
    /// Show more than before.
    pub allow_widening: bool,
}

/// Deploys. Share it behind an [`Arc`].
#[derive(Debug)]
pub struct Deployer {
    config: Config,
    sandbox: Sandbox,
    registry: Registry,
    delivery: Delivery,
    records: Arc<Mutex<Records>>,
    /// Held by who brings a new version, from the first to the last.
    arrival: tokio::sync::Mutex<()>,
    /// Held by who changes what is live, until the version before has been let go. Taken after `arrival`, if both are.
    turn: Arc<tokio::sync::Mutex<()>>,
    tasks: Tasks,
    /// Fires when the host stops. What is not live by then is given up.
    stopping: CancellationToken,
}

/// A component on its way in.
#[derive(Debug)]
pub struct Upload(Incoming);

impl Upload {
    /// Appends a part of it, beside the threads that serve clients: it is hashed, and written to a disk.
    pub async fn append(mut self, part: Bytes) -> Result<Self, DeployError> {
        beside(move || self.write(&part).map(|()| self)).await?
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DeployError> {
        if self.0.size() + bytes.len() as u64 > MOST_BYTES {
            return Err(DeployError::TooLarge { most: MOST_BYTES });
        }
        Ok(self.0.write(bytes)?)
    }

    /// Appends all of a file.
    fn copy(&mut self, mut file: &File) -> Result<(), DeployError> {
        file.rewind()?;
        let mut chunk = vec![0; pace::BYTES];
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(()),
                count => self.write(&chunk[..count])?,
            }
            pace::pause();
        }
    }
}

impl Deployer {
    /// A deployer that knows what was loaded at the start. Swaps that nobody waits for any more are completed by `tasks`;
    /// `stopping` gives up those that are not live yet.
    #[must_use]
    pub fn new(
        config: Config,
        records: Records,
        sandbox: Sandbox,
        registry: Registry,
        delivery: Delivery,
        tasks: Tasks,
        stopping: CancellationToken,
    ) -> Self {
        let records = Arc::new(Mutex::new(records));
        let (arrival, turn) = Default::default();
        Self { config, sandbox, registry, delivery, records, arrival, turn, tasks, stopping }
    }

    /// Room for a component of this module that is about to arrive. What does not arrive completely leaves nothing behind.
    pub async fn receive(&self, name: &str) -> Result<Upload, DeployError> {
        check_name(name)?;
        self.check_number(name).await?;
        Ok(Upload(self.with_records(|records| records.store()?.incoming()).await??))
    }

    /// Whether another module may have this name.
    async fn check_number(&self, name: &str) -> Result<(), DeployError> {
        let (name, generation) = (name.to_owned(), self.registry.generation());
        let fits = self.with_records(move |records| {
            let live = generation.modules().iter().map(|module| module.name());
            let names: BTreeSet<&str> = records.names().chain(live).collect();
            names.contains(name.as_str()) || names.len() < MOST_MODULES
        });
        if fits.await? { Ok(()) } else { Err(DeployError::TooMany { most: MOST_MODULES }) }
    }

    /// Removes what a deployment that was given up has left in the store.
    pub async fn sweep(&self) -> Result<(), DeployError> {
        // Uploads under way are in the store, and not on record yet.
        let _arrival = self.arrival.lock().await;
        self.with_records(Records::prune).await
    }

    /// Deploys an uploaded component.
    pub async fn deploy(
        &self,
        name: &str,
        upload: Upload,
        signature: Option<String>,
        permission: Permission,
    ) -> Result<Report, DeployError> {
        check_name(name)?;
        let _arrival = self.unless_stopping(self.arrival.lock()).await?;
        self.put(name, upload, signature, permission).await
    }

    /// Deploys a file of this machine.
    pub async fn deploy_file(&self, name: &str, path: &Path, permission: Permission) -> Result<Report, DeployError> {
        let upload = self.copy(name, digest::open(path)?).await?;
        let signature = signature::beside(path)?;
        let _arrival = self.unless_stopping(self.arrival.lock()).await?;
        self.put(name, upload, signature, permission).await
    }

    /// Deploys the file of a configured module again, if it is another one than before. One that has not changed undoes
    /// nothing that was decided since.
    pub async fn reload(&self, name: &str, permission: Permission) -> Result<Report, DeployError> {
        let unknown = || DeployError::Unknown(name.to_owned());
        let path = self.config.module(name).and_then(|module| module.path.clone()).ok_or_else(unknown)?;
        let _arrival = self.unless_stopping(self.arrival.lock()).await?;
        let (file, digest) = hashed(&path).await?;
        let signature = signature::beside(&path)?;
        let live = self.live(name).map(|live| live.digest().to_owned());
        let (module, found) = (name.to_owned(), digest.clone());
        let is_known = self.with_records(move |records| records.is_configured(&module, &found)).await?;
        if live.as_ref() == Some(&digest) {
            signature::verify(&self.config.trusted_keys, &digest, signature.as_deref())?;
            let _turn = self.turn().await?;
            if let Some(report) = self.confirm(name, &digest, signature.clone(), true).await? {
                return Ok(report);
            }
        } else if is_known {
            return Ok(Report { unchanged: true, ..self.report(name, live) });
        }
        let upload = self.copy(name, file).await?;
        let done = self.put(name, upload, signature, permission).await;
        if done.is_err() {
            // A restart would take the refused file for the only one that there is.
            let module = name.to_owned();
            if let Err(error) = self.with_records(move |records| records.save_live(&module)).await? {
                tracing::error!(module = name, error = %foreign_error(&error), "the live version could not be kept for a restart");
            }
        }
        done
    }

    async fn copy(&self, name: &str, file: File) -> Result<Upload, DeployError> {
        let mut upload = self.receive(name).await?;
        beside(move || upload.copy(&file).map(|()| upload)).await?
    }

    /// Deploys every configured file that is another one than before. What is refused is in the log, and what was live in
    /// its place goes on.
    pub async fn reload_all(&self) {
        for module in self.config.modules.iter().filter(|module| module.path.is_some()) {
            self.try_reload(&module.name).await;
        }
    }

    async fn try_reload(&self, name: &str) {
        match self.reload(name, Permission::default()).await {
            Ok(report) if report.unchanged => tracing::debug!(module = name, "the file is the one that is live"),
            Ok(_) => {}
            Err(error) => {
                let stage = error.stage().name();
                tracing::error!(module = name, stage, error = %foreign_error(&error), "the new file was refused; what was live goes on");
            }
        }
    }

    /// Goes back to the version before the live one, or to the kept one with this digest (or a beginning of it).
    pub async fn rollback(&self, name: &str, to: Option<&str>, permission: Permission) -> Result<Report, DeployError> {
        let began = Instant::now();
        let turn = self.turn().await?;
        let (module, digest) = (name.to_owned(), to.map(str::to_owned));
        let (version, path) = self.with_records(move |records| records.earlier(&module, digest.as_deref())).await??;
        signature::verify(&self.config.trusted_keys, &version.digest, version.signature.as_deref())?;
        if self.is_live(name, &version.digest) {
            return Ok(Report { unchanged: true, ..self.report(name, Some(version.digest)) });
        }
        let new = self.load(name, &path, &version.digest).await?;
        let module = name.to_owned();
        self.swap(turn, name, Some(new), permission, began, move |records, widened| {
            records.point(&module, Version { widened, ..version })
        })
        .await
    }

    /// Removes a module. Its versions are kept, so that a rollback brings it back.
    pub async fn remove(&self, name: &str, permission: Permission) -> Result<Report, DeployError> {
        let began = Instant::now();
        let turn = self.turn().await?;
        if self.live(name).is_none() {
            return Err(DeployError::Unknown(name.to_owned()));
        }
        let module = name.to_owned();
        self.swap(turn, name, None, permission, began, move |records, _| records.remove(&module)).await
    }

    /// All modules, by name.
    pub async fn list(&self) -> Result<Vec<Status>, DeployError> {
        let generation = self.registry.generation();
        self.with_records(move |records| {
            let mut names: Vec<&str> = records.names().collect();
            names.extend(generation.modules().iter().map(|module| module.name()));
            names.sort_unstable();
            names.dedup();
            names.into_iter().map(|name| status(name, &generation, records)).collect()
        })
        .await
    }

    /// Runs the work to its result, unless the host stops first: then it is dropped. Only for work that changes nothing live.
    async fn unless_stopping<F: Future>(&self, work: F) -> Result<F::Output, DeployError> {
        self.stopping.run_until_cancelled(work).await.ok_or(DeployError::Stopping)
    }

    async fn turn(&self) -> Result<OwnedMutexGuard<()>, DeployError> {
        self.unless_stopping(Arc::clone(&self.turn).lock_owned()).await
    }

    async fn load(&self, name: &str, path: &Path, digest: &str) -> Result<Arc<Module>, DeployError> {
        self.unless_stopping(start::load_version(&self.sandbox, &self.config, name, path, digest)).await?
    }

    async fn with_records<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Records) -> T + Send + 'static,
    ) -> Result<T, DeployError> {
        with(&self.records, work).await
    }

    fn is_live(&self, name: &str, digest: &str) -> bool {
        self.live(name).is_some_and(|live| live.digest() == digest)
    }

    fn live(&self, name: &str) -> Option<Arc<Module>> {
        self.registry.generation().modules().iter().find(|module| module.name() == name).cloned()
    }

    async fn put(
        &self,
        name: &str,
        Upload(incoming): Upload,
        signature: Option<String>,
        permission: Permission,
    ) -> Result<Report, DeployError> {
        let began = Instant::now();
        // Once more: others may have arrived at the same time.
        self.check_number(name).await?;
        let (digest, size) = (incoming.digest(), incoming.size());
        let is_configured = match self.config.module(name).and_then(|module| module.path.as_ref()) {
            Some(path) => hashed(path).await.is_ok_and(|(_, found)| found == digest),
            None => false,
        };
        signature::verify(&self.config.trusted_keys, &digest, signature.as_deref())?;
        {
            let _turn = self.turn().await?;
            if let Some(report) = self.confirm(name, &digest, signature.clone(), is_configured).await? {
                return Ok(report);
            }
        }
        let kept = digest.clone();
        let path = self.with_records(move |records| records.keep(incoming, &kept)).await??;
        let done = match self.load(name, &path, &digest).await {
            Ok(new) => {
                let turn = self.turn().await?;
                // Somebody may have gone back to it meanwhile.
                if let Some(report) = self.confirm(name, &digest, signature.clone(), is_configured).await? {
                    return Ok(report);
                }
                let mut version = record::version(&digest, size, signature);
                let module = name.to_owned();
                self.swap(turn, name, Some(new), permission, began, move |records, widened| {
                    version.widened = widened;
                    records.put(&module, version, is_configured)
                })
                .await
            }
            Err(error) => Err(error),
        };
        self.with_records(Records::prune).await?;
        done
    }

    /// A report, if this version is live already; its signature may be another one than before. The caller holds the `turn`.
    async fn confirm(
        &self,
        name: &str,
        digest: &str,
        signature: Option<String>,
        is_configured: bool,
    ) -> Result<Option<Report>, DeployError> {
        if !self.is_live(name, digest) {
            return Ok(None);
        }
        let report = Report { unchanged: true, ..self.report(name, Some(digest.to_owned())) };
        let (module, digest) = (name.to_owned(), digest.to_owned());
        self.with_records(move |records| records.confirmed(&module, &digest, signature, is_configured)).await??;
        Ok(Some(report))
    }

    /// A report of nothing yet.
    fn report(&self, name: &str, digest: Option<String>) -> Report {
        Report {
            name: name.to_owned(),
            digest,
            previous: self.live(name).map(|live| live.digest().to_owned()),
            unchanged: false,
            generation: self.registry.generation().number,
            moved: 0,
            ended: Vec::new(),
            widened: Vec::new(),
            stored: self.config.store.is_some(),
            ms: Times::default(),
        }
    }
}

/// Files are read and written where that holds nobody up.
async fn with<T: Send + 'static>(
    records: &Arc<Mutex<Records>>,
    work: impl FnOnce(&mut Records) -> T + Send + 'static,
) -> Result<T, DeployError> {
    let records = Arc::clone(records);
    beside(move || work(&mut records.lock())).await
}

/// A file, and sha256 of what is in it: of so much that no component has it, if there is more.
async fn hashed(path: &Path) -> io::Result<(File, String)> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let file = digest::open(&path)?;
        let (digest, _) = sha256((&file).take(MOST_BYTES + 1))?;
        Ok((file, digest))
    });
    hashed.await.map_err(io::Error::other)?
}

/// Does what takes milliseconds where nobody waits for the thread.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DeployError> {
    let work = move || {
        pace::stand_back();
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| DeployError::Stopping)
}

fn milliseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
