//! Compiled modules on disk.
//!
//! What lies here is loaded as native code, so it is trusted only if it carries a tag that this host made: an HMAC under
//! a key that lies beside it. Folder and key belong to this user alone; whoever can write here could as well replace
//! this program.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::pace;

/// Compiled modules that are kept, 36 MB each; the one unused for the longest time goes first.
const KEPT: usize = 32;
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
}

/// A name for new files that nobody else has.
pub(super) type Unfinished = tempfile::TempPath;

impl Cache {
    /// Opens the folder, and makes it and its key if they are not there.
    pub(super) fn open(configured: Option<&Path>) -> Result<Self, CacheError> {
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
        Ok(Self { folder, key })
    }

    /// The compiled form of a module, if it is there and holds.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        let path = self.path(name);
        let tag = fs::read(self.tag_path(name)).ok()?;
        let mut file = File::open(&path).ok()?;
        let mac = self.mac(name, &mut file).ok()?;
        if mac.verify_slice(&tag).is_err() {
            tracing::warn!(path = %path.display(), "a compiled module does not hold what its tag says; compiling it again");
            return None;
        }
        // Used now: what is kept is decided by this.
        let _ = file.set_modified(SystemTime::now());
        Some(path)
    }

    /// A place for a compiler to write to, inside the folder.
    pub(super) fn unfinished(&self) -> Result<Unfinished, CacheError> {
        tempfile::Builder::new()
            .prefix(".compiling-")
            .tempfile_in(&self.folder)
            .map(tempfile::NamedTempFile::into_temp_path)
            .map_err(|source| CacheError::Io { path: self.folder.clone(), source })
    }

    /// Takes over what a compiler has written.
    pub(super) fn keep(&self, name: &str, unfinished: Unfinished) -> Result<PathBuf, CacheError> {
        let path = self.path(name);
        let store = || -> io::Result<()> {
            let mac = self.mac(name, &mut File::open(&unfinished)?)?;
            let mut tag = tempfile::NamedTempFile::new_in(&self.folder)?;
            tag.write_all(&mac.finalize().into_bytes())?;
            tag.persist(self.tag_path(name))?;
            unfinished.persist(&path)?;
            Ok(())
        };
        store().map_err(|source| CacheError::Io { path: path.clone(), source })?;
        self.prune();
        Ok(path)
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

    /// Removes what has not been used for the longest time, and what a cut-off compiler left behind.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut compiled = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
            let name = entry.file_name();
            if path.extension().is_some_and(|extension| extension == "cwasm") {
                compiled.push((modified, path));
            } else if name.to_string_lossy().starts_with(".compiling-") && is_old(modified) {
                let _ = fs::remove_file(path);
            }
        }
        compiled.sort();
        for (_, path) in compiled.iter().rev().skip(KEPT) {
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(path.with_extension("tag"));
        }
    }
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
        let cache = Cache::open(Some(&folder.path().join("modules"))).unwrap();
        (folder, cache)
    }

    fn keep(cache: &Cache, name: &str, content: &[u8]) -> PathBuf {
        let unfinished = cache.unfinished().unwrap();
        fs::write(&unfinished, content).unwrap();
        cache.keep(name, unfinished).unwrap()
    }

    #[test]
    fn what_was_kept_is_found_also_by_the_next_host() {
        let (folder, cache) = cache();
        let path = keep(&cache, "a", b"code");
        assert_eq!(cache.find("a"), Some(path.clone()));
        assert_eq!(fs::read(&path).unwrap(), b"code");
        let next = Cache::open(Some(&folder.path().join("modules"))).unwrap();
        assert_eq!(next.find("a"), Some(path));
        assert_eq!(cache.find("b"), None);
    }

    #[test]
    fn what_was_changed_is_not_loaded() {
        let (_folder, cache) = cache();
        let path = keep(&cache, "a", b"code");
        fs::write(&path, b"cod3").unwrap();
        assert_eq!(cache.find("a"), None);
    }

    #[test]
    fn a_good_file_under_another_name_is_not_loaded() {
        let (_folder, cache) = cache();
        keep(&cache, "a", b"code");
        fs::copy(cache.path("a"), cache.path("b")).unwrap();
        fs::copy(cache.tag_path("a"), cache.tag_path("b")).unwrap();
        assert_eq!(cache.find("b"), None);
    }

    #[test]
    fn a_file_without_a_tag_of_ours_is_not_loaded() {
        let (_folder, cache) = cache();
        let (_other_folder, other) = self::cache();
        keep(&other, "a", b"code");
        fs::copy(other.path("a"), cache.path("a")).unwrap();
        assert_eq!(cache.find("a"), None);
        fs::copy(other.tag_path("a"), cache.tag_path("a")).unwrap();
        assert_eq!(cache.find("a"), None);
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Cache::open(Some(folder.path())), Err(CacheError::Shared(_))));
    }

    #[test]
    fn no_more_than_the_bound_is_kept() {
        let (_folder, cache) = cache();
        for n in 0..KEPT + 3 {
            keep(&cache, &format!("m{n}"), b"code");
        }
        let kept = fs::read_dir(&cache.folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "cwasm"));
        assert_eq!(kept.count(), KEPT);
    }
}
