//! What is known of all modules' versions, in memory and in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use super::history::{Record, Version};
use super::store::{Incoming, Store, StoreError};
use super::{DeployError, Upload};

/// A configured file that is live and not in the store yet. Kept open, so that the version can be had also when the file
/// has been replaced.
#[derive(Debug)]
pub(super) struct LiveFile {
    pub(super) file: File,
    pub(super) version: Version,
}

/// What is known of all modules' versions; for a [`super::Deployer`].
#[derive(Debug)]
pub struct Records {
    folder: Option<PathBuf>,
    most: usize,
    /// Opened when it is needed first: a host to which nothing is deployed writes nothing.
    store: Option<Store>,
    by_name: BTreeMap<String, Record>,
    live_files: BTreeMap<String, LiveFile>,
    /// Digests of the configured files, as they were loaded last.
    configured: BTreeMap<String, String>,
    /// Modules whose record on disk is older than the one here, because it could not be written.
    unwritten: BTreeSet<String>,
}

impl Records {
    /// Reads the store, if there is one.
    pub(super) fn open(folder: Option<PathBuf>, most: usize) -> Result<Self, StoreError> {
        // One that is there and cannot be read is not taken for one that is not there.
        let is_there = |folder: &PathBuf| match fs::symlink_metadata(folder) {
            Err(error) => error.kind() != io::ErrorKind::NotFound,
            Ok(_) => true,
        };
        let store =
            folder.as_ref().filter(|folder| is_there(folder)).map(|folder| Store::open(Some(folder))).transpose()?;
        let by_name = store.as_ref().map(Store::records).transpose()?.unwrap_or_default();
        let (live_files, configured, unwritten) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Ok(Self { folder, most, store, by_name, live_files, configured, unwritten })
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

    /// Somebody has said once more what is live already: by the configured file, or with another signature.
    pub(super) fn confirmed(
        &mut self,
        name: &str,
        digest: &str,
        signature: Option<String>,
        is_configured: bool,
    ) -> Result<(), StoreError> {
        if is_configured {
            self.configured.insert(name.to_owned(), digest.to_owned());
        }
        if let Some(live) = self.live_files.get_mut(name).filter(|live| live.version.digest == digest) {
            live.version.signature.clone_from(&signature);
        }
        let configured = self.configured.get(name);
        let Some(record) = self.by_name.get_mut(name) else { return Ok(()) };
        let mut changed = record.configured.as_ref() != configured;
        if let Some(version) = record.versions.iter_mut().find(|version| version.digest == digest)
            && version.signature != signature
            && signature.is_some()
        {
            version.signature = signature;
            changed = true;
        }
        if changed { self.write(name) } else { Ok(()) }
    }

    /// Takes a component that has arrived into the store.
    pub(super) fn keep(&mut self, incoming: Incoming, digest: &str) -> Result<PathBuf, StoreError> {
        self.store()?.adopt(incoming, digest)
    }

    /// Sees to it that the live version is in the store and on record, so that it can be had again, and a restart knows it.
    pub(super) fn save_live(&mut self, name: &str) -> Result<(), DeployError> {
        let Some(live) = self.live_files.remove(name) else { return Ok(()) };
        let saved = self.save(name, &live);
        if saved.is_err() {
            self.live_files.insert(name.to_owned(), live);
        }
        saved
    }

    fn save(&mut self, name: &str, live: &LiveFile) -> Result<(), DeployError> {
        let digest = &live.version.digest;
        let is_live = self.by_name.get(name).is_some_and(|record| record.live.as_ref() == Some(digest));
        if is_live && self.store()?.find(digest).is_ok() {
            return Ok(());
        }
        let mut upload = Upload(self.store()?.incoming()?);
        match upload.copy(&live.file) {
            Ok(()) if upload.0.digest() == *digest => {}
            Ok(()) | Err(DeployError::Read(_)) => {
                tracing::warn!(
                    module = name,
                    "the live version's file was overwritten, so that a rollback cannot bring it back; replace files by renaming"
                );
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.keep(upload.0, digest)?;
        let most = self.most;
        self.by_name.entry(name.to_owned()).or_default().put(live.version.clone(), most);
        Ok(self.write(name)?)
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

    /// A version that is known is live.
    pub(super) fn point(&mut self, name: &str, version: Version) -> Result<(), StoreError> {
        self.by_name.entry(name.to_owned()).or_default().point(version);
        self.write(name)
    }

    /// No version is live.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.by_name.entry(name.to_owned()).or_default().remove();
        self.write(name)
    }

    /// An earlier version, and its file: the one before the live one, or the one whose digest begins so.
    pub(super) fn earlier(&mut self, name: &str, to: Option<&str>) -> Result<(Version, PathBuf), DeployError> {
        let is_live = self.live_files.contains_key(name);
        let none = if is_live { DeployError::NoPrevious } else { DeployError::Unknown };
        let record = self.by_name.get(name).ok_or_else(|| none(name.to_owned()))?;
        let version = match to {
            None => record.previous().ok_or_else(|| DeployError::NoPrevious(name.to_owned()))?,
            Some(digest) => record
                .versions
                .iter()
                .find(|version| version.digest.starts_with(digest))
                .ok_or_else(|| DeployError::NoVersion { name: name.to_owned(), digest: digest.to_owned() })?,
        };
        let version = version.clone();
        let path = self.store()?.find(&version.digest)?;
        Ok((version, path))
    }

    /// The digests of all versions that are kept, or live by their file.
    pub(super) fn digests(&self) -> Vec<String> {
        let kept = self.by_name.values().flat_map(|record| &record.versions);
        let live = self.live_files.values().map(|live| &live.version);
        kept.chain(live).map(|version| version.digest.clone()).collect()
    }

    /// Removes files that no record needs, neither here nor on disk.
    pub(super) fn prune(&mut self) {
        for name in std::mem::take(&mut self.unwritten) {
            let _ = self.write(&name);
        }
        if let Some(store) = self.store.as_ref().filter(|_| self.unwritten.is_empty()) {
            store.prune(self.by_name.values());
        }
    }

    fn write(&mut self, name: &str) -> Result<(), StoreError> {
        let record = self.by_name.entry(name.to_owned()).or_default();
        record.configured = self.configured.get(name).cloned();
        let record = record.clone();
        self.unwritten.insert(name.to_owned());
        self.store()?.write(name, &record)?;
        self.unwritten.remove(name);
        Ok(())
    }
}

/// A version that comes from a file, now.
pub(super) fn version(digest: &str, size: u64, signature: Option<String>) -> Version {
    let deployed = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    Version { digest: digest.to_owned(), size, deployed, widened: Vec::new(), signature }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deploy(records: &mut Records, content: &[u8]) -> (String, Result<(), StoreError>) {
        let mut incoming = records.store().unwrap().incoming().unwrap();
        incoming.write(content).unwrap();
        let digest = incoming.digest();
        records.keep(incoming, &digest).unwrap();
        let put = records.put("users", version(&digest, content.len() as u64, None), false);
        records.prune();
        (digest, put)
    }

    #[test]
    fn no_file_goes_that_the_record_on_disk_still_needs() {
        let folder = tempfile::tempdir().unwrap();
        let mut records = Records::open(Some(folder.path().to_owned()), 2).unwrap();
        let (first, put) = deploy(&mut records, b"first");
        put.unwrap();
        let (record, aside) = (folder.path().join("users.json"), folder.path().join("aside"));
        fs::rename(&record, &aside).unwrap();
        // Nothing can be renamed into its place.
        fs::create_dir(&record).unwrap();
        for content in [b"2", b"3", b"4"] {
            assert!(deploy(&mut records, content).1.is_err());
        }
        let is_kept = |records: &mut Records, digest: &str| records.store().unwrap().find(digest).is_ok();
        assert!(is_kept(&mut records, &first), "a restart would look for it");
        fs::remove_dir(&record).unwrap();
        fs::rename(&aside, &record).unwrap();
        // Written with the next, and then what is not needed goes.
        let (last, put) = deploy(&mut records, b"5");
        put.unwrap();
        assert!(!is_kept(&mut records, &first) && is_kept(&mut records, &last));
    }

    #[test]
    fn a_store_that_cannot_be_read_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        assert!(Records::open(Some(store.clone()), 2).is_ok());
        fs::write(&store, "not a folder").unwrap();
        assert!(matches!(Records::open(Some(store), 2), Err(StoreError::Io { .. })));
    }
}
