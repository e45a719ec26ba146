//! What is known of all modules' versions, in memory and in the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

use super::DeployError;
use super::store::{Incoming, Record, Store, StoreError, Version};

/// A configured file that is live and not in the store yet. Kept open, so that the version can be had also when the file
/// has been replaced.
#[derive(Debug)]
pub(super) struct LiveFile {
    pub(super) file: File,
    pub(super) version: Version,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Records {
    folder: Option<PathBuf>,
    most: usize,
    /// Opened when it is needed first: a host to which nothing is deployed writes nothing.
    store: Option<Store>,
    by_name: BTreeMap<String, Record>,
    live_files: BTreeMap<String, LiveFile>,
    /// Digests of the configured files, as they were loaded last.
    configured: BTreeMap<String, String>,
}

impl Records {
    /// Reads the store, if there is one.
    pub(super) fn open(folder: Option<PathBuf>, most: usize) -> Result<Self, StoreError> {
        let store = match &folder {
            Some(folder) if folder.is_dir() => Some(Store::open(Some(folder))?),
            _ => None,
        };
        let by_name = store.as_ref().map(Store::records).transpose()?.unwrap_or_default();
        let (live_files, configured) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { folder, most, store, by_name, live_files, configured })
    }

    pub(super) fn store(&mut self) -> Result<&Store, StoreError> {
        if self.store.is_none() {
            self.store = Some(Store::open(self.folder.as_deref())?);
        }
        self.store.as_ref().ok_or_else(|| StoreError::InUse(PathBuf::new()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Record> {
        self.by_name.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The versions that can be live again, oldest first.
    pub(super) fn versions(&self, name: &str) -> Vec<Version> {
        let stored = self.by_name.get(name).map(|record| record.versions.clone()).unwrap_or_default();
        let live = self.live_files.get(name).map(|live| live.version.clone());
        let new = live.filter(|live| stored.iter().all(|version| version.digest != live.digest));
        stored.into_iter().chain(new).collect()
    }

    /// A configured file has become live.
    pub(super) fn loaded(&mut self, name: &str, file: File, digest: &str, size: u64, signature: Option<String>) {
        let version = version(digest, size, signature);
        self.configured.insert(name.to_owned(), version.digest.clone());
        self.live_files.insert(name.to_owned(), LiveFile { file, version });
    }

    /// The configured file is this one, although another version is live.
    pub(super) fn overruled(&mut self, name: &str, digest: &str) {
        self.configured.insert(name.to_owned(), digest.to_owned());
    }

    /// Whether the configured file was this one when somebody last decided by it.
    pub(super) fn is_configured(&self, name: &str, digest: &str) -> bool {
        self.configured.get(name).is_some_and(|configured| configured == digest)
    }

    /// The configured file is this one now, and says what is live already.
    pub(super) fn confirmed(&mut self, name: &str, digest: &str) -> Result<(), StoreError> {
        self.configured.insert(name.to_owned(), digest.to_owned());
        if self.by_name.contains_key(name) { self.write(name) } else { Ok(()) }
    }

    /// Takes a component that has arrived into the store.
    pub(super) fn keep(&mut self, incoming: Incoming, digest: &str) -> Result<PathBuf, StoreError> {
        self.store()?.adopt(incoming, digest)
    }

    /// Sees to it that the live version is in the store, so that it can be had again.
    pub(super) fn save_live(&mut self, name: &str) -> Result<(), StoreError> {
        let Some(LiveFile { file, version }) = self.live_files.remove(name) else { return Ok(()) };
        let mut incoming = self.store()?.incoming()?;
        let copied = incoming.copy(&file);
        if copied.is_err() || incoming.digest() != version.digest {
            tracing::warn!(
                module = name,
                "the live version's file was overwritten, so that a rollback cannot bring it back; replace files by renaming"
            );
            return Ok(());
        }
        self.keep(incoming, &version.digest)?;
        let most = self.most;
        self.by_name.entry(name.to_owned()).or_default().put(version, most);
        Ok(())
    }

    /// A version is live, and the newest.
    pub(super) fn put(&mut self, name: &str, version: Version, is_configured: bool) -> Result<(), StoreError> {
        if is_configured {
            self.configured.insert(name.to_owned(), version.digest.clone());
        }
        let most = self.most;
        self.by_name.entry(name.to_owned()).or_default().put(version, most);
        self.write(name)
    }

    /// A version that is known is live, or none.
    pub(super) fn point(&mut self, name: &str, digest: Option<&str>, widened: Vec<String>) -> Result<(), StoreError> {
        let record = self.by_name.entry(name.to_owned()).or_default();
        record.live = digest.map(str::to_owned);
        if let Some(version) = record.versions.iter_mut().find(|version| Some(version.digest.as_str()) == digest) {
            version.widened = widened;
        }
        self.write(name)
    }

    /// An earlier version, and its file: the one before the live one, or the one whose digest begins so.
    pub(super) fn earlier(&mut self, name: &str, to: Option<&str>) -> Result<(Version, PathBuf), DeployError> {
        let record = self.by_name.get(name).ok_or_else(|| DeployError::NoPrevious(name.to_owned()))?;
        let version = match to {
            None => record.previous().ok_or_else(|| DeployError::NoPrevious(name.to_owned()))?,
            Some(digest) => record
                .versions
                .iter()
                .find(|version| digest.len() >= 8 && version.digest.starts_with(digest))
                .ok_or_else(|| DeployError::NoVersion { name: name.to_owned(), digest: digest.to_owned() })?,
        };
        let version = version.clone();
        let path = self.store()?.find(&version.digest)?;
        Ok((version, path))
    }

    /// Removes files that no record needs.
    pub(super) fn prune(&mut self) {
        if let Some(store) = &self.store {
            store.prune(self.by_name.values());
        }
    }

    fn write(&mut self, name: &str) -> Result<(), StoreError> {
        let configured = self.configured.get(name).cloned();
        let mut record = self.by_name.get(name).cloned().unwrap_or_default();
        record.configured = configured;
        self.store()?.write(name, &record)?;
        self.by_name.insert(name.to_owned(), record);
        Ok(())
    }
}

/// A version that comes from a file, now.
pub(super) fn version(digest: &str, size: u64, signature: Option<String>) -> Version {
    let deployed = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    Version { digest: digest.to_owned(), size, deployed, widened: Vec::new(), signature }
}
