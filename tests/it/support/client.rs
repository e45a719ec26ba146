//! A plain `graphql-transport-ws` client that shows every message as it came.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::PATIENCE;

/// What a client saw.
#[derive(Clone, PartialEq, Debug)]
pub enum Seen {
    /// A text message, parsed.
    Message(Value),
    /// The end: code and reason, or `None` if the socket just went away.
    Closed(Option<(u16, String)>),
}

/// One connection.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// Connects and offers these subprotocols.
    pub async fn offer(address: std::net::SocketAddr, subprotocols: &str) -> (Self, Option<String>) {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        if !subprotocols.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", subprotocols.parse().unwrap());
        }
        // The library refuses an answer without a subprotocol, which is what one test wants to see.
        let (socket, response) = connect_async(request).await.expect("the upgrade succeeds");
        let chosen = response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap().to_owned());
        (Self { socket }, chosen)
    }

    /// Connects with `graphql-transport-ws`, not yet initialised.
    pub async fn open(address: std::net::SocketAddr) -> Self {
        let (client, chosen) = Self::offer(address, "graphql-transport-ws").await;
        assert_eq!(chosen.as_deref(), Some("graphql-transport-ws"));
        client
    }

    /// Connects and introduces itself.
    pub async fn connect(address: std::net::SocketAddr) -> Self {
        Self::connect_with(address, json!({})).await
    }

    /// Connects and introduces itself with a payload.
    pub async fn connect_with(address: std::net::SocketAddr, payload: Value) -> Self {
        let mut client = Self::open(address).await;
        client.send(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(client.message().await, json!({"type": "connection_ack"}));
        client
    }

    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.expect("the socket takes the message");
    }

    /// Starts an operation without variables.
    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({"id": id, "type": "subscribe", "payload": {"query": query}})).await;
    }

    /// Starts an operation, and waits until the server has it: a ping sent behind it was answered.
    pub async fn subscribed(&mut self, id: &str, query: &str) {
        self.subscribe(id, query).await;
        self.barrier().await;
    }

    /// Waits until everything sent so far was handled.
    pub async fn barrier(&mut self) {
        self.send(json!({"type": "ping", "payload": {"barrier": true}})).await;
        assert_eq!(self.message().await, json!({"type": "pong", "payload": {"barrier": true}}));
    }

    /// The next message or the end.
    pub async fn seen(&mut self) -> Seen {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await.expect("something arrives in time");
            return match next {
                Some(Ok(Message::Text(text))) => Seen::Message(serde_json::from_str(&text).expect("messages are JSON")),
                Some(Ok(Message::Close(frame))) => {
                    Seen::Closed(frame.map(|CloseFrame { code, reason }| (code.into(), reason.to_string())))
                }
                Some(Ok(_)) => continue,
                None | Some(Err(Error::ConnectionClosed | Error::Io(_) | Error::Protocol(_))) => Seen::Closed(None),
                Some(Err(error)) => panic!("unexpected error: {error}"),
            };
        }
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        match self.seen().await {
            Seen::Message(message) => message,
            Seen::Closed(end) => panic!("the connection was closed: {end:?}"),
        }
    }

    /// The payload of the next message, which must be a `next` of this operation.
    pub async fn next(&mut self, id: &str) -> Value {
        let message = self.message().await;
        assert_eq!((&message["id"], &message["type"]), (&json!(id), &json!("next")), "{message}");
        message["payload"].clone()
    }

    /// The close code, after reading over whatever came before it.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let Seen::Closed(end) = self.seen().await {
                return end.map(|(code, _)| code);
            }
        }
    }
}
