//! Why a configuration does not hold: told to an operator, so every text says where, what, and what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a configuration does not hold. A `place` is `FILE:LINE: [section] key`, a variable of the environment, or a flag.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read the configuration {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{path}:{line}: not valid TOML: {message}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// There is no such section.
    #[error("{place}: there is no section [{section}]; {suggestion}")]
    UnknownSection {
        /// Where.
        place: String,
        /// As it came.
        section: String,
        /// The nearest known one, or all of them.
        suggestion: String,
    },
    /// The section has no such key.
    #[error("{place}: [{section}] has no key `{key}`; {suggestion}")]
    UnknownKey {
        /// Where.
        place: String,
        /// The section.
        section: String,
        /// As it came, with the names of the inline tables around it.
        key: String,
        /// The nearest known one, or all of them.
        suggestion: String,
    },
    /// A key of a later version.
    #[error("{place}: not supported yet in this version; {instead}")]
    NotYet {
        /// Where.
        place: String,
        /// What to do until then.
        instead: String,
    },
    /// A value that cannot be.
    #[error("{place}: {problem}")]
    Value {
        /// Where.
        place: String,
        /// What was expected, and what was found.
        problem: String,
    },
    /// A key that must be there.
    #[error("{place}: `{key}` is missing; {hint}")]
    Missing {
        /// Where.
        place: String,
        /// The key.
        key: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// A secret that is not in the environment, or too weak.
    #[error("{place}: the environment variable {variable} {problem}")]
    Secret {
        /// The key that names the variable.
        place: String,
        /// The variable.
        variable: String,
        /// What is wrong with it; never what it holds.
        problem: String,
    },
    /// Two modules of one name.
    #[error("two modules are called `{name}`: {first} and {second}; give each a [[module]] table with a `name` of its own", first = first.display(), second = second.display())]
    SameName {
        /// The name.
        name: String,
        /// The first file.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
}
