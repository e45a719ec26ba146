//! Why the engine does not start.

use std::path::PathBuf;

use thiserror::Error;

use super::config::ModuleConfig;
use crate::modules::AssembleError;
use crate::sandbox;

/// Why the engine does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The sandbox.
    #[error("failed to start the sandbox: {0}")]
    Sandbox(#[from] sandbox::StartError),
    /// A module.
    #[error("failed to load module `{name}` from {path}: {source}", path = path.display())]
    Load {
        /// The module's name.
        name: String,
        /// Its file.
        path: PathBuf,
        /// Why.
        source: sandbox::LoadError,
    },
    /// The modules do not fit together, or a module does not fit its schema.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

impl StartError {
    pub(super) fn load(module: &ModuleConfig, source: sandbox::LoadError) -> Self {
        Self::Load { name: module.name.clone(), path: module.path.clone(), source }
    }
}
