//! `componentize-py`: where it is, whether it is the right one, and one bounded run of it.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::error::BuildError;
use super::layout::{APPLICATION, Layout};
use super::report;

/// The versions whose command line and runtime we know.
pub(super) const SERIES: &str = "0.25";

const NAME: &str = "componentize-py";
const VARIABLE: &str = "SUBCAST_COMPONENTIZE_PY";
/// Printing a version loads 50 MB, from a cold disk at worst.
const VERSION_TIMEOUT: Duration = Duration::from_mins(1);
/// What is kept of the tool's output, from its end.
const OUTPUT: usize = 64 * 1024;

/// An executable that calls itself `componentize-py`.
#[derive(Debug)]
pub(super) struct Tool {
    path: PathBuf,
}

impl Tool {
    /// `named`; otherwise by environment, on the path, or in a virtual environment above `folder` or the current one.
    pub(super) fn find(named: Option<&Path>, folder: &Path) -> Result<Self, BuildError> {
        let from_environment = env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = named.map(Path::to_owned).or(from_environment) {
            return match absolute(&path) {
                Some(path) => Ok(Self { path }),
                None => Err(BuildError::NamedToolNotFound(path)),
            };
        }
        let search_path = env::var_os("PATH").unwrap_or_default();
        let current = env::current_dir().unwrap_or_default();
        candidates(&search_path, &[folder, &current])
            .find(|path| path.is_file())
            .map(|path| Self { path })
            .ok_or(BuildError::ToolNotFound)
    }

    /// Its version. An error unless it is one of [`SERIES`].
    pub(super) async fn version(&self) -> Result<String, BuildError> {
        let unusable = |problem: String| BuildError::ToolUnusable { tool: self.path.clone(), problem };
        let output = self.command().arg("--version").stdout(Stdio::piped()).stderr(Stdio::null()).output();
        let output = match timeout(VERSION_TIMEOUT, output).await {
            Ok(Ok(output)) if output.status.success() => output,
            Ok(Ok(output)) => return Err(unusable(output.status.to_string())),
            Ok(Err(error)) => return Err(unusable(error.to_string())),
            Err(_) => return Err(unusable("it does not answer".to_owned())),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(found) = parse_version(&text) else {
            return Err(unusable("it does not tell its version".to_owned()));
        };
        if is_of_the_series(found) {
            Ok(found.to_owned())
        } else {
            Err(BuildError::ToolVersion { tool: self.path.clone(), found: found.to_owned() })
        }
    }

    /// Leaves the component in the layout.
    pub(super) async fn componentize(&self, layout: &Layout, limit: Duration) -> Result<(), BuildError> {
        let mut command = self.command();
        command.arg("--wit-path").arg(layout.wit()).args(["--world", "resolver", "--quiet"]);
        command.args(["componentize", APPLICATION]).arg("--python-path").arg(layout.app());
        command.arg("--output").arg(layout.component());
        // Nothing of this machine's packages: what is built depends on the layout alone.
        command.env("VIRTUAL_ENV", layout.environment());
        // The tool unpacks a Python there. If it is killed, that goes with the layout.
        command.env("TMPDIR", layout.tmp());
        // Its own stack frames help nobody here.
        command.env("RUST_BACKTRACE", "0");
        command.current_dir(layout.root()).stdout(Stdio::null()).stderr(Stdio::piped());

        let unusable =
            |error: io::Error| BuildError::ToolUnusable { tool: self.path.clone(), problem: error.to_string() };
        let (status, printed) = match timeout(limit, run(command)).await {
            Ok(ended) => ended.map_err(unusable)?,
            Err(_) => return Err(BuildError::TimedOut(limit)),
        };
        if status.success() && layout.component().is_file() {
            Ok(())
        } else {
            let printed = String::from_utf8_lossy(&printed);
            Err(report::failure(layout, if printed.trim().is_empty() { "" } else { &printed }))
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// Runs to the end, and keeps the last part of what it printed.
async fn run(mut command: Command) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = command.spawn()?;
    let errors = child.stderr.take();
    let read = async {
        match errors {
            Some(stream) => tail(stream, OUTPUT).await,
            None => Ok(Vec::new()),
        }
    };
    let (status, printed) = tokio::join!(child.wait(), read);
    Ok((status?, printed?))
}

/// Reads everything, and keeps the last `limit` bytes.
async fn tail(mut stream: impl AsyncRead + Unpin, limit: usize) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    while stream.read_buf(&mut kept).await? > 0 {
        if kept.len() > 2 * limit {
            kept.drain(..kept.len() - limit);
        }
    }
    kept.drain(..kept.len().saturating_sub(limit));
    Ok(kept)
}

/// Where a tool may be, the likeliest first.
fn candidates<'a>(search_path: &OsStr, folders: &[&'a Path]) -> impl Iterator<Item = PathBuf> + use<'a> {
    let on_path: Vec<_> = env::split_paths(search_path).filter(|folder| folder.is_absolute()).collect();
    let above: Vec<_> =
        folders.iter().flat_map(|folder| folder.ancestors()).map(|folder| folder.join(".venv/bin")).collect();
    on_path.into_iter().chain(above).map(|folder| folder.join(NAME))
}

/// A path that stays valid in another working directory; a bare name is looked for on the path.
fn absolute(path: &Path) -> Option<PathBuf> {
    if path.components().count() == 1 && !path.exists() {
        let search_path = env::var_os("PATH").unwrap_or_default();
        return env::split_paths(&search_path).map(|folder| folder.join(path)).find(|path| path.is_file());
    }
    // Not canonical: a virtual environment's Python knows itself by the link that it was called by.
    path.is_file().then(|| std::path::absolute(path).ok()).flatten()
}

/// The version in `componentize-py 0.25.1`.
fn parse_version(text: &str) -> Option<&str> {
    let found = text.trim().strip_prefix(NAME)?.trim();
    found.starts_with(|first: char| first.is_ascii_digit()).then_some(found)
}

fn is_of_the_series(version: &str) -> bool {
    version.strip_prefix(SERIES).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_series_are_accepted() {
        assert_eq!(parse_version("componentize-py 0.25.1\n"), Some("0.25.1"));
        assert_eq!(parse_version("Python 3.11"), None);
        assert!(is_of_the_series("0.25.1") && is_of_the_series("0.25"));
        assert!(!is_of_the_series("0.250.1") && !is_of_the_series("0.24.0") && !is_of_the_series("1.0.25"));
    }

    #[test]
    fn the_path_comes_before_virtual_environments() {
        let found: Vec<_> = candidates(OsStr::new("/usr/bin:relative:/bin"), &[Path::new("/a/b")]).collect();
        let expected = [
            "/usr/bin/componentize-py",
            "/bin/componentize-py",
            "/a/b/.venv/bin/componentize-py",
            "/a/.venv/bin/componentize-py",
            "/.venv/bin/componentize-py",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[tokio::test]
    async fn the_end_of_long_output_is_kept() {
        let text = "x".repeat(1_000) + "end";
        assert_eq!(tail(text.as_bytes(), 5).await.unwrap(), b"xxend");
        assert_eq!(tail(&b"short"[..], 5_000).await.unwrap(), b"short");
    }
}
