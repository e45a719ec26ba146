//! Credential of the publish and admin routes on a host without configured tokens: drawn at start, left in a file that only
//! the user of the host may read, removed when the host no longer listens.
//!
//! The file is named by the listening address (`127.0.0.1:8000.token`), so that two hosts on one port of different addresses
//! do not meet. A living host holds a lock on its file. The file of a killed host has none: [`find`] ignores it, and the
//! next host in the folder removes it.
//!
//! Protects against other users of the machine and against everybody who reaches the host over a network. Does not protect
//! against programs of the same user.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use thiserror::Error;

use crate::text::foreign_error;

/// Random bytes of a credential; it is written as hexadecimal digits.
const BYTES: usize = 32;
/// Longest file that is read as a credential.
const MOST_BYTES: u64 = 1024;
const EXTENSION: &str = "token";
/// How the names of files begin that are not complete yet.
const UNFINISHED: &str = ".drawn-";

/// Why a host cannot leave its credential.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// Others could take the folder's files away or put their own there.
    #[error(
        "{} cannot hold the host's credential, because it is not a folder of this user alone: remove it, or set [server] runtime_dir to another folder", .0.display()
    )]
    Shared(PathBuf),
    /// The file system refuses.
    #[error(
        "failed to leave the host's credential in {}: {source}; set [server] runtime_dir to a folder of this user, or configure tokens with [publish] token_env and [admin] token_env", path.display()
    )]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Folders in which hosts of this user leave credentials. A host takes the first that it can use, commands look into all.
#[derive(Clone, Debug)]
pub struct Folders(Vec<Folder>);

#[derive(Clone, Debug)]
struct Folder {
    path: PathBuf,
    /// Chosen by the operator: made with its parents, may be a link, and may be read by others, as `RuntimeDirectory` of
    /// systemd is.
    is_configured: bool,
}

impl Folders {
    /// `[server] runtime_dir` if configured, `subcast` in `$XDG_RUNTIME_DIR`, and `subcast-UID` in the folder of temporary
    /// files.
    #[must_use]
    pub fn new(configured: Option<&Path>) -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        Self::within(configured, runtime.as_deref(), &std::env::temp_dir())
    }

    fn within(configured: Option<&Path>, runtime: Option<&Path>, temporary: &Path) -> Self {
        let own = format!("subcast-{}", rustix::process::geteuid().as_raw());
        let presets = [runtime.map(|runtime| runtime.join("subcast")), Some(temporary.join(own))];
        let configured = configured.map(|path| Folder { path: path.to_owned(), is_configured: true });
        let presets = presets.into_iter().flatten().map(|path| Folder { path, is_configured: false });
        Self(configured.into_iter().chain(presets).collect())
    }

    /// The folder that a host uses: the configured one, or the first of the others that works.
    fn open(&self) -> Result<&Folder, CredentialError> {
        let (last, before) = self.0.split_last().expect("the folder of temporary files is always among them");
        for folder in before {
            match folder.open() {
                Ok(()) => return Ok(folder),
                Err(error) if folder.is_configured => return Err(error),
                Err(error) => {
                    tracing::warn!(error = %foreign_error(&error), "the credential goes into another folder");
                }
            }
        }
        last.open().map(|()| last)
    }
}

impl std::fmt::Display for Folders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, folder) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { " or " };
            write!(f, "{before}{}", folder.path.display())?;
        }
        Ok(())
    }
}

impl Folder {
    /// Makes the folder if it is not there, and verifies that it is one of this user.
    fn open(&self) -> Result<(), CredentialError> {
        match DirBuilder::new().recursive(self.is_configured).mode(0o700).create(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(CredentialError::Io { path: self.path.clone(), source })
            }
            _ if self.is_own() => Ok(()),
            _ => Err(CredentialError::Shared(self.path.clone())),
        }
    }

    /// Whether this is a folder of this user that no other user can change. Once it is, it stays so: only its owner may
    /// rename it, since folders of temporary files are sticky.
    fn is_own(&self) -> bool {
        let (metadata, others) = if self.is_configured {
            (fs::metadata(&self.path), 0o022)
        } else {
            (fs::symlink_metadata(&self.path), 0o077)
        };
        metadata.is_ok_and(|metadata| metadata.is_dir() && belongs_to_this_user(&metadata, others))
    }

    /// Held while files come and go. The kernel gives it back if the process is killed.
    fn lock(&self) -> io::Result<File> {
        let folder = File::open(&self.path)?;
        folder.lock()?;
        Ok(folder)
    }

    /// Removes what killed hosts have left behind.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)?.flatten() {
            let path = entry.path();
            let file_name = entry.file_name();
            let is_of_a_host = file_name.to_str().is_some_and(|name| name.starts_with(UNFINISHED) || is_name(name));
            if is_of_a_host && open_own(&path).is_some_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

fn belongs_to_this_user(metadata: &Metadata, others: u32) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & others == 0
}

/// A file that only this user may read. Links and anything that is not a file are none.
fn open_own(path: &Path) -> Option<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    (metadata.is_file() && belongs_to_this_user(&metadata, 0o077)).then_some(file)
}

/// The credential of a host, in its file. Removes the file when dropped.
pub(super) struct Left {
    folder: Folder,
    path: PathBuf,
    /// Locked for as long as the host listens.
    file: File,
    token: String,
}

impl std::fmt::Debug for Left {
    /// Says nothing of the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Left").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Left {
    /// Draws a credential for the host that listens on this address, and leaves it where commands of this user find it.
    pub(super) fn new(folders: &Folders, address: SocketAddr) -> Result<Self, CredentialError> {
        let folder = folders.open()?.clone();
        let token = hex::encode(rand::random::<[u8; BYTES]>());
        let path = folder.path.join(name(address));
        let leave = || -> io::Result<File> {
            let _lock = folder.lock()?;
            folder.sweep()?;
            // Complete and locked before it has its name. The mode is 0600.
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&folder.path)?;
            file.write_all(token.as_bytes())?;
            file.write_all(b"\n")?;
            file.as_file().lock()?;
            Ok(file.persist(&path)?)
        };
        match leave() {
            Ok(file) => Ok(Self { folder, path, file, token }),
            Err(source) => Err(CredentialError::Io { path: folder.path, source }),
        }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Left {
    /// Leaves the file of another host that has got the address meanwhile.
    fn drop(&mut self) {
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let _lock = self.folder.lock();
        let is_own = match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(own), Ok(there)) => id(own) == id(there),
            _ => false,
        };
        if is_own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The credential of the living host of this user that listens where a connection to `peer` arrives. `None` for addresses
/// that are not loopback: the credential would leave the machine.
#[must_use]
pub fn find(folders: &Folders, peer: SocketAddr) -> Option<String> {
    if !peer.ip().to_canonical().is_loopback() {
        return None;
    }
    let names = names(peer);
    let paths = names
        .iter()
        .flat_map(|name| folders.0.iter().filter(|folder| folder.is_own()).map(move |folder| folder.path.join(name)));
    paths.into_iter().find_map(|path| read(&path))
}

/// The credential in a file, if its host lives.
fn read(path: &Path) -> Option<String> {
    let file = open_own(path)?;
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).ok()?;
    Some(text.trim_end().to_owned()).filter(|token| !token.is_empty())
}

fn name(address: SocketAddr) -> String {
    format!("{}.{EXTENSION}", SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// Whether a file of this name can be that of a host.
fn is_name(file: &str) -> bool {
    let address = file.strip_suffix(EXTENSION).and_then(|rest| rest.strip_suffix('.'));
    address.is_some_and(|address| address.parse::<SocketAddr>().is_ok())
}

/// Names of the files of hosts that can be behind an address: of a host that listens on it, or on all addresses.
fn names(peer: SocketAddr) -> Vec<String> {
    let address = peer.ip().to_canonical();
    let mut listening = vec![address];
    if address.is_ipv4() {
        listening.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    if address.is_ipv6() || is_dual_stack() {
        listening.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    listening.into_iter().map(|address| name(SocketAddr::new(address, peer.port()))).collect()
}

/// Whether a host on `[::]` has the IPv4 addresses, too. Otherwise another user may listen on those.
fn is_dual_stack() -> bool {
    fs::read_to_string("/proc/sys/net/ipv6/bindv6only").is_ok_and(|text| text.trim() == "0")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn temporary(&self) -> Folders {
            Folders::within(None, None, self.0.path())
        }

        fn own(&self) -> PathBuf {
            self.0.path().join(format!("subcast-{}", rustix::process::geteuid().as_raw()))
        }

        fn configured(&self) -> Folders {
            Folders::within(Some(&self.0.path().join("a/b")), None, self.0.path())
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_credential_is_found_by_its_address_and_gone_with_its_host() {
        let place = Place::new();
        let folders = place.temporary();
        let left = Left::new(&folders, address("127.0.0.1:8000")).unwrap();
        assert_eq!((mode(left.path()), mode(&place.own())), (0o600, 0o700));
        assert_eq!(left.token().len(), 2 * BYTES);
        assert_eq!(find(&folders, address("127.0.0.1:8000")).as_deref(), Some(left.token()));
        for other in ["127.0.0.1:8001", "127.0.0.2:8000", "[::1]:8000", "192.0.2.1:8000"] {
            assert_eq!(find(&folders, address(other)), None, "{other}");
        }
        let path = left.path().to_owned();
        drop(left);
        assert!(!path.exists());
        assert_eq!(find(&folders, address("127.0.0.1:8000")), None);
    }

    #[test]
    fn a_host_on_all_addresses_is_found_at_each_of_loopback() {
        let place = Place::new();
        let folders = place.temporary();
        let four = Left::new(&folders, address("0.0.0.0:1")).unwrap();
        let six = Left::new(&folders, address("[::]:2")).unwrap();
        let both = Left::new(&folders, address("[::1]:1")).unwrap();
        for (peer, of) in [
            ("127.0.0.1:1", Some(&four)),
            ("127.0.0.9:1", Some(&four)),
            ("[::ffff:127.0.0.1]:1", Some(&four)),
            ("[::1]:1", Some(&both)),
            ("[::1]:2", Some(&six)),
            ("127.0.0.1:2", Some(&six).filter(|_| is_dual_stack())),
            ("192.0.2.1:1", None),
            ("0.0.0.0:1", None),
        ] {
            assert_eq!(find(&folders, address(peer)).as_deref(), of.map(Left::token), "{peer}");
        }
    }

    #[test]
    fn a_host_takes_the_configured_folder_and_commands_look_into_all() {
        let place = Place::new();
        let configured = place.configured();
        let here = Left::new(&configured, address("127.0.0.1:1")).unwrap();
        assert_eq!(here.path().parent().unwrap(), place.0.path().join("a/b"));
        let there = Left::new(&place.temporary(), address("127.0.0.1:2")).unwrap();
        assert_eq!(find(&configured, address("127.0.0.1:1")).as_deref(), Some(here.token()));
        assert_eq!(find(&configured, address("127.0.0.1:2")).as_deref(), Some(there.token()));
        // A folder of the session that cannot be used does not stand in the way.
        let nowhere = Folders::within(None, Some(Path::new("/nowhere")), place.0.path());
        let left = Left::new(&nowhere, address("127.0.0.1:3")).unwrap();
        assert_eq!(left.path().parent(), Some(place.own().as_path()));
        // One that was configured does.
        let file = place.0.path().join("file");
        fs::write(&file, "").unwrap();
        let wrong = Folders::within(Some(&file), None, place.0.path());
        assert!(Left::new(&wrong, address("127.0.0.1:4")).unwrap_err().to_string().contains("[server] runtime_dir"));
    }

    #[test]
    fn a_folder_that_others_may_use_or_that_is_a_link_holds_no_credential() {
        let place = Place::new();
        let folders = place.temporary();
        drop(Left::new(&folders, address("127.0.0.1:1")).unwrap());
        for open in [0o701, 0o750, 0o707, 0o1777] {
            fs::set_permissions(place.own(), fs::Permissions::from_mode(open)).unwrap();
            let refused = Left::new(&folders, address("127.0.0.1:1")).unwrap_err();
            assert!(matches!(refused, CredentialError::Shared(_)), "{open:o}: {refused}");
        }
        fs::set_permissions(place.own(), fs::Permissions::from_mode(0o700)).unwrap();
        let moved = place.0.path().join("moved");
        fs::rename(place.own(), &moved).unwrap();
        symlink(&moved, place.own()).unwrap();
        assert!(matches!(Left::new(&folders, address("127.0.0.1:1")), Err(CredentialError::Shared(_))));
        // Nor is one read from there.
        let elsewhere = Folders::within(Some(&moved), None, place.0.path());
        let left = Left::new(&elsewhere, address("127.0.0.1:1")).unwrap();
        assert_eq!(find(&folders, address("127.0.0.1:1")), None);
        assert_eq!(find(&elsewhere, address("127.0.0.1:1")).as_deref(), Some(left.token()));
    }

    #[test]
    fn what_is_not_a_file_of_this_user_alone_is_no_credential() {
        let place = Place::new();
        let folders = place.temporary();
        let left = Left::new(&folders, address("127.0.0.1:1")).unwrap();
        fs::set_permissions(left.path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(find(&folders, address("127.0.0.1:1")), None);
        fs::set_permissions(left.path(), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(find(&folders, address("127.0.0.1:1")).is_some());
        symlink(left.path(), place.own().join(name(address("127.0.0.1:2")))).unwrap();
        assert_eq!(find(&folders, address("127.0.0.1:2")), None);
        fs::create_dir(place.own().join(name(address("127.0.0.1:3")))).unwrap();
        assert_eq!(find(&folders, address("127.0.0.1:3")), None);
    }

    #[test]
    fn the_file_of_a_killed_host_is_ignored_replaced_and_swept() {
        let place = Place::new();
        let folders = place.temporary();
        let killed = |port: u16| {
            let left = Left::new(&folders, address(&format!("127.0.0.1:{port}"))).unwrap();
            let (path, copy) = (left.path().to_owned(), left.path().with_extension("copy"));
            // Another file, without a lock.
            fs::copy(&path, &copy).unwrap();
            drop(left);
            fs::rename(copy, &path).unwrap();
            path
        };
        let stale = killed(1);
        assert!(stale.exists());
        assert_eq!(find(&folders, address("127.0.0.1:1")), None);
        let next = Left::new(&folders, address("127.0.0.1:1")).unwrap();
        assert_eq!(find(&folders, address("127.0.0.1:1")).as_deref(), Some(next.token()));
        let stale = killed(2);
        let foreign = ["github.token", ".token", "127.0.0.1.token", "127.0.0.1:1"].map(|name| place.own().join(name));
        for path in &foreign {
            fs::copy(&stale, path).unwrap();
        }
        let other = Left::new(&folders, address("127.0.0.1:3")).unwrap();
        assert!(!stale.exists() && next.path().exists() && other.path().exists());
        assert!(foreign.iter().all(|path| path.exists()), "files of others are removed");
    }

    #[test]
    fn the_file_of_the_next_host_on_the_address_stays_when_the_one_before_ends() {
        let place = Place::new();
        let folders = place.temporary();
        let before = Left::new(&folders, address("127.0.0.1:1")).unwrap();
        let next = Left::new(&folders, address("127.0.0.1:1")).unwrap();
        assert_ne!(before.token(), next.token());
        drop(before);
        assert_eq!(find(&folders, address("127.0.0.1:1")).as_deref(), Some(next.token()));
    }
}
