//! The versions of modules on disk: what was deployed survives a restart, and what was live before can be live again.
//!
//! A version is a file named by its digest; what is live is a small record per module. Both come into place by renaming
//! what was written completely, so that a host that is killed at any moment finds either the old or the new.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempDir};
use thiserror::Error;

/// Why the store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("the module store cannot use {}: {source}", path.display())]
    Io {
        /// What was used.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Two hosts, one store.
    #[error(
        "the module store {} is in use by another host; give each host one of its own with [admin] store", .0.display()
    )]
    InUse(PathBuf),
    /// A record that this version did not write.
    #[error("the module store's record {} cannot be read ({reason}); repair or remove it", path.display())]
    Record {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A version that is not what its name says, or not there.
    #[error("version {digest:.12} is not in the module store, or its file was changed; deploy it again")]
    Missing {
        /// Which.
        digest: String,
    },
}

/// A version that was deployed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Version {
    /// sha256 of its `.wasm`, hexadecimal.
    pub digest: String,
    /// Bytes of its `.wasm`.
    pub size: u64,
    /// When it was deployed, RFC 3339.
    pub deployed: String,
    /// What it loosened compared with the version before, as `--allow-widening` allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widened: Vec<String>,
    /// Its signature, base64, if it came with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What is known of a module's versions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// Digest of the configured file when this was written. Once the file is another one, it counts more than the record.
    pub(super) configured: Option<String>,
    /// Oldest first.
    pub(super) versions: Vec<Version>,
    /// Which of them is live; `None`: the module was removed.
    pub(super) live: Option<String>,
}

impl Record {
    /// The version before the live one; the newest one if none is live.
    pub(super) fn previous(&self) -> Option<&Version> {
        match &self.live {
            None => self.versions.last(),
            Some(live) => {
                let at = self.versions.iter().position(|version| version.digest == *live)?;
                self.versions.get(at.checked_sub(1)?)
            }
        }
    }

    /// Puts a version on top, as the live one. Those that a rollback had left above the live one become the oldest.
    pub(super) fn put(&mut self, version: Version, most: usize) {
        if let Some(live) = self.live.take()
            && let Some(at) = self.versions.iter().position(|version| version.digest == live)
        {
            let above = self.versions.len() - at - 1;
            self.versions.rotate_right(above);
        }
        self.versions.retain(|known| known.digest != version.digest);
        self.live = Some(version.digest.clone());
        self.versions.push(version);
        let surplus = self.versions.len().saturating_sub(most);
        self.versions.drain(..surplus);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Held for as long as the host lives.
    _lock: File,
    /// Present if the store lives no longer than the host.
    _temporary: Option<TempDir>,
}

/// A component that has arrived, and is not part of the store yet. Gone if dropped.
#[derive(Debug)]
pub(super) struct Incoming {
    file: NamedTempFile,
    hasher: Sha256,
    size: u64,
}

impl Store {
    /// Opens the folder, and makes it if it is not there. Without a folder, one that is gone with the host.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, StoreError> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("subcast-")
                    .tempdir()
                    .map_err(|source| StoreError::Io { path: std::env::temp_dir(), source })?,
            ),
        };
        let folder = folder
            .map_or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned()).unwrap_or_default(), Path::to_owned);
        let failed = |source| StoreError::Io { path: folder.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::InUse(folder)),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let store = Self { folder, _lock: lock, _temporary: temporary };
        store.sweep();
        Ok(store)
    }

    /// All records, by module.
    pub(super) fn records(&self) -> Result<BTreeMap<String, Record>, StoreError> {
        let failed = |source| StoreError::Io { path: self.folder.clone(), source };
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let text = fs::read_to_string(&path).map_err(failed)?;
            let record: Record = serde_json::from_str(&text)
                .map_err(|error| StoreError::Record { path: path.clone(), reason: error.to_string() })?;
            records.insert(name.to_owned(), record);
        }
        Ok(records)
    }

    /// Writes a module's record. Once this has returned, a restart goes by it.
    pub(super) fn write(&self, name: &str, record: &Record) -> Result<(), StoreError> {
        let path = self.folder.join(format!("{name}.json"));
        let write = || -> io::Result<()> {
            let mut file = self.temporary_file()?;
            serde_json::to_writer_pretty(&mut file, record)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            self.sync()
        };
        write().map_err(|source| StoreError::Io { path: path.clone(), source })
    }

    /// Room for a component that is about to arrive.
    pub(super) fn incoming(&self) -> Result<Incoming, StoreError> {
        let file = self.temporary_file().map_err(|source| StoreError::Io { path: self.folder.clone(), source })?;
        Ok(Incoming { file, hasher: Sha256::new(), size: 0 })
    }

    /// Takes a component over that has arrived completely. Its file is there under its digest from then on.
    pub(super) fn adopt(&self, incoming: Incoming, digest: &str) -> Result<PathBuf, StoreError> {
        let path = self.path(digest);
        let adopt = || -> io::Result<()> {
            incoming.file.as_file().sync_all()?;
            incoming.file.persist(&path)?;
            self.sync()
        };
        adopt().map_err(|source| StoreError::Io { path: path.clone(), source })?;
        Ok(path)
    }

    /// The file of a version, if it is there and is what its name says.
    pub(super) fn find(&self, digest: &str) -> Result<PathBuf, StoreError> {
        let missing = || StoreError::Missing { digest: digest.to_owned() };
        let path = self.path(digest);
        let mut file = File::open(&path).map_err(|_| missing())?;
        let (found, _) = hash(&mut file).map_err(|_| missing())?;
        if found == digest { Ok(path) } else { Err(missing()) }
    }

    /// Removes the files of versions that no record has.
    pub(super) fn prune<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let kept: BTreeSet<String> =
            records.flat_map(|record| record.versions.iter().map(|version| version.digest.clone())).collect();
        for (path, stem) in self.files("wasm") {
            if !kept.contains(&stem) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Removes what an earlier host was in the middle of.
    fn sweep(&self) {
        for (path, _) in self.files("part") {
            let _ = fs::remove_file(path);
        }
    }

    fn files(&self, extension: &str) -> Vec<(PathBuf, String)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        paths
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .filter_map(|path| Some((path.clone(), path.file_stem()?.to_str()?.to_owned())))
            .collect()
    }

    fn temporary_file(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix("incoming-").suffix(".part").tempfile_in(&self.folder)
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }

    /// Makes renames last.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

impl Incoming {
    /// Appends what has arrived.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Appends all of a file.
    pub(super) fn copy(&mut self, mut file: &File) -> io::Result<()> {
        file.rewind()?;
        let mut chunk = vec![0; 1 << 20];
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(()),
                count => self.write(&chunk[..count])?,
            }
        }
    }

    /// Bytes so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// sha256 of what has arrived, hexadecimal.
    pub(super) fn digest(&self) -> String {
        hex::encode(self.hasher.clone().finalize())
    }
}

/// sha256 and size of a file.
pub(super) fn hash(file: &mut File) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((hex::encode(hasher.finalize()), size)),
            count => {
                hasher.update(&chunk[..count]);
                size += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(digest: &str) -> Version {
        let digest = digest.to_owned();
        Version { digest, size: 1, deployed: String::new(), widened: Vec::new(), signature: None }
    }

    fn digests(record: &Record) -> Vec<&str> {
        record.versions.iter().map(|version| version.digest.as_str()).collect()
    }

    fn arrived(store: &Store, content: &[u8]) -> (Incoming, String) {
        let mut incoming = store.incoming().unwrap();
        incoming.write(content).unwrap();
        let digest = incoming.digest();
        (incoming, digest)
    }

    #[test]
    fn the_version_before_the_live_one_is_what_a_rollback_brings() {
        let mut record = Record::default();
        assert_eq!(record.previous(), None);
        for digest in ["a", "b", "c"] {
            record.put(version(digest), 5);
        }
        assert_eq!(record.previous().unwrap().digest, "b");
        record.live = Some("b".to_owned());
        assert_eq!(record.previous().unwrap().digest, "a");
        // `c`, which was rolled back from, is not what a rollback of `d` brings.
        record.put(version("d"), 5);
        assert_eq!(digests(&record), ["c", "a", "b", "d"]);
        assert_eq!(record.previous().unwrap().digest, "b");
        record.live = None;
        assert_eq!(record.previous().unwrap().digest, "d");
    }

    #[test]
    fn no_more_versions_than_the_bound_are_kept_and_none_twice() {
        let mut record = Record::default();
        for digest in ["a", "b", "c", "b", "d"] {
            record.put(version(digest), 3);
        }
        assert_eq!(digests(&record), ["c", "b", "d"]);
    }

    #[test]
    fn what_was_written_is_there_for_the_next_host() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path())).unwrap();
        let (incoming, digest) = arrived(&store, b"component");
        store.adopt(incoming, &digest).unwrap();
        let mut record = Record::default();
        record.put(version(&digest), 5);
        store.write("users", &record).unwrap();
        assert!(matches!(Store::open(Some(folder.path())), Err(StoreError::InUse(_))));
        drop(store);
        let store = Store::open(Some(folder.path())).unwrap();
        assert_eq!(store.records().unwrap(), BTreeMap::from([("users".to_owned(), record)]));
        assert_eq!(fs::read(store.find(&digest).unwrap()).unwrap(), b"component");
    }

    #[test]
    fn a_version_whose_file_was_changed_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path())).unwrap();
        let (incoming, digest) = arrived(&store, b"component");
        let path = store.adopt(incoming, &digest).unwrap();
        fs::write(path, b"c0mponent").unwrap();
        assert!(matches!(store.find(&digest), Err(StoreError::Missing { .. })));
    }

    #[test]
    fn what_is_cut_off_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path())).unwrap();
        let (incoming, digest) = arrived(&store, b"compo");
        // A host that is killed runs no destructors.
        let (_, path) = incoming.file.keep().unwrap();
        assert!(store.find(&digest).is_err());
        drop(store);
        Store::open(Some(folder.path())).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn only_versions_that_a_record_has_stay() {
        let store = Store::open(None).unwrap();
        let mut digests = Vec::new();
        for content in [b"a", b"b"] {
            let (incoming, digest) = arrived(&store, content);
            store.adopt(incoming, &digest).unwrap();
            digests.push(digest);
        }
        let mut record = Record::default();
        record.put(version(&digests[1]), 5);
        store.prune(std::iter::once(&record));
        assert!(store.find(&digests[0]).is_err() && store.find(&digests[1]).is_ok());
    }
}
