//! Whatever comes in: the code or the error that the protocol names, in bounded time, and the host serves on.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{Client, Seen};
use crate::support::host::{Host, exchange, header, request};
use crate::support::process::Process;

/// No answer to bad input may take longer. Seconds suffice on a busy machine; what expands without a bound takes hours.
const PROMPT: Duration = Duration::from_secs(30);

/// Every event still reaches a client of this host.
async fn assert_serves(host: &Host) {
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    host.emit("counts", "counted", json!({"seq": 1})).await;
    assert_eq!(client.next("a").await, json!({"data": {"counted": {"seq": 1}}}));
}

async fn close_of(host: &Host, message: Message) -> Option<u16> {
    let mut client = Client::connect(host.address).await;
    client.send_raw(message).await;
    timeout(PROMPT, client.close_code()).await.expect("closed in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_none_close_with_4400() {
    let host = Host::start(&["engine"], "").await;
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        "",
        "{",
        "null",
        "[]",
        "7",
        "{}",
        r#"{"type": 7}"#,
        r#"{"type": "unknown"}"#,
        r#"{"type": "start", "id": "1"}"#,
        r#"{"type": "next", "id": "1", "payload": {}}"#,
        r#"{"type": "subscribe", "payload": {"query": "{ __typename }"}}"#,
        r#"{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}"#,
        r#"{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}"#,
        r#"{"type": "subscribe", "id": "1", "payload": {}}"#,
        r#"{"type": "subscribe", "id": "1", "payload": {"query": 1}}"#,
        r#"{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }", "variables": []}}"#,
        r#"{"type": "ping", "payload": 1}"#,
        r#"{"type": "complete"}"#,
        &nested,
        &format!(r#"{{"type": "ping", "payload": {{"a": {nested}}}}}"#),
    ] {
        let code = close_of(&host, Message::text(text)).await;
        assert_eq!(code, Some(4400), "{}", &text[..text.len().min(80)]);
    }
    assert_eq!(close_of(&host, Message::binary(&b"{}"[..])).await, Some(4400));
    assert_serves(&host).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_too_large_or_no_text_close_with_their_codes() {
    let host = Host::start(&["engine"], "").await;
    let large = format!(r#"{{"type": "ping", "payload": {{"a": "{}"}}}}"#, "x".repeat(10 << 20));
    let mut client = Client::connect(host.address).await;
    // The host may close before it has taken all of it.
    let _ = futures_util::SinkExt::send(&mut client.socket, Message::text(large)).await;
    assert_eq!(timeout(PROMPT, client.close_code()).await.expect("in time"), Some(1009));

    // A masked text frame of two bytes that are not UTF-8, by hand.
    let mut client = Client::connect(host.address).await;
    let frame = [0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe];
    client.socket.get_mut().write_all(&frame).await.unwrap();
    assert_eq!(timeout(PROMPT, client.close_code()).await.expect("in time"), Some(1007));

    // A frame with a reserved bit.
    let mut client = Client::connect(host.address).await;
    client.socket.get_mut().write_all(&[0xf1, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(timeout(PROMPT, client.close_code()).await.expect("in time"), Some(1002));
    assert_serves(&host).await;
    host.stop().await;
}

/// Fragments that expand to 2^25 fields.
fn fragment_bomb() -> String {
    let mut text = String::from("subscription { userUpdated { ...F0 } } ");
    for n in 0..25 {
        let next = n + 1;
        let _ = write!(text, "fragment F{n} on User {{ a: friends {{ ...F{next} }} b: friends {{ ...F{next} }} }} ");
    }
    text + "fragment F25 on User { id }"
}

/// Ten levels of eight aliases each, within the depth that is allowed: 8^10 fields.
fn wide_bomb() -> String {
    let mut text = String::from("subscription { userUpdated { ...F0 } } ");
    for n in 0..10 {
        let friends: Vec<_> = (0..8).map(|alias| format!("f{alias}: friends {{ ...F{} }}", n + 1)).collect();
        let _ = write!(text, "fragment F{n} on User {{ {} }} ", friends.join(" "));
    }
    text + "fragment F10 on User { id }"
}

/// 2^25 spreads, all on one level: a single field in the end, if nobody walks all ways to it.
fn spreads() -> String {
    let mut text = String::from("subscription { userUpdated { ...F0 } } ");
    for n in 0..25 {
        let next = n + 1;
        let _ = write!(text, "fragment F{n} on User {{ ...F{next} ...F{next} }} ");
    }
    text + "fragment F25 on User { id }"
}

fn aliases(count: usize) -> String {
    let fields: Vec<_> = (0..count).map(|n| format!("a{n}: seq")).collect();
    format!("subscription {{ counted {{ {} }} }}", fields.join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_are_too_much_are_refused_and_the_socket_stays() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    let deep = format!("subscription {{ userUpdated {} id {} }}", "{ friends ".repeat(200), "}".repeat(200));
    let long = format!("subscription {{ counted {{ seq }} }} #{}", "x".repeat(1_000_000));
    let cases = [
        ("a syntax error", "subscription {".to_owned()),
        ("an unknown field", "subscription { nothing }".to_owned()),
        ("two root fields", "subscription { counted { seq } anything { type } }".to_owned()),
        ("a fragment cycle", "subscription { userUpdated { ...A } } fragment A on User { friends { ...B } } fragment B on User { friends { ...A } }".to_owned()),
        ("a fragment that contains itself", "subscription { userUpdated { ...A } } fragment A on User { ...A }".to_owned()),
        ("10,000 aliases", aliases(10_000)),
        ("fragments that expand to 2^25 fields", fragment_bomb()),
        ("200 levels", deep),
        ("a query of 1 MB", long),
        ("a wrong variable", "subscription ($id: ID!) { userUpdated(id: $id) { id } }".to_owned()),
    ];
    for (what, query) in cases {
        client.subscribe("x", &query).await;
        let refused = timeout(PROMPT, client.seen()).await.expect("an answer in time");
        let Seen::Message(refused) = refused else { panic!("{what}: closed") };
        assert_eq!((&refused["id"], &refused["type"]), (&json!("x"), &json!("error")), "{what}");
        let errors = refused["payload"].as_array().unwrap();
        assert!((1..=21).contains(&errors.len()), "{what}: {} errors", errors.len());
        assert!(errors.iter().all(|error| error["message"].as_str().is_some_and(|text| !text.is_empty())), "{what}");
        client.barrier().await;
    }
    // Within the depth that is allowed, so it is the number of fields that refuses it.
    client.subscribe("x", &wide_bomb()).await;
    let message = client.message().await["payload"][0]["message"].clone();
    assert!(message.as_str().is_some_and(|text| text.contains("more than 5000 fields")), "{message}");
    drop(client);
    assert_serves(&host).await;
    host.stop().await;
}

/// The answer to a `subscribe` whose variables are these.
async fn answer_to_variables(host: &Host, variables: &str) -> (Client, Seen) {
    let mut client = Client::connect(host.address).await;
    let query = "subscription ($id: ID) { userUpdated(id: $id) { id } }";
    let text = format!(
        r#"{{"id": "x", "type": "subscribe", "payload": {{"query": "{query}", "variables": {{"id": {variables}}}}}}}"#
    );
    client.send_raw(Message::text(text)).await;
    let seen = timeout(PROMPT, client.seen()).await.expect("an answer in time");
    (client, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_that_multiply_without_adding_fields_are_taken_at_once() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    timeout(PROMPT, client.subscribed("x", &spreads())).await.expect("prepared in time");
    host.emit("users", "userUpdated", json!({"id": 1, "name": "A"})).await;
    assert_eq!(client.next("x").await, json!({"data": {"userUpdated": {"id": "1"}}}));
    drop(client);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_that_no_one_can_take_end_their_operation_and_not_the_socket() {
    let host = Host::start(&["engine"], "").await;
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    for variables in [nested(100_000), nested(65), objects, r#"["not an id"]"#.to_owned(), "{}".to_owned()] {
        let (mut client, seen) = answer_to_variables(&host, &variables).await;
        let Seen::Message(refused) = seen else { panic!("{seen:?} for {}", &variables[..variables.len().min(40)]) };
        assert_eq!((&refused["id"], &refused["type"]), (&json!("x"), &json!("error")), "{refused}");
        client.barrier().await;
        // The id is free again.
        client.subscribed("x", "subscription { counted { seq } }").await;
    }
    // JSON by its grammar, but no value can hold it.
    for variables in ["1e999", r#""\ud800""#] {
        assert!(matches!(answer_to_variables(&host, variables).await.1, Seen::Closed(Some((4400, _)))), "{variables}");
    }
    assert_serves(&host).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_documents_cost_bounded_memory() {
    let host = Process::serve("engine").await;
    let mut client = Client::connect(host.address).await;
    client.subscribe("x", "subscription {").await;
    client.message().await;
    let before = host.peak_memory();
    for round in 0..10 {
        for query in [
            fragment_bomb(),
            wide_bomb(),
            aliases(10_000),
            format!("subscription {{ counted {{ seq }} }} #{round}{}", "x".repeat(1_000_000)),
        ] {
            client.subscribe("x", &query).await;
            assert_eq!(client.message().await["type"], "error");
        }
    }
    let grown = host.peak_memory() - before;
    assert!(grown < 64 << 20, "{grown} bytes");
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_another_subprotocol_is_closed_with_4406() {
    let host = Host::start(&["engine"], "").await;
    let (_, chosen) = Client::offer(host.address, "graphql-ws, graphql-transport-ws").await;
    assert_eq!(chosen.as_deref(), Some("graphql-transport-ws"));
    // None, unknown ones, and one that only begins like the right one.
    for offered in ["", "mqtt", "mqtt, amqp", "graphql-transport-ws-2"] {
        let (mut client, chosen) = Client::offer(host.address, offered).await;
        assert_eq!(chosen, None, "{offered:?}");
        let end = Seen::Closed(Some((4406, "Subprotocol not acceptable".to_owned())));
        assert_eq!(client.seen().await, end, "{offered:?}");
    }
    assert_serves(&host).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_introduce_itself_is_closed_with_4408() {
    let host = Host::start(&["engine"], "[server]\nconnection_init_timeout = \"100ms\"\n").await;
    let mut client = Client::open(host.address).await;
    assert_eq!(client.close_code().await, Some(4408));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_requests_that_are_wrong_are_told_so() {
    let host = Host::start(&["engine"], "").await;
    let json = ("content-type", "application/json");
    let event = br#"{"channel": "counts", "type": "counted", "data": {"seq": 1}}"#;
    assert_eq!(host.get("/nowhere").await.0, 404);
    for (method, path, allow) in
        [("GET", "/events", "POST"), ("DELETE", "/graphql", "GET, POST"), ("POST", "/metrics", "GET")]
    {
        let (head, _) = exchange(host.address, method, path, &[], b"").await;
        assert!(head.starts_with("HTTP/1.1 405 "), "{method} {path}: {head}");
        assert_eq!(header(&head, "allow").as_deref(), Some(allow), "{method} {path}");
    }
    assert_eq!(host.post("/events", &[("content-type", "text/plain")], event).await.0, 415);
    assert_eq!(host.post("/events", &[], event).await.0, 415);
    assert_eq!(host.post("/events", &[json, ("authorization", "")], event).await.0, 401);
    assert_eq!(host.post("/events", &[json, ("origin", "https://evil.example")], event).await.0, 403);
    assert_eq!(host.post("/graphql", &[json], b"{").await.0, 400);
    assert_eq!(host.post("/graphql", &[("content-type", "text/plain")], b"{}").await.0, 415);
    let nested = format!(r#"{{"channel":"c","type":"t","data":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(host.post("/events", &[json], nested.as_bytes()).await.0, 400);
    assert_eq!(host.post("/events", &[json], b"\xff\xfe").await.0, 400);
    // Twice what the host takes, all of it sent before the answer is read.
    let large = vec![b' '; 32 << 20];
    assert_eq!(timeout(PROMPT, request(host.address, "POST", "/events", &[json], &large)).await.unwrap().0, 413);
    assert_eq!(host.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(host.get("/readyz").await.0, 200);
    assert!(host.get("/metrics").await.1.contains("subcast_events_published"));
    assert_serves(&host).await;
    host.stop().await;
}

/// Asks and asks, reads nothing, and stops when the host takes no more.
async fn flood(client: &mut Client, message: &str) -> usize {
    let mut sent = 0;
    let all = async {
        for _ in 0..20_000 {
            client.send_raw(Message::text(message.replace("ID", &sent.to_string()))).await;
            sent += message.len();
        }
    };
    // A host that reads on takes everything well within this time.
    let _ = timeout(Duration::from_secs(3), all).await;
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_and_does_not_read_costs_no_memory() {
    let host = Process::serve("engine").await;
    let before = host.peak_memory();
    let mut client = Client::connect(host.address).await;
    let query = "{ __schema { types { name fields { name type { name ofType { name } } } } } }";
    let subscribe = json!({"id": "ID", "type": "subscribe", "payload": {"query": query}}).to_string();
    flood(&mut client, &subscribe).await;
    let mut stranger = Client::open(host.address).await;
    let ping = json!({"type": "ping", "payload": {"pad": "x".repeat(10_000)}}).to_string();
    flood(&mut stranger, &ping).await;
    let grown = host.peak_memory() - before;
    assert!(grown < 48 << 20, "grew by {} MB", grown >> 20);
    drop((client, stranger));
    let mut other = Client::connect(host.address).await;
    other.barrier().await;
}
