//! Why the server does not listen.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use super::credential::CredentialError;

/// Why the server does not listen. Each says what to do.
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody else has it.
    #[error(
        "{address} is in use by another program: end that one, or choose another port with --listen or [server] listen \
         (port 0 takes a free one)"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// Ports below 1024 are reserved on most systems.
    #[error("this user may not listen on {address}: choose a port from 1024 with --listen or [server] listen")]
    Denied {
        /// The address.
        address: SocketAddr,
    },
    /// This machine has no such address.
    #[error("{address} is not an address of this machine: listen on 127.0.0.1, or on 0.0.0.0 for all of its addresses")]
    Foreign {
        /// The address.
        address: SocketAddr,
    },
    /// The credential of the publish and admin routes cannot be left where commands find it.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Anything else.
    #[error("failed to listen on {address}: {source}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl BindError {
    pub(super) fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::Denied { address },
            io::ErrorKind::AddrNotAvailable => Self::Foreign { address },
            _ => Self::Other { address, source },
        }
    }
}
