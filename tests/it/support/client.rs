//! A plain `graphql-transport-ws` client that shows every message as it came.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};

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
    pub socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Connects and offers these subprotocols, none if empty; also what the server chose.
    ///
    /// By hand: a library would refuse an answer without a subprotocol, and servers give one before they close with 4406.
    pub async fn offer(address: std::net::SocketAddr, subprotocols: &str) -> (Self, Option<String>) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Tests send several small messages in a row; each would wait for the acknowledgement of the one before.
        stream.set_nodelay(true).unwrap();
        let offer =
            if subprotocols.is_empty() { String::new() } else { format!("sec-websocket-protocol: {subprotocols}\r\n") };
        let request = format!(
            "GET /graphql HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        // Byte by byte, so that nothing of the first frame is taken along.
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time").expect("a whole head"));
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The answer to the key of RFC 6455 §1.3.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        let chosen = super::host::header(&head, "sec-websocket-protocol");
        (Self { socket: WebSocketStream::from_raw_socket(stream, Role::Client, None).await }, chosen)
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
        let sent = timeout(PATIENCE, self.socket.send(message)).await;
        sent.expect("the host reads in time").expect("the socket takes the message");
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
        // Around the whole wait: the host's pings come for ever, and must not start the time anew.
        timeout(PATIENCE, self.next_seen()).await.expect("something arrives in time")
    }

    async fn next_seen(&mut self) -> Seen {
        loop {
            return match self.socket.next().await {
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
