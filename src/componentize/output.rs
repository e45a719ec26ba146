//! Where the component goes: found out before the build, replaced in one step after it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::BuildError;

/// A place beside the output, on the same file system.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    file: NamedTempFile,
}

impl Output {
    /// Fails if the output could not be written later.
    pub(super) fn reserve(path: &Path) -> Result<Self, BuildError> {
        let refuse = |source| BuildError::OutputNotWritable { path: path.to_owned(), source };
        if path.is_dir() {
            return Err(refuse(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name a file in it")));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".subcast-build-")
            .suffix(".partial")
            // As any other file: the process's umask takes away what it should.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(refuse)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Puts `component` in place, and returns its size. Readers see the old file or the new one, never a part.
    pub(super) fn publish(mut self, component: &Path) -> Result<u64, BuildError> {
        let path = self.path.clone();
        let refuse = move |source| BuildError::OutputNotWritable { path: path.clone(), source };
        let mut from = File::open(component).map_err(BuildError::Temporary)?;
        let size = io::copy(&mut from, self.file.as_file_mut()).map_err(&refuse)?;
        self.file.as_file().sync_all().map_err(&refuse)?;
        self.file.persist(&self.path).map_err(|error| refuse(error.error))?;
        Ok(size)
    }
}

/// The text of `path`, if there is one of at most `limit` bytes.
pub(super) fn text_of(path: &Path, limit: u64) -> Option<String> {
    let size = fs::metadata(path).ok()?.len();
    if size > limit { None } else { fs::read_to_string(path).ok() }
}
