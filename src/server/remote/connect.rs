//! A TCP connection to a host, or a sentence that says why there is none.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Address;

/// For how long a host may take to answer the first time.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody listens.
    #[error("connection refused: nothing listens at {0}; start a host with `subcast serve`, or check the port")]
    Refused(Address),
    /// Nobody answers.
    #[error("{address} does not answer within {} s", .patience.as_secs())]
    Silent {
        /// Who.
        address: Address,
        /// For how long.
        patience: Duration,
    },
    /// Anything else, an unknown name above all.
    #[error("failed to connect to {address}: {source}")]
    Other {
        /// Whom.
        address: Address,
        /// Why.
        source: io::Error,
    },
}

pub(super) async fn connect(address: &Address) -> Result<TcpStream, ConnectError> {
    match timeout(PATIENCE, TcpStream::connect(address.target())).await {
        Ok(Ok(stream)) => {
            // What is sent is small and somebody waits for it.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(source)) if source.kind() == io::ErrorKind::ConnectionRefused => {
            Err(ConnectError::Refused(address.clone()))
        }
        Ok(Err(source)) => Err(ConnectError::Other { address: address.clone(), source }),
        Err(_) => Err(ConnectError::Silent { address: address.clone(), patience: PATIENCE }),
    }
}
