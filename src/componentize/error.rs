//! Why a build failed, each with what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::tool::SERIES;

/// Why there is no component.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no such file or folder.
    #[error("{} does not exist: name a Python file with resolvers, or a folder with a resolvers.py", .0.display())]
    SourceNotFound(PathBuf),
    /// A folder without the file that would be taken.
    #[error("{} has no resolvers.py: name the Python file with the resolvers", .0.display())]
    NoResolvers(PathBuf),
    /// Something else than Python.
    #[error("{} is not a Python file: resolvers are written in a file such as resolvers.py", .0.display())]
    NotPython(PathBuf),
    /// A source cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder holds more than can belong to a module.
    #[error(
        "{} holds more than {files} source files or {mebibytes} MiB of them: keep the resolvers in a folder of their own",
        folder.display()
    )]
    TooMuch {
        /// The folder of the module.
        folder: PathBuf,
        /// Limit of files.
        files: usize,
        /// Limit of MiB.
        mebibytes: u64,
    },
    /// No tool, neither named nor in any of the usual places.
    #[error("componentize-py was not found: pip install 'componentize-py=={SERIES}.*'")]
    ToolNotFound,
    /// The named tool does not exist.
    #[error("{} does not exist: name a componentize-py, or pip install 'componentize-py=={SERIES}.*'", .0.display())]
    NamedToolNotFound(PathBuf),
    /// The tool cannot be run, or is something else.
    #[error("{} does not run as componentize-py ({problem}): pip install 'componentize-py=={SERIES}.*'", tool.display())]
    ToolUnusable {
        /// Which.
        tool: PathBuf,
        /// What happened.
        problem: String,
    },
    /// A version with another command line or another runtime.
    #[error("{} is version {found}, but {SERIES} is needed: pip install 'componentize-py=={SERIES}.*'", tool.display())]
    ToolVersion {
        /// Which.
        tool: PathBuf,
        /// Its version.
        found: String,
    },
    /// Something about the module's resolvers or schema cannot work. The sentence names file, function and remedy.
    #[error("{0}")]
    Definition(String),
    /// The module raised while it was imported.
    #[error("{module} cannot be imported: {message}\n\n{traceback}")]
    Import {
        /// The module's file.
        module: String,
        /// The exception, as `TypeName: text`.
        message: String,
        /// The author's part of the traceback.
        traceback: String,
    },
    /// The interpreter ended while it imported the module: no exception, no report.
    #[error(
        "{module} ends the interpreter while it is imported (by os._exit, or by stack or memory that ran out): {reason}"
    )]
    Crashed {
        /// The module's file.
        module: String,
        /// What the tool said last.
        reason: String,
    },
    /// The tool failed for another reason.
    #[error("componentize-py failed: {0}")]
    Tool(String),
    /// The tool did not end.
    #[error(
        "componentize-py did not finish within {} s: a module must not wait or compute for long while it is imported",
        .0.as_secs()
    )]
    TimedOut(Duration),
    /// The output's folder is missing or closed to us.
    #[error("{} cannot be written: {source}", path.display())]
    OutputNotWritable {
        /// The output.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No room for temporary files.
    #[error("a temporary folder cannot be written: {0}; set TMPDIR to one with 500 MB of room")]
    Temporary(#[source] io::Error),
    /// The runtime ended meanwhile.
    #[error("the build was cancelled")]
    Cancelled,
}
