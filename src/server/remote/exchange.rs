//! Requests to one host, one after the other over one connection.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use thiserror::Error;
use tokio::net::TcpStream;

use super::connect::connect;
use super::{Address, ConnectError};
use crate::server::credential::{Folders, find};

/// Hosts close idle connections after a while; one that was idle for longer than this is not used again.
const IDLE: Duration = Duration::from_secs(5);

/// Largest answer that is read.
const ANSWER_BYTES: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// A token that cannot be sent.
    #[error("the token has characters that no token has")]
    Token,
}

/// What requests show.
#[derive(Clone)]
pub enum Credential {
    /// This token.
    Token(String),
    /// The credential that a host of this user on this machine has left in one of these folders. Goes to loopback addresses
    /// only; to others nothing is shown.
    Local(Folders),
}

impl std::fmt::Debug for Credential {
    /// Says nothing of the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::Local(folders) => f.debug_tuple("Local").field(folders).finish(),
        }
    }
}

/// See the module. Follows no redirect.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) address: Address,
    shows: Shows,
    /// Why there is no credential to show, if none was found.
    unfound: Option<String>,
    idle: Option<(Wire, Instant)>,
}

#[derive(Debug)]
enum Shows {
    Token(HeaderValue),
    Local(Folders),
}

#[derive(Debug)]
struct Wire {
    /// Of the host at the other end.
    authorization: Option<HeaderValue>,
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

/// How a host says no.
#[derive(Deserialize)]
struct Refusal {
    errors: Vec<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
}

/// The first sentence of a refusal, if the answer is one.
pub(super) fn refusal(answer: &[u8]) -> Option<String> {
    let refusal: Refusal = serde_json::from_slice(answer).ok()?;
    refusal.errors.into_iter().next().map(|refused| refused.message)
}

impl Exchange {
    /// Requests that show this credential.
    pub(super) fn new(address: Address, credential: Credential) -> Result<Self, ExchangeError> {
        let shows = match credential {
            Credential::Token(token) => Shows::Token(bearer(&token)?),
            Credential::Local(folders) => Shows::Local(folders),
        };
        Ok(Self { address, shows, unfound: None, idle: None })
    }

    /// Sends a request; adds what every request has.
    pub(super) async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ExchangeError> {
        let broken = |error: hyper::http::Error| ExchangeError::Broken(error.to_string());
        let request = request.header(HOST, self.address.authority()).body(Full::new(body)).map_err(broken)?;
        self.exchange(request).await
    }

    async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ExchangeError> {
        let Wire { authorization, mut sender, mut connection } = match self.idle.take() {
            Some((wire, since)) if since.elapsed() < IDLE && wire.sender.is_ready() => wire,
            _ => self.wire().await?,
        };
        if let Some(authorization) = &authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let (outcome, ended) = {
            let mut exchange = pin!(async {
                let response = sender.send_request(request).await?;
                let status = response.status();
                let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body.to_bytes()))
            });
            tokio::select! {
                outcome = &mut exchange => (outcome, None),
                // The host may hang up with its answer; whatever of it has arrived is still to be had.
                ended = &mut connection => (exchange.await, Some(ended)),
            }
        };
        match (outcome, ended) {
            (Ok(answer), None) => {
                self.idle = Some((Wire { authorization, sender, connection }, Instant::now()));
                Ok(answer)
            }
            (Ok(answer), Some(_)) => Ok(answer),
            (Err(_), Some(Err(cause))) => Err(ExchangeError::Broken(cause.to_string())),
            (Err(cause), _) => Err(ExchangeError::Broken(cause.to_string())),
        }
    }

    /// The message of a refusal, with a word about a credential that was not found.
    pub(super) fn explained(&self, status: StatusCode, message: String) -> String {
        match &self.unfound {
            Some(unfound) if status == StatusCode::UNAUTHORIZED => format!("{message} ({unfound})"),
            _ => message,
        }
    }

    async fn wire(&mut self) -> Result<Wire, ExchangeError> {
        let stream = connect(&self.address).await?;
        let authorization = match &self.shows {
            Shows::Token(header) => Some(header.clone()),
            // By the address that was reached and not by the name that led there.
            Shows::Local(folders) => {
                let peer = stream.peer_addr().map_err(|error| ExchangeError::Broken(error.to_string()))?;
                let found = find(folders, peer);
                self.unfound = found.is_none().then(|| unfound(folders, peer));
                found.map(|token| bearer(&token)).transpose()?
            }
        };
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| ExchangeError::Broken(error.to_string()))?;
        Ok(Wire { authorization, sender, connection: Box::pin(connection) })
    }
}

/// Why there is no credential for the host at this address.
pub(super) fn unfound(folders: &Folders, peer: SocketAddr) -> String {
    if peer.ip().to_canonical().is_loopback() {
        format!("no credential of a host of this user at {peer} was found in {folders}")
    } else {
        format!("{peer} is not on this machine, so no credential of a host was looked for")
    }
}

fn bearer(token: &str) -> Result<HeaderValue, ExchangeError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ExchangeError::Token)?;
    // Not in a log.
    value.set_sensitive(true);
    Ok(value)
}
