//! The port, taken before modules are loaded: whoever starts a second host should not wait to be told.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::error::BindError;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A port that nobody else can listen on, and that refuses connections until the server listens.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    socket: TcpSocket,
}

impl Port {
    /// Takes this address; port 0 takes a free one. Needs a tokio runtime.
    pub fn take(address: SocketAddr) -> Result<Self, BindError> {
        let taken = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Connections of an earlier host that linger do not keep the port.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        match taken() {
            Ok(socket) => Ok(Self { address, socket }),
            Err(source) => Err(BindError::new(address, source)),
        }
    }

    /// The address that was asked for.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn listen(self) -> Result<TcpListener, BindError> {
        let Self { address, socket } = self;
        socket.listen(BACKLOG).map_err(|source| BindError::new(address, source))
    }
}
