//! A loaded module.

use std::sync::Arc;

use super::cache::Kept;
use super::config::{Isolation, Limits};
use super::piece::Done;
use super::pool::Pool;
use crate::manifest::Manifest;
use crate::outcome::Job;

/// A module whose resolvers can be called. Dropping the last handle ends its instances.
#[derive(Debug)]
pub struct Module {
    name: Box<str>,
    digest: String,
    size: u64,
    manifest: Manifest,
    pool: Arc<Pool>,
    /// Its compiled form, which the cache keeps for as long as the module lives.
    _kept: Kept,
}

impl Module {
    pub(super) fn new(name: &str, digest: String, size: u64, manifest: Manifest, pool: Arc<Pool>, kept: Kept) -> Self {
        Self { name: name.into(), digest, size, manifest, pool, _kept: kept }
    }

    /// The operator's name for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What identifies it: sha256 of its `.wasm`, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Size of its `.wasm`, bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it says about itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What its calls and instances may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        *self.pool.limits()
    }

    /// Who may meet in one of its instances.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.pool.limits().isolation
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn submit(&self, job: Job, done: Done) {
        self.pool.submit(job, done);
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.pool.close();
    }
}
