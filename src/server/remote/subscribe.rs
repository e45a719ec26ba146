//! Subscribes over `graphql-transport-ws`: one operation on one connection.

use futures_util::{SinkExt, StreamExt};
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::connect::{PATIENCE, connect};
use super::{Address, ConnectError, GraphqlErrors, SubscribeError};
use crate::protocol::Subprotocol;

/// The only operation of its connection.
const ID: &str = "1";

/// What to subscribe to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Operation {
    /// GraphQL document with one operation.
    pub query: String,
    /// Its variables.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub variables: Map<String, Value>,
}

/// A live operation. Dropping it hangs up; [`Subscription::close`] says goodbye.
#[derive(Debug)]
pub struct Subscription {
    socket: WebSocketStream<TcpStream>,
}

/// What the host may say.
#[derive(Deserialize)]
struct Said<'m> {
    #[serde(rename = "type")]
    kind: &'m str,
    #[serde(borrow)]
    payload: Option<&'m RawValue>,
}

impl Subscription {
    /// Connects, introduces itself with the token, if any, and starts the operation.
    pub async fn open(address: &Address, token: Option<&str>, operation: &Operation) -> Result<Self, SubscribeError> {
        let stream = connect(address).await?;
        let opening = async {
            let mut subscription = Self { socket: upgrade(address, stream).await? };
            let payload = token.map(|token| json!({ "authorization": format!("Bearer {token}") }));
            subscription.send(&json!({ "type": "connection_init", "payload": payload })).await?;
            subscription.acknowledged().await?;
            subscription.send(&json!({ "type": "subscribe", "id": ID, "payload": operation })).await?;
            Ok(subscription)
        };
        let silent = || ConnectError::Silent { address: address.clone(), patience: PATIENCE };
        timeout(PATIENCE, opening).await.unwrap_or_else(|_| Err(silent().into()))
    }

    /// The next payload, an `ExecutionResult` as JSON text on one line; `None` when the operation is complete.
    ///
    /// May be dropped while it waits: no payload is lost.
    pub async fn next(&mut self) -> Result<Option<String>, SubscribeError> {
        loop {
            let text = self.receive().await?;
            let Said { kind, payload } = said(&text)?;
            match (kind, payload) {
                // Between tokens of JSON a line feed is white space, and within them there is none.
                ("next", Some(payload)) => return Ok(Some(payload.get().replace(['\n', '\r'], " "))),
                ("complete", _) => return Ok(None),
                ("error", Some(payload)) => return Err(failed(payload.get())),
                ("ping", payload) => self.pong(payload).await?,
                ("pong" | "connection_ack", _) => {}
                _ => return Err(unexpected(&text)),
            }
        }
    }

    /// Ends the operation and the connection. Waits shortly for the host to agree.
    pub async fn close(mut self) {
        let goodbye = async {
            let _ = self.send(&json!({ "type": "complete", "id": ID })).await;
            let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::from_static("") };
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        let _ = timeout(std::time::Duration::from_secs(1), goodbye).await;
    }

    async fn acknowledged(&mut self) -> Result<(), SubscribeError> {
        loop {
            let text = self.receive().await?;
            let Said { kind, payload } = said(&text)?;
            match kind {
                "connection_ack" => return Ok(()),
                "ping" => self.pong(payload).await?,
                "pong" => {}
                _ => return Err(unexpected(&text)),
            }
        }
    }

    async fn pong(&mut self, payload: Option<&RawValue>) -> Result<(), SubscribeError> {
        match payload {
            Some(payload) => self.send(&json!({ "type": "pong", "payload": payload })).await,
            None => self.send(&json!({ "type": "pong" })).await,
        }
    }

    async fn send(&mut self, message: &Value) -> Result<(), SubscribeError> {
        match self.socket.send(Message::text(message.to_string())).await {
            Ok(()) => Ok(()),
            // The host may have hung up; its close frame, which says why, is still to be read.
            Err(error) => Err(loop {
                if let Err(reason) = self.receive().await {
                    break if matches!(reason, SubscribeError::Closed { .. }) { reason } else { lost(&error) };
                }
            }),
        }
    }

    /// The next text message.
    async fn receive(&mut self) -> Result<Utf8Bytes, SubscribeError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err(SubscribeError::Closed { code: frame.code.into(), reason: frame.reason.to_string() });
                }
                Some(Ok(Message::Binary(_))) => {
                    return Err(SubscribeError::Protocol("a binary message came".to_owned()));
                }
                // Answers to pings are written by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(None))) | None => {
                    return Err(SubscribeError::Lost("it hung up without a reason".to_owned()));
                }
                Some(Err(error)) => return Err(lost(&error)),
            }
        }
    }
}

async fn upgrade(address: &Address, stream: TcpStream) -> Result<WebSocketStream<TcpStream>, SubscribeError> {
    let url = format!("ws://{}{}", address.authority(), address.path("/graphql"));
    let refused = |reason: String| SubscribeError::Handshake { url: url.clone(), reason };
    let mut request = url.as_str().into_client_request().map_err(|error| refused(error.to_string()))?;
    let subprotocol = HeaderValue::from_static(Subprotocol::GraphqlTransportWs.as_str());
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let status = response.status();
            let told = response.body().as_deref().and_then(refusal);
            Err(refused(told.unwrap_or_else(|| format!("it answers {status}; is this a Subcast host?"))))
        }
        Err(Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_))) => {
            Err(SubscribeError::Protocol("it agreed to another protocol".to_owned()))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// The message of a refusal, if the body is one of ours.
fn refusal(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(body.pointer("/errors/0/message")?.as_str()?.to_owned())
}

fn said(text: &str) -> Result<Said<'_>, SubscribeError> {
    serde_json::from_str(text).map_err(|_| unexpected(text))
}

fn failed(payload: &str) -> SubscribeError {
    match serde_json::from_str(payload) {
        Ok(errors) => SubscribeError::Operation(GraphqlErrors(errors)),
        Err(_) => unexpected(payload),
    }
}

fn unexpected(text: &str) -> SubscribeError {
    SubscribeError::Protocol(format!("it sent {}", &text[..text.floor_char_boundary(200)]))
}

fn lost(error: &Error) -> SubscribeError {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => SubscribeError::Lost("it hung up without a reason".to_owned()),
        Error::Io(error) => SubscribeError::Lost(error.to_string()),
        other => SubscribeError::Protocol(other.to_string()),
    }
}
