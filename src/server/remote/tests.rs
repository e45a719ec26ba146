//! The client against a host that says exactly what the test wants.

use futures_util::{SinkExt, StreamExt};
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::*;

type Socket = WebSocketStream<TcpStream>;

async fn bind() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    (listener, address)
}

#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the library's signature")]
fn agree(_: &Request, mut response: Response) -> Result<Response, hyper::Response<Option<String>>> {
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("graphql-transport-ws"));
    Ok(response)
}

/// Accepts, reads `connection_init` and returns its payload.
async fn greeted(listener: &TcpListener) -> (Socket, Value) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = accept_hdr_async(stream, agree).await.unwrap();
    let init = heard(&mut socket).await;
    assert_eq!(init["type"], "connection_init");
    (socket, init["payload"].clone())
}

async fn heard(socket: &mut Socket) -> Value {
    serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
}

async fn say(socket: &mut Socket, text: &str) {
    socket.send(Message::text(text.to_owned())).await.unwrap();
}

fn operation() -> Operation {
    Operation { query: "subscription { a }".to_owned(), variables: Map::from_iter([("x".to_owned(), json!(1))]) }
}

/// What the client sees of a host that says these messages after the operation came.
async fn seen(messages: &[&str], close: Option<(u16, &'static str)>) -> (Vec<String>, Result<(), String>) {
    let (listener, address) = bind().await;
    let host = async {
        let (mut socket, _) = greeted(&listener).await;
        say(&mut socket, r#"{"type":"connection_ack"}"#).await;
        heard(&mut socket).await;
        for message in messages {
            say(&mut socket, message).await;
        }
        if let Some((code, reason)) = close {
            socket.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let client = async {
        let mut subscription = Subscription::open(&address, None, &operation()).await.unwrap();
        let mut payloads = Vec::new();
        let end = loop {
            match subscription.next().await {
                Ok(Some(payload)) => payloads.push(payload),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.to_string()),
            }
        };
        (payloads, end)
    };
    tokio::join!(host, client).1
}

#[tokio::test]
async fn the_token_the_operation_and_pongs_arrive_as_the_protocol_wants() {
    let (listener, address) = bind().await;
    let host = async {
        let (mut socket, payload) = greeted(&listener).await;
        assert_eq!(payload, json!({"authorization": "Bearer t"}));
        say(&mut socket, r#"{"type":"ping","payload":{"n":1}}"#).await;
        assert_eq!(heard(&mut socket).await, json!({"type": "pong", "payload": {"n": 1}}));
        say(&mut socket, r#"{"type":"connection_ack","payload":null}"#).await;
        let query = json!({"query": "subscription { a }", "variables": {"x": 1}});
        assert_eq!(heard(&mut socket).await, json!({"type": "subscribe", "id": "1", "payload": query}));
        say(&mut socket, r#"{"type":"ping"}"#).await;
        assert_eq!(heard(&mut socket).await, json!({"type": "pong"}));
        say(&mut socket, r#"{"id":"1","type":"next","payload":{}}"#).await;
        assert_eq!(heard(&mut socket).await, json!({"type": "complete", "id": "1"}));
        assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
    };
    let client = async {
        let mut subscription = Subscription::open(&address, Some("t"), &operation()).await.unwrap();
        assert_eq!(subscription.next().await.unwrap().unwrap(), "{}");
        subscription.close().await;
    };
    tokio::join!(host, client);
}

#[tokio::test]
async fn payloads_keep_their_text_on_one_line_until_complete() {
    let messages = [
        r#"{"id":"1","type":"next","payload":{"data":{"b":1,"a":"\n"}}}"#,
        "{\"id\":\"1\",\"type\":\"next\",\"payload\":{\"data\":\n{\"b\":2}}}",
        r#"{"id":"1","type":"complete"}"#,
    ];
    let (payloads, end) = seen(&messages, None).await;
    assert_eq!(payloads, [r#"{"data":{"b":1,"a":"\n"}}"#, r#"{"data": {"b":2}}"#]);
    assert_eq!(end, Ok(()));
}

#[tokio::test]
async fn errors_of_the_operation_are_told_with_their_place() {
    let error = r#"{"id":"1","type":"error","payload":[{"message":"no","locations":[{"line":2,"column":3}]},{"message":"nor that"}]}"#;
    assert_eq!(seen(&[error], None).await.1, Err("no (line 2, column 3); nor that".to_owned()));
}

#[tokio::test]
async fn an_end_that_was_not_asked_for_says_why() {
    let closed = |code, reason| async move { seen(&[], Some((code, reason))).await.1.unwrap_err() };
    assert_eq!(
        closed(1012, "Service restart").await,
        "the host closed the connection (1012: Service restart): it restarts; subscribe again"
    );
    assert!(closed(4403, "Forbidden").await.ends_with("the token is missing, wrong or expired; show a valid one"));
    assert_eq!(closed(4999, "").await, "the host closed the connection (4999): see its log");
    assert!(seen(&[], None).await.1.unwrap_err().starts_with("the connection to the host was lost"));
    assert!(
        seen(&["{}"], None)
            .await
            .1
            .unwrap_err()
            .starts_with("the host does not speak graphql-transport-ws: it sent {}")
    );
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let (listener, address) = bind().await;
    drop(listener);
    let refused = Subscription::open(&address, None, &operation()).await.unwrap_err();
    assert!(matches!(refused, SubscribeError::Connect(ConnectError::Refused(_))), "{refused}");
    let refused = Publisher::new(address, Credential::Token("t".to_owned()))
        .unwrap()
        .publish("application/json", "{}")
        .await
        .unwrap_err();
    assert!(refused.to_string().starts_with("connection refused: nothing listens at http://127.0.0.1:"), "{refused}");
}

/// Answers one request after the other with these; an answer that says `close` ends its connection.
async fn answering(listener: &TcpListener, answers: &[String]) {
    let mut open: Option<TcpStream> = None;
    for answer in answers {
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => listener.accept().await.unwrap().0,
        };
        let mut request = Vec::new();
        while !request.ends_with(b"[]") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        let text = String::from_utf8(request).unwrap().to_lowercase();
        assert!(
            text.starts_with("post /events http/1.1\r\n") && text.contains("authorization: bearer t\r\n"),
            "{text}"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        if !answer.contains("connection: close") {
            open = Some(stream);
        }
    }
}

#[tokio::test]
async fn answers_to_publishers_are_told_apart() {
    let (listener, address) = bind().await;
    let refusal = r#"{"errors":[{"message":"line 2: no"}]}"#;
    let answer = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answers = [
        answer("202 Accepted", r#"{"accepted":2}"#),
        answer("400 Bad Request\r\nconnection: close", refusal),
        answer("413 Payload Too Large", refusal),
        answer("403 Forbidden", refusal),
        answer("200 OK", "<html>"),
    ];
    let client = async {
        let mut publisher = Publisher::new(address, Credential::Token("t".to_owned())).unwrap();
        assert_eq!(publisher.publish("application/json", "[]").await.unwrap(), 2);
        let mut refused = Vec::new();
        for _ in 0..4 {
            refused.push(publisher.publish("application/json", "[]").await.unwrap_err());
        }
        assert!(matches!(&refused[0], PublishError::Refused(message) if message == "line 2: no"));
        assert!(matches!(refused[1], PublishError::TooLarge(_)));
        assert!(matches!(refused[2], PublishError::Forbidden(_)));
        assert!(matches!(refused[3], PublishError::Unexpected { status: 200, .. }));
    };
    tokio::join!(answering(&listener, &answers), client);
}
