//! Why the engine does not start.

use thiserror::Error;

use crate::deploy;
use crate::modules::AssembleError;
use crate::sandbox;

/// Why the engine does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The sandbox.
    #[error("failed to start the sandbox: {0}")]
    Sandbox(#[from] sandbox::StartError),
    /// A module, or where its versions are kept.
    #[error(transparent)]
    Modules(#[from] deploy::StartError),
    /// The modules do not fit together, or a module does not fit its schema.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}
