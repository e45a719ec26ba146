//! The author's files: which ones belong to a module, and their digest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::BuildError;
use super::{embedded, layout, tool};

/// More than this is a repository, not a module.
const FILES: usize = 10_000;
const BYTES: u64 = 64 << 20;
/// Nobody nests packages like that; a loop of mounts does.
const DEPTH: usize = 32;

const EXTENSIONS: [&str; 5] = ["py", "pyi", "graphql", "json", "toml"];

/// The file that a build starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The folder that sources are taken from.
    pub(super) folder: PathBuf,
    /// Name of the file in it.
    pub(super) file: String,
}

impl Entry {
    /// `source` itself, or the `resolvers.py` in it.
    pub(super) fn locate(source: &Path) -> Result<Self, BuildError> {
        let absolute = match source.canonicalize() {
            Ok(absolute) => absolute,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BuildError::SourceNotFound(source.to_owned()));
            }
            Err(error) => return Err(BuildError::Unreadable { path: source.to_owned(), source: error }),
        };
        if absolute.is_dir() {
            if !absolute.join("resolvers.py").is_file() {
                return Err(BuildError::NoResolvers(source.to_owned()));
            }
            return Ok(Self { folder: absolute, file: "resolvers.py".to_owned() });
        }
        // The name and the folder as the author wrote them: a symbolic link (a mounted ConfigMap is full of them) stands
        // for a file among its neighbours.
        let name = source.file_name().and_then(|name| name.to_str());
        let folder = source.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
        match (folder.and_then(|folder| folder.canonicalize().ok()), name) {
            (Some(folder), Some(name)) if has_extension(Path::new(name), &["py"]) && absolute.is_file() => {
                Ok(Self { folder, file: name.to_owned() })
            }
            _ => Err(BuildError::NotPython(source.to_owned())),
        }
    }
}

/// The files of a module, read.
#[derive(Debug)]
pub(super) struct Sources {
    /// The file with the resolvers, relative to the module's folder.
    pub(super) entry: String,
    /// Paths relative to the module's folder, with contents, in the order of the paths.
    pub(super) files: Vec<(String, Vec<u8>)>,
}

impl Sources {
    pub(super) fn read(entry: &Entry) -> Result<Self, BuildError> {
        let mut walk = Walk { folder: &entry.folder, files: Vec::new(), bytes: 0 };
        walk.descend(&entry.folder, "", DEPTH)?;
        if !walk.files.iter().any(|(path, _)| *path == entry.file) {
            // Hidden (`.x.py`): left out as a neighbour, but asked for by name.
            walk.read(&entry.folder.join(&entry.file), entry.file.clone())?;
        }
        let mut files = walk.files;
        files.sort();
        Ok(Self { entry: entry.file.clone(), files })
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Covers everything that a component depends on, names included.
    pub(super) fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |label: &str, content: &[u8]| {
            // Lengths first: no two lists of files read the same.
            for part in [label.as_bytes(), content] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        };
        add("componentize-py", tool::SERIES.as_bytes());
        add("application", layout::application(&self.entry).as_bytes());
        for file in embedded::wit().into_iter().chain(embedded::sdk()) {
            add(&file.path().to_string_lossy(), file.contents());
        }
        for (path, content) in &self.files {
            add(path, content);
        }
        hex::encode(&hasher.finalize()[..8])
    }
}

struct Walk<'a> {
    folder: &'a Path,
    files: Vec<(String, Vec<u8>)>,
    bytes: u64,
}

impl Walk<'_> {
    /// Reads what belongs to a module in `dir`, which is `prefix` (empty, or with a slash at its end) below the folder.
    fn descend(&mut self, dir: &Path, prefix: &str, depth: usize) -> Result<(), BuildError> {
        let unreadable = |source| BuildError::Unreadable { path: dir.to_owned(), source };
        for found in fs::read_dir(dir).map_err(unreadable)? {
            let found = found.map_err(unreadable)?;
            let path = found.path();
            // A name that is no text is none of a Python module.
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.starts_with('.') {
                continue;
            }
            let kind = found.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                if depth > 0 && !is_foreign(name, &path) {
                    self.descend(&path, &format!("{prefix}{name}/"), depth - 1)?;
                }
            } else if has_extension(Path::new(name), &EXTENSIONS) && path.is_file() {
                // Links to files are followed, links to folders are not: they may lead in circles.
                self.read(&path, format!("{prefix}{name}"))?;
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &Path, relative: String) -> Result<(), BuildError> {
        let unreadable = |source| BuildError::Unreadable { path: path.to_owned(), source };
        // By its size first, so that a huge file is refused and not read.
        self.bytes += fs::metadata(path).map_err(unreadable)?.len();
        if self.bytes > BYTES || self.files.len() >= FILES {
            return Err(BuildError::TooMuch { folder: self.folder.to_owned(), files: FILES, mebibytes: BYTES >> 20 });
        }
        self.files.push((relative, fs::read(path).map_err(unreadable)?));
        Ok(())
    }
}

/// Folders that lie beside sources without being any: caches, environments, what build tools leave.
fn is_foreign(name: &str, path: &Path) -> bool {
    matches!(name, "__pycache__" | "node_modules")
        || path.join("pyvenv.cfg").exists()
        || path.join("CACHEDIR.TAG").exists()
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().and_then(|it| it.to_str()).is_some_and(|it| extensions.contains(&it))
}
