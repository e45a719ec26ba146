//! Compiled modules on disk.
//!
//! What lies here is loaded as native code, so it is trusted only if it carries a tag that this host made: an HMAC under
//! a key that lies beside it. Folder and key belong to this user alone; whoever can write here could as well replace
//! this program.
//!
//! The folder is bounded in bytes. A file that somebody may need soon has a shared lock ([`Kept`]): the modules that are
//! live, and the versions that a rollback could bring back. Pruning removes only what it can lock for itself, so that it
//! respects the locks of all hosts that share the folder; a lock ends with its process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use thiserror::Error;

use crate::pace;

/// Compiled modules that are kept, whatever their size: pruning looks at each of them.
const KEPT: usize = 1_024;
/// How the names of files begin that are being written.
const UNFINISHED: &str = ".compiling-";
const KEY_BYTES: usize = 32;

/// Why the cache cannot be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// No folder is configured, and there is none by default.
    #[error("there is no folder for compiled modules: set [sandbox] cache_dir, or $XDG_CACHE_HOME or $HOME")]
    NoFolder,
    /// Others could replace native code.
    #[error("{} must belong to this user alone, since it holds native code: remove it, or run `chmod 700` on it", .0.display())]
    Shared(PathBuf),
    /// The file system refuses.
    #[error("failed to use {}: {source}", path.display())]
    Io {
        /// What was used.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    /// Bytes beyond which what has not been used for the longest time is removed.
    most: u64,
    /// What [`Cache::hold`] was told to keep, by name.
    held: Arc<Mutex<BTreeMap<String, Kept>>>,
}

/// A name for new files that nobody else has. The file is removed with it.
pub(super) type Unfinished = tempfile::TempPath;

/// A compiled module that stays where it is for as long as this lives.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// Locked, shared.
    file: File,
}

impl Kept {
    /// `None` if it is not there, or just being removed.
    fn open(path: PathBuf) -> Option<Self> {
        let file = File::open(&path).ok()?;
        file.try_lock_shared().ok()?;
        // Removed between the two.
        (file.metadata().ok()?.nlink() > 0).then_some(Self { path, file })
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Cache {
    /// Opens the folder, and makes it and its key if they are not there. `most`: bytes of what is kept there.
    pub(super) fn open(configured: Option<&Path>, most: u64) -> Result<Self, CacheError> {
        let folder = match configured {
            Some(folder) => folder.to_owned(),
            None => default_folder().ok_or(CacheError::NoFolder)?,
        };
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))?;
        let metadata = fs::metadata(&folder).map_err(failed(&folder))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
            return Err(CacheError::Shared(folder));
        }
        let path = folder.join("key");
        let key = key(&folder, &path).map_err(failed(&path))?;
        Ok(Self { folder, key, most, held: Arc::default() })
    }

    /// The compiled form of a module, if it is there and holds.
    pub(super) fn find(&self, name: &str) -> Option<Kept> {
        let mut kept = Kept::open(self.path(name))?;
        let tag = fs::read(self.tag_path(name)).ok()?;
        let mac = self.mac(name, &mut kept.file).ok()?;
        if mac.verify_slice(&tag).is_err() {
            tracing::warn!(path = %kept.path.display(), "a compiled module does not hold what its tag says; compiling it again");
            return None;
        }
        // Used now: what is kept is decided by this.
        let _ = kept.file.set_modified(SystemTime::now());
        Some(kept)
    }

    /// A place for a compiler to write to, inside the folder.
    pub(super) fn unfinished(&self) -> Result<Unfinished, CacheError> {
        Ok(self.temporary().map_err(|source| CacheError::Io { path: self.folder.clone(), source })?.into_temp_path())
    }

    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder)
    }

    /// Takes over what a compiler has written.
    pub(super) fn keep(&self, name: &str, unfinished: Unfinished) -> Result<Kept, CacheError> {
        let path = self.path(name);
        let store = || -> io::Result<File> {
            let mut file = File::open(&unfinished)?;
            let mac = self.mac(name, &mut file)?;
            let mut tag = self.temporary()?;
            tag.write_all(&mac.finalize().into_bytes())?;
            tag.persist(self.tag_path(name))?;
            // Before it has its name, so that nobody prunes it.
            file.lock_shared()?;
            unfinished.persist(&path)?;
            Ok(file)
        };
        let file = store().map_err(|source| CacheError::Io { path: path.clone(), source })?;
        self.prune();
        Ok(Kept { path, file })
    }

    /// Keeps the compiled forms with these names until it is told others. Names that are not there are left out.
    pub(super) fn hold(&self, names: BTreeSet<String>) {
        let mut held = self.held.lock();
        let before = held.len();
        held.retain(|name, _| names.contains(name));
        let is_released = held.len() < before;
        for name in names {
            if !held.contains_key(&name)
                && let Some(kept) = Kept::open(self.path(&name))
            {
                held.insert(name, kept);
            }
        }
        drop(held);
        if is_released {
            self.prune();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.cwasm"))
    }

    fn tag_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.tag"))
    }

    /// Over the name, too: a good file under another name is none.
    fn mac(&self, name: &str, file: &mut File) -> io::Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(io::Error::other)?;
        mac.update(name.as_bytes());
        mac.update(b"\0");
        let mut chunk = vec![0; pace::BYTES];
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(mac),
                count => mac.update(&chunk[..count]),
            }
            pace::pause();
        }
    }

    /// Removes what has not been used for the longest time and is not locked, until the rest is within the bounds; and what a
    /// cut-off compiler left behind.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut compiled = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(metadata) = entry.metadata() else { continue };
            let Ok(modified) = metadata.modified() else { continue };
            if path.extension().is_some_and(|extension| extension == "cwasm") {
                compiled.push((modified, path, metadata.len()));
            } else if is_old(modified) && is_leftover(&path) {
                let _ = fs::remove_file(path);
            }
        }
        compiled.sort();
        let (mut count, mut bytes) = (compiled.len(), compiled.iter().map(|(.., size)| size).sum::<u64>());
        for (_, path, size) in compiled {
            if count <= KEPT && bytes <= self.most {
                return;
            }
            let free = File::open(&path).is_ok_and(|file| {
                let free = file.try_lock().is_ok();
                if free {
                    let _ = fs::remove_file(&path);
                    let _ = fs::remove_file(path.with_extension("tag"));
                }
                free
            });
            if free {
                (count, bytes) = (count - 1, bytes - size);
            }
        }
    }
}

/// Whether somebody was in the middle of writing or of removing this.
fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(UNFINISHED)
        || path.extension().is_some_and(|extension| extension == "tag") && !path.with_extension("cwasm").exists()
}

fn is_old(modified: SystemTime) -> bool {
    modified.elapsed().is_ok_and(|age| age.as_secs() > 3_600)
}

/// Where caches are, unless that is configured; `None` if the environment does not tell.
#[must_use]
pub fn default_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).map(|caches| caches.join("subcast"))
}

/// Reads the key, or makes one. Several hosts may start at the same time: the first one's key counts.
fn key(folder: &Path, path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    match read_key(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&rand::random::<[u8; KEY_BYTES]>())?;
            match file.persist_noclobber(path) {
                Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
                _ => read_key(path),
            }
        }
        read => read,
    }
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut file =
        OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(&folder.path().join("modules")), 1 << 20).unwrap();
        (folder, cache)
    }

    fn keep(cache: &Cache, name: &str, content: &[u8]) -> PathBuf {
        kept(cache, name, content).path().to_owned()
    }

    fn kept(cache: &Cache, name: &str, content: &[u8]) -> Kept {
        let unfinished = cache.unfinished().unwrap();
        fs::write(&unfinished, content).unwrap();
        cache.keep(name, unfinished).unwrap()
    }

    fn found(cache: &Cache, name: &str) -> Option<PathBuf> {
        cache.find(name).map(|kept| kept.path().to_owned())
    }

    /// The names of what is kept.
    fn names(cache: &Cache) -> BTreeSet<String> {
        let entries = fs::read_dir(&cache.folder).unwrap().map(|entry| entry.unwrap().path());
        let compiled = entries.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"));
        compiled.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// Makes it look unused for so many seconds.
    fn age(cache: &Cache, name: &str, seconds: u64) {
        let then = SystemTime::now() - std::time::Duration::from_secs(seconds);
        File::open(cache.path(name)).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn what_was_kept_is_found_also_by_the_next_host() {
        let (folder, cache) = cache();
        let path = keep(&cache, "a", b"code");
        assert_eq!(found(&cache, "a"), Some(path.clone()));
        assert_eq!(fs::read(&path).unwrap(), b"code");
        let next = Cache::open(Some(&folder.path().join("modules")), 1 << 20).unwrap();
        assert_eq!(found(&next, "a"), Some(path));
        assert_eq!(found(&cache, "b"), None);
    }

    #[test]
    fn what_was_changed_is_not_loaded() {
        let (_folder, cache) = cache();
        let path = keep(&cache, "a", b"code");
        fs::write(&path, b"cod3").unwrap();
        assert_eq!(found(&cache, "a"), None);
    }

    #[test]
    fn a_good_file_under_another_name_is_not_loaded() {
        let (_folder, cache) = cache();
        keep(&cache, "a", b"code");
        fs::copy(cache.path("a"), cache.path("b")).unwrap();
        fs::copy(cache.tag_path("a"), cache.tag_path("b")).unwrap();
        assert_eq!(found(&cache, "b"), None);
    }

    #[test]
    fn a_file_without_a_tag_of_ours_is_not_loaded() {
        let (_folder, cache) = cache();
        let (_other_folder, other) = self::cache();
        keep(&other, "a", b"code");
        fs::copy(other.path("a"), cache.path("a")).unwrap();
        assert_eq!(found(&cache, "a"), None);
        fs::copy(other.tag_path("a"), cache.tag_path("a")).unwrap();
        assert_eq!(found(&cache, "a"), None);
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Cache::open(Some(folder.path()), 1 << 20), Err(CacheError::Shared(_))));
    }

    #[test]
    fn no_more_bytes_than_the_bound_are_kept_and_the_oldest_goes_first() {
        let (_folder, cache) = cache();
        let third = vec![0; 400 << 10];
        for (name, unused) in [("a", 30), ("b", 20), ("c", 10)] {
            keep(&cache, name, &third);
            age(&cache, name, unused);
        }
        assert_eq!(names(&cache), ["b", "c"].map(str::to_owned).into());
        // Its tag goes with it.
        assert!(!cache.tag_path("a").exists());
    }

    #[test]
    fn no_more_files_than_the_bound_are_kept() {
        let (_folder, cache) = cache();
        for n in 0..KEPT + 3 {
            keep(&cache, &format!("m{n}"), b"code");
        }
        assert_eq!(names(&cache).len(), KEPT);
    }

    #[test]
    fn what_is_live_or_held_is_not_pruned_not_even_by_another_host() {
        let (folder, cache) = cache();
        let (live, half) = (kept(&cache, "live", &vec![0; 500 << 10]), vec![0; 500 << 10]);
        drop(kept(&cache, "previous", &half));
        age(&cache, "live", 50);
        age(&cache, "previous", 40);
        cache.hold(["previous", "never compiled"].map(str::to_owned).into());
        let other = Cache::open(Some(&folder.path().join("modules")), 1 << 20).unwrap();
        for name in ["x", "y", "z"] {
            drop(kept(&other, name, &half));
        }
        assert!(names(&cache).is_superset(&["live", "previous"].map(str::to_owned).into()), "{:?}", names(&cache));
        assert!(!names(&cache).contains("x"), "what nobody holds goes");
        // Once nobody needs them any more, they go like all others.
        drop(live);
        cache.hold(BTreeSet::new());
        drop(kept(&other, "last", &half));
        assert!(names(&cache).is_disjoint(&["live", "previous"].map(str::to_owned).into()), "{:?}", names(&cache));
    }
}
