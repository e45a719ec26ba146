//! The temporary folder that the tool works in.
//!
//! ```text
//! wit/resolver.wit              the contract
//! app/subcast_guest/…           the SDK
//! app/_subcast_app.py           generated: imports the author's module, and names the exports
//! app/sources/…                 the author's files
//! app/report.json               written by the SDK if the author's module is at fault
//! environment/lib/…             an empty virtual environment, so that the tool takes no package of this machine along
//! tmp/                          the tool's own temporary files
//! component.wasm                the result
//! ```
//!
//! The author's files are not on Python's path while the SDK is imported, so a `json.py` among them disturbs nobody but
//! its own module.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::embedded;
use super::error::BuildError;
use super::sources::Sources;

/// Name of the generated Python module.
pub(super) const APPLICATION: &str = "_subcast_app";

/// A folder that is ready for the tool. Removed when dropped.
#[derive(Debug)]
pub(super) struct Layout {
    folder: TempDir,
    /// The author's file, for messages.
    pub(super) entry: String,
}

impl Layout {
    pub(super) fn write(sources: &Sources) -> Result<Self, BuildError> {
        let folder = tempfile::Builder::new().prefix("subcast-build-").tempdir().map_err(BuildError::Temporary)?;
        let layout = Self { folder, entry: sources.entry.clone() };
        layout.fill(sources).map_err(BuildError::Temporary)?;
        Ok(layout)
    }

    fn fill(&self, sources: &Sources) -> io::Result<()> {
        let app = self.app();
        for file in embedded::wit() {
            write(&self.wit().join(file.path()), file.contents())?;
        }
        for file in embedded::sdk() {
            write(&app.join("subcast_guest").join(file.path()), file.contents())?;
        }
        for (path, content) in &sources.files {
            write(&app.join("sources").join(path), content)?;
        }
        write(&app.join(APPLICATION).with_extension("py"), application(&sources.entry).as_bytes())?;
        fs::create_dir_all(self.environment().join("lib/python/site-packages"))?;
        fs::create_dir_all(self.tmp())
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn wit(&self) -> PathBuf {
        self.root().join("wit")
    }

    pub(super) fn app(&self) -> PathBuf {
        self.root().join("app")
    }

    pub(super) fn environment(&self) -> PathBuf {
        self.root().join("environment")
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.root().join("tmp")
    }

    pub(super) fn report(&self) -> PathBuf {
        self.app().join("report.json")
    }

    pub(super) fn component(&self) -> PathBuf {
        self.root().join("component.wasm")
    }
}

/// The generated module. The author's comes first: the exports are made from what it declares.
pub(super) fn application(entry: &str) -> String {
    // JSON's escapes are Python's.
    let file = serde_json::Value::from(entry);
    format!(
        "from subcast_guest._build import load\n\nload(__file__, {file})\n\n\
         from subcast_guest._component import Resolvers  # noqa: E402, F401\n"
    )
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)
}
