//! Why the engine does not start.

use thiserror::Error;

use crate::deploy;
use crate::sandbox;

/// Why the engine does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The sandbox.
    #[error("failed to start the sandbox: {0}")]
    Sandbox(#[from] sandbox::StartError),
    /// A thread.
    #[error("failed to start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The modules, or where their versions are kept.
    #[error(transparent)]
    Modules(#[from] deploy::StartError),
}
