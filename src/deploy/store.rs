//! The versions of modules on disk: what was deployed survives a restart, and what was live before can be live again.
//!
//! A version is a file named by its digest; what is live is a small record per module. Both come into place by renaming
//! what was written completely, so that a host that is killed at any moment finds either the old or the new.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempDir};
use thiserror::Error;

use super::history::{Record, is_digest};
use crate::digest::{self, sha256};
use crate::pace;

/// Bytes of a record that are read. One version takes 60 KB at most, most of it what it loosened, and usually 300 bytes.
const RECORD_BYTES: u64 = 64 << 20;
/// How the names of files begin that have not arrived completely.
const ARRIVING: &str = "incoming-";

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
    /// Others could put versions into service.
    #[error(
        "the module store {} must belong to this user, and nobody else may write to it: run `chmod go-w` on it, or give [admin] store a folder that is not there yet", .0.display()
    )]
    Shared(PathBuf),
    /// A record that no host has written.
    #[error(
        "the module store's record {} cannot be read ({reason}); repair it, or remove it to forget what was deployed", path.display()
    )]
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

/// See the module.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Held for as long as the host lives.
    _lock: Lock,
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
        let metadata = fs::metadata(&folder).map_err(failed)?;
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            return Err(StoreError::Shared(folder));
        }
        let lock = match Lock::take(&folder.join("lock")) {
            Ok(lock) => lock,
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::InUse(folder)),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        };
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
            let file = digest::open(&path).map_err(|source| StoreError::Io { path: path.clone(), source })?;
            let bytes = pace::read(&file, RECORD_BYTES + 1).map_err(failed)?;
            let parsed = if bytes.len() as u64 > RECORD_BYTES {
                Err(format!("it has more than {RECORD_BYTES} bytes"))
            } else {
                serde_json::from_slice(&bytes).map_err(|error| error.to_string())
            };
            let record = parsed
                .and_then(|record: Record| record.fault().map_or(Ok(record), Err))
                .map_err(|reason| StoreError::Record { path: path.clone(), reason })?;
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
        let file = File::open(&path).map_err(|_| missing())?;
        let (found, _) = sha256(file).map_err(|_| missing())?;
        if found == digest { Ok(path) } else { Err(missing()) }
    }

    /// Removes the files of versions that no record has.
    pub(super) fn prune<'a>(&self, records: impl Iterator<Item = &'a Record>) {
        let kept: BTreeSet<String> =
            records.flat_map(|record| record.versions.iter().map(|version| version.digest.clone())).collect();
        for (path, stem) in self.files("wasm") {
            // Whatever else lies in the folder is somebody else's.
            if is_digest(&stem) && !kept.contains(&stem) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Removes what an earlier host was in the middle of.
    fn sweep(&self) {
        for (path, _) in self.files("part").into_iter().filter(|(_, stem)| stem.starts_with(ARRIVING)) {
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
        tempfile::Builder::new().prefix(ARRIVING).suffix(".part").tempfile_in(&self.folder)
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
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        let written = pace::write(&mut self.file, bytes);
        written.map_err(|source| StoreError::Io { path: self.file.path().to_owned(), source })
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

/// A locked file.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    /// What is in the file already stays as it is, and a link is not followed.
    fn take(path: &Path) -> Result<Self, fs::TryLockError> {
        let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let file = options.open(path).map_err(fs::TryLockError::Error)?;
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    /// Closing the file is not enough: a child process that is just being started holds a copy of it.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::deploy::history::Version;

    fn record(digest: &str) -> Record {
        let mut record = Record::default();
        let (digest, deployed) = (digest.to_owned(), String::new());
        record.put(Version { digest, size: 1, deployed, widened: Vec::new(), signature: None }, 5);
        record
    }

    fn arrived(store: &Store, content: &[u8]) -> (Incoming, String) {
        let mut incoming = store.incoming().unwrap();
        incoming.write(content).unwrap();
        let digest = incoming.digest();
        (incoming, digest)
    }

    #[test]
    fn what_was_written_is_there_for_the_next_host() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path())).unwrap();
        let (incoming, digest) = arrived(&store, b"component");
        store.adopt(incoming, &digest).unwrap();
        let record = record(&digest);
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
    fn a_child_that_is_being_started_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        // What a process has between fork and exec.
        let _copy = lock.0.try_clone().unwrap();
        assert!(Lock::take(&path).is_err());
        drop(lock);
        assert!(Lock::take(&path).is_ok());
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
        store.prune(std::iter::once(&record(&digests[1])));
        assert!(store.find(&digests[0]).is_err() && store.find(&digests[1]).is_ok());
    }

    #[test]
    fn what_is_not_its_own_stays() {
        let folder = tempfile::tempdir().unwrap();
        let others = ["users.wasm", "download.part"].map(|name| folder.path().join(name));
        for path in &others {
            fs::write(path, "content").unwrap();
        }
        let store = Store::open(Some(folder.path())).unwrap();
        store.prune(std::iter::empty());
        assert!(others.iter().all(|path| path.exists()));
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(Store::open(Some(folder.path())), Err(StoreError::Shared(_))));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Store::open(Some(folder.path())).is_ok());
    }

    #[test]
    fn a_link_in_place_of_the_lock_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "content").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("lock")).unwrap();
        assert!(matches!(Store::open(Some(folder.path())), Err(StoreError::Io { .. })));
        assert_eq!(fs::read_to_string(&other).unwrap(), "content");
    }

    #[test]
    fn a_record_that_no_host_has_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path())).unwrap();
        for text in
            ["{", "{\"configured\":\"\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\",\"versions\":[],\"live\":null}"]
        {
            fs::write(folder.path().join("users.json"), text).unwrap();
            let error = store.records().unwrap_err().to_string();
            assert!(error.contains("users.json") && error.contains("repair it, or remove it"), "{error}");
        }
    }
}
