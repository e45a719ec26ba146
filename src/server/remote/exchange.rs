//! Requests to one host, one after the other over one connection.

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

/// See the module.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) address: Address,
    authorization: Option<HeaderValue>,
    idle: Option<(Wire, Instant)>,
}

#[derive(Debug)]
struct Wire {
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
    /// Requests that show this token, if any.
    pub(super) fn new(address: Address, token: Option<&str>) -> Result<Self, ExchangeError> {
        let header = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let authorization = header.map_err(|_| ExchangeError::Token)?;
        Ok(Self { address, authorization, idle: None })
    }

    /// Sends a request; adds what every request has.
    pub(super) async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ExchangeError> {
        let broken = |error: hyper::http::Error| ExchangeError::Broken(error.to_string());
        let mut request = request.header(HOST, self.address.authority()).body(Full::new(body)).map_err(broken)?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        self.exchange(request).await
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ExchangeError> {
        let Wire { mut sender, mut connection } = match self.idle.take() {
            Some((wire, since)) if since.elapsed() < IDLE && wire.sender.is_ready() => wire,
            _ => self.wire().await?,
        };
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
                self.idle = Some((Wire { sender, connection }, Instant::now()));
                Ok(answer)
            }
            (Ok(answer), Some(_)) => Ok(answer),
            (Err(_), Some(Err(cause))) => Err(ExchangeError::Broken(cause.to_string())),
            (Err(cause), _) => Err(ExchangeError::Broken(cause.to_string())),
        }
    }

    async fn wire(&self) -> Result<Wire, ExchangeError> {
        let stream = connect(&self.address).await?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| ExchangeError::Broken(error.to_string()))?;
        Ok(Wire { sender, connection: Box::pin(connection) })
    }
}
