//! Publishes over `POST /events`.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::connect::connect;
use super::{Address, PublishError};

/// Hosts close idle connections after a while; one that was idle for longer than this is not used again.
const IDLE: Duration = Duration::from_secs(5);

/// Largest answer that is read.
const ANSWER_BYTES: usize = 1 << 20;

/// Publishes to one host, request after request over one connection.
#[derive(Debug)]
pub struct Publisher {
    address: Address,
    authorization: Option<HeaderValue>,
    idle: Option<(Wire, Instant)>,
}

#[derive(Debug)]
struct Wire {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

#[derive(Deserialize)]
struct Accepted {
    accepted: u64,
}

#[derive(Deserialize)]
struct Refusal {
    errors: Vec<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
}

impl Publisher {
    /// A publisher that shows this token, if any.
    pub fn new(address: Address, token: Option<&str>) -> Result<Self, PublishError> {
        let header = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let authorization =
            header.map_err(|_| PublishError::Forbidden("the token has characters that no token has".to_owned()))?;
        Ok(Self { address, authorization, idle: None })
    }

    /// Publishes one body: all of its events, or none. Returns how many there were.
    pub async fn publish(&mut self, content_type: &'static str, body: impl Into<Bytes>) -> Result<u64, PublishError> {
        let mut request = Request::post(self.address.path("/events"))
            .header(HOST, self.address.authority())
            .header(CONTENT_TYPE, content_type)
            .body(Full::new(body.into()))
            .map_err(|error| PublishError::Broken(error.to_string()))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let (status, answer) = self.exchange(request).await?;
        self.judge(status, &answer)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), PublishError> {
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
            (Err(_), Some(Err(cause))) => Err(PublishError::Broken(cause.to_string())),
            (Err(cause), _) => Err(PublishError::Broken(cause.to_string())),
        }
    }

    async fn wire(&self) -> Result<Wire, PublishError> {
        let stream = connect(&self.address).await?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| PublishError::Broken(error.to_string()))?;
        Ok(Wire { sender, connection: Box::pin(connection) })
    }

    fn judge(&self, status: StatusCode, answer: &[u8]) -> Result<u64, PublishError> {
        if status == StatusCode::ACCEPTED
            && let Ok(Accepted { accepted }) = serde_json::from_slice(answer)
        {
            return Ok(accepted);
        }
        let refusal: Option<Refusal> = serde_json::from_slice(answer).ok();
        match refusal.and_then(|refusal| refusal.errors.into_iter().next()) {
            Some(Refused { message }) if !status.is_success() => Err(match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PublishError::Forbidden(message),
                StatusCode::PAYLOAD_TOO_LARGE => PublishError::TooLarge(message),
                _ => PublishError::Refused(message),
            }),
            _ => {
                let url = format!("http://{}{}", self.address.authority(), self.address.path("/events"));
                Err(PublishError::Unexpected { status: status.as_u16(), url })
            }
        }
    }
}
