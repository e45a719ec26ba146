//! From Python resolvers to a WebAssembly component, by `componentize-py`.
//!
//! [`build`] lays out a temporary folder with the author's sources, the SDK and the WIT contract (both are part of this
//! binary, so a component always speaks the version of the host that built it), runs the tool there, and moves the result
//! to its place in one step. A build depends on nothing but that folder: packages that happen to be installed on the
//! machine are not taken along. Pure Python packages that a module needs lie beside it (`pip install --target`).
//!
//! The author's module is imported once, inside the tool's own sandbox; every instance later starts from the state that
//! this leaves. What the module does wrong comes back as one sentence and the part of the traceback that is the author's.
//!
//! It does not look into the result: `describe` and the checks against the schema belong to [`crate::sandbox`] and
//! [`crate::modules`].

mod embedded;
mod error;
mod layout;
mod output;
mod report;
mod sources;
#[cfg(test)]
mod tests;
mod tool;

use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::BuildError;
use layout::Layout;
use output::Output;
use sources::Sources;
use tool::Tool;

/// Components that [`build_once`] keeps.
const KEPT: usize = 16;

/// What to build, and into what.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The Python file with the resolvers, or a folder with a `resolvers.py`. Everything beside and below the file that
    /// can belong to it (`.py`, `.pyi`, `.graphql`, `.json`, `.toml`; nothing hidden) goes along.
    pub source: PathBuf,
    /// The component. Replaced in one step when the build has succeeded, untouched otherwise; its folder must exist.
    pub output: PathBuf,
    /// The `componentize-py` to run. Otherwise: `$SUBCAST_COMPONENTIZE_PY`, then `$PATH`, then `.venv/bin` in the folders
    /// above the source or above the current one.
    pub tool: Option<PathBuf>,
    /// After this time the build is given up. A build takes 10 to 20 s; 5 minutes by default.
    pub timeout: Duration,
}

impl Default for BuildRequest {
    fn default() -> Self {
        Self {
            source: PathBuf::from("resolvers.py"),
            output: PathBuf::from("resolvers.wasm"),
            tool: None,
            timeout: Duration::from_mins(5),
        }
    }
}

/// What a build is doing. Its `Display` is a phrase for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Sources, tool and output are looked at.
    Preparing,
    /// The tool runs: nearly all of the time.
    Compiling,
    /// The component is put in its place.
    Writing,
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Preparing => "collecting sources",
            Self::Compiling => "compiling to a component",
            Self::Writing => "writing the component",
        })
    }
}

/// A finished build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The component.
    pub output: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Number of source files that went into it.
    pub sources: usize,
    /// Version of the tool, such as `0.25.1`.
    pub tool_version: String,
}

/// Builds a component, and says on the way what it is doing.
///
/// Dropping the future ends the tool and removes everything temporary.
pub async fn build(request: &BuildRequest, mut progress: impl FnMut(Progress)) -> Result<Built, BuildError> {
    progress(Progress::Preparing);
    let entry = sources::Entry::locate(&request.source)?;
    let output = Output::reserve(&request.output)?;
    let tool = Tool::find(request.tool.as_deref(), &entry.folder)?;
    let tool_version = tool.version().await?;
    let (layout, count) = blocking(move || {
        let sources = Sources::read(&entry)?;
        Ok((Layout::write(&sources)?, sources.len()))
    })
    .await?;

    progress(Progress::Compiling);
    tool.componentize(&layout, request.timeout).await?;

    progress(Progress::Writing);
    // The layout goes along, so that its folder is removed after the component has left it.
    let size = blocking(move || output.publish(&layout.component())).await?;
    Ok(Built { output: request.output.clone(), size, sources: count, tool_version })
}

/// The component of `source` in `folder`, built unless that has been done before. Several processes may ask at once.
pub async fn build_once(source: &Path, folder: &Path) -> Result<PathBuf, BuildError> {
    let (from, into) = (source.to_owned(), folder.to_owned());
    let output = blocking(move || {
        let unwritable = |source| BuildError::OutputNotWritable { path: into.clone(), source };
        // Its parent may be the cache of compiled modules, which must be nobody else's.
        DirBuilder::new().recursive(true).mode(0o700).create(&into).map_err(unwritable)?;
        let output = into.join(sources_digest(&from)?).with_extension("wasm");
        forget_old(&into, &output);
        Ok(output)
    })
    .await?;
    if !output.is_file() {
        let request = BuildRequest { source: source.to_owned(), output: output.clone(), ..BuildRequest::default() };
        build(&request, |_| {}).await?;
    }
    Ok(output)
}

/// Removes what has been built longest ago, but for the last ones, and for the one that is wanted.
fn forget_old(folder: &Path, wanted: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let built =
        entries.filter(|entry| entry.path() != wanted && entry.path().extension().is_some_and(|is| is == "wasm"));
    let mut built: Vec<_> =
        built.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    built.sort();
    for (_, path) in built.iter().rev().skip(KEPT) {
        let _ = std::fs::remove_file(path);
    }
}

/// A short digest, fit for file names, of everything that the component of `source` depends on: the sources, the SDK and
/// the contract in this binary, and the series of the tool. Equal digests mean that there is nothing to build.
pub fn sources_digest(source: &Path) -> Result<String, BuildError> {
    let sources = Sources::read(&sources::Entry::locate(source)?)?;
    Ok(sources.digest())
}

/// Runs `work`, which reads and writes files, where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(BuildError::Cancelled),
    }
}
