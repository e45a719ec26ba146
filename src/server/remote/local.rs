//! The credential of a host on this machine, for programs that talk to the host without the command line.

use std::net::SocketAddr;

use thiserror::Error;

use super::connect::connect;
use super::exchange::unfound;
use super::{Address, ConnectError};
use crate::server::credential::{Folders, find};

/// Why there is no credential.
#[derive(Debug, Error)]
pub enum LocalError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The name may lead to another machine for the program that is to send the credential.
    #[error("{0} may not always lead to this machine: name the host by its address, for example http://127.0.0.1:8000")]
    Name(Address),
    /// No file of a living host.
    #[error(
        "{0}; a host draws one where [publish] or [admin] have no token, and leaves it to the user that runs the host"
    )]
    Unfound(String),
}

/// The credential of the host at this address. Connects, so that it is the one of the host that is there now.
pub async fn local_credential(address: &Address, folders: &Folders) -> Result<String, LocalError> {
    if !address.is_plain() {
        return Err(LocalError::Name(address.clone()));
    }
    let stream = connect(address).await?;
    let peer: SocketAddr =
        stream.peer_addr().map_err(|source| ConnectError::Other { address: address.clone(), source })?;
    find(folders, peer).ok_or_else(|| LocalError::Unfound(unfound(folders, peer)))
}
