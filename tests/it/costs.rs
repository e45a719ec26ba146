//! The worst messages that the bounds allow: what each costs the real binary, in memory and for others. The rows of the table
//! "Bounds" in docs/architecture.md that clients and publishers can reach.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{Client, Seen};
use crate::support::credential;
use crate::support::host::{exchange, header, request};
use crate::support::process::Process;

const MIB: u64 = 1 << 20;

/// A host with these additional lines of configuration, warmed up: what the first subscription and the first event cost is
/// not what is measured.
async fn serve(extra: &str) -> Process {
    let module = crate::support::guests::built("costs").await;
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let text =
        format!("{extra}\n[admin]\nversions = 5\n[[module]]\nname = \"costs\"\npath = \"{}\"\n", module.display());
    std::fs::write(file.path(), text).unwrap();
    let host = Process::start(&["--config", file.path().to_str().unwrap()]).await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("warm", "subscription { counted { seq } }").await;
    host.emit("counts", "counted", json!({"seq": 1})).await;
    client.next("warm").await;
    host
}

fn subscribe(id: &str, query: &str, variables: &Value) -> Value {
    json!({"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}})
}

/// The messages of an operation's errors.
async fn refusal(client: &mut Client, id: &str) -> String {
    let refused = client.message().await;
    assert_eq!((&refused["id"], &refused["type"]), (&json!(id), &json!("error")), "{}", cut(&refused));
    refused["payload"].as_array().unwrap().iter().map(|error| error["message"].as_str().unwrap()).collect()
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}

async fn publish(address: SocketAddr, kind: &str, body: &[u8]) -> (String, String) {
    exchange(address, "POST", "/events", &[("content-type", kind)], body).await
}

/// The mean time that pings of another client take while this is going on. The mean, since it is the few long waits that count.
async fn pings(address: SocketAddr, meanwhile: impl Future<Output = ()>) -> Duration {
    let mut client = Client::connect(address).await;
    let mut meanwhile = std::pin::pin!(meanwhile);
    let (began, mut count) = (Instant::now(), 0);
    loop {
        tokio::select! {
            () = &mut meanwhile => break,
            () = client.barrier() => count += 1,
        }
    }
    began.elapsed() / count.max(1)
}

/// That pings took no more than a small multiple of what they take while nothing else is going on.
fn assert_on_time(alone: Duration, during: Duration) {
    assert!(during < alone * 10 + Duration::from_micros(500), "pings took {alone:?} alone, {during:?} meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_used_often_costs_no_more_than_the_bound() {
    let host = serve("").await;
    let mut client = Client::connect(host.address).await;
    let before = host.peak_memory();
    let uses = |name: &str, count: usize| vec![name; count].join(" ");
    let large = "x".repeat(50_000);
    for (query, variables) in [
        (format!("subscription ($a: ID!) {{ listed(ids: [{}]) {{ seq }} }}", uses("$a", 1_800)), json!({"a": large})),
        (
            format!("subscription ($a: JSON) {{ listed(blob: [{}]) {{ seq }} }}", uses("$a", 1_800)),
            json!({"a": [[large]]}),
        ),
        (format!("subscription {{ listed(in: [{}]) {{ seq }} }}", uses("{}", 3_000)), json!({})),
        ("subscription ($in: [In!]) { listed(in: $in) { seq } }".to_owned(), json!({"in": vec![json!({}); 3_000]})),
    ] {
        client.send(subscribe("x", &query, &variables)).await;
        let message = refusal(&mut client, "x").await;
        assert!(message.contains("[limits] arguments"), "{message}");
    }
    let grown = host.peak_memory() - before;
    assert!(grown < 8 * MIB, "grew by {} KiB", grown >> 10);
    // What is allowed is served.
    let ids: Vec<_> = (0..1_000).map(|n| format!("{n:036}")).collect();
    client
        .send(subscribe("x", "subscription ($ids: [ID!]) { listed(ids: $ids) { size } }", &json!({"ids": ids})))
        .await;
    client.barrier().await;
    host.emit("counts", "counted", json!({"seq": 2})).await;
    assert_eq!(client.next("x").await, json!({"data": {"listed": {"size": 1_000}}}));
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_that_no_operation_declares_are_not_kept() {
    let host = serve("").await;
    let mut clients = [Client::connect(host.address).await, Client::connect(host.address).await];
    let before = host.peak_memory();
    for (number, client) in clients.iter_mut().enumerate() {
        for operation in 0..100 {
            let id = operation.to_string();
            let variables = json!({"undeclared": format!("{number}-{operation}-{}", "x".repeat(250_000))});
            client.send(subscribe(&id, "subscription { counted { seq } }", &variables)).await;
        }
        client.barrier().await;
    }
    assert!(host.metric("subcast_subscriptions").await >= 200.0);
    let grown = host.peak_memory() - before;
    // 200 times 250 KB are 48 MiB.
    assert!(grown < 16 * MIB, "grew by {} KiB", grown >> 10);
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_kept_within_the_bound_of_a_connection() {
    let host = serve("").await;
    let mut clients = [Client::connect(host.address).await, Client::connect(host.address).await];
    let before = host.peak_memory();
    let mut taken = 0;
    for (number, client) in clients.iter_mut().enumerate() {
        for operation in 0..100 {
            let query = format!("subscription {{ counted {{ seq }} }} # {number}-{operation}-{}", "x".repeat(250_000));
            client.send(subscribe(&operation.to_string(), &query, &Value::Null)).await;
            client.send(json!({"type": "ping", "payload": {"barrier": operation}})).await;
            let message = client.message().await;
            if message["type"] == "error" {
                let text = message["payload"][0]["message"].as_str().unwrap();
                assert!(text.contains("[limits] bytes_per_connection"), "{text}");
                client.message().await;
            } else {
                taken += 1;
            }
        }
    }
    // 4 MiB of 250 KB each.
    assert!((28..=34).contains(&taken), "{taken}");
    assert!(host.metric("subcast_subscriptions_refused_total").await >= 166.0);
    let grown = host.peak_memory() - before;
    assert!(grown < 24 * MIB, "grew by {} KiB", grown >> 10);
    // What ends makes room.
    let [mut client, _] = clients;
    client.send(json!({"id": "0", "type": "complete"})).await;
    client.subscribed("0", &format!("subscription {{ counted {{ seq }} }} # {}", "y".repeat(250_000))).await;
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_megabyte_cost_a_small_multiple_of_it() {
    let host = serve("").await;
    let before = host.peak_memory();
    let query = "subscription ($a: Int) { counted { seq } }";
    for filler in ["[[[[", "[0,", "[{\"a\":0},", "{\"a\":{\"a\":"] {
        for place in ["variables", "extensions", "init"] {
            let mut text = filler.repeat(1_000_000 / filler.len());
            // Closed where that is possible: `[0,[0,…` is nested, so flat instead.
            if filler.ends_with(',') {
                text = format!("[{}0]", filler.trim_start_matches('[').repeat(1_000_000 / filler.len()));
            }
            let message = match place {
                "init" => format!(r#"{{"type":"connection_init","payload":{{"a":{text}}}}}"#),
                place => format!(
                    r#"{{"id":"1","type":"subscribe","payload":{{"query":"{query}","{place}":{{"a":{text}}}}}}}"#
                ),
            };
            let mut client =
                if place == "init" { Client::open(host.address).await } else { Client::connect(host.address).await };
            client.send_raw(Message::text(message)).await;
            let seen = client.seen().await;
            let refused = match &seen {
                Seen::Closed(Some((4400, _))) => true,
                Seen::Message(message) => {
                    message["type"] == "error"
                        && (place == "init" || message["payload"][0]["extensions"]["code"] == "TOO_LARGE")
                }
                Seen::Closed(_) => false,
            };
            assert!(refused, "{filler} in {place}: {seen:?}");
        }
    }
    let grown = host.peak_memory() - before;
    assert!(grown < 16 * MIB, "grew by {} KiB", grown >> 10);
    assert_eq!(host.terminate().await, Some(0));
}

fn aliases_of_the_schema(count: usize) -> String {
    let mut query = String::from("{");
    for alias in 0..count {
        let _ = write!(
            query,
            " a{alias}: __schema {{ types {{ name fields {{ name type {{ name ofType {{ name }} }} }} }} }}"
        );
    }
    query + "}"
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_by_many_leaves_others_on_time_and_costs_little_memory() {
    let host = serve("").await;
    let address = host.address;
    let alone = pings(address, tokio::time::sleep(Duration::from_secs(1))).await;
    let before = host.peak_memory();
    let attack = async {
        let attackers = (0..3).map(|attacker| async move {
            let mut client = Client::connect(address).await;
            for round in 0..60 {
                // Each text is another one: no cache helps. Of what is allowed, the most.
                let query =
                    format!("{} # {attacker}-{round}", aliases_of_the_schema(if round % 2 == 0 { 4 } else { 110 }));
                client.subscribe("x", &query).await;
                loop {
                    let message = client.message().await;
                    assert!(message.to_string().len() < 512 << 10);
                    if message["type"] != "next" {
                        break;
                    }
                }
            }
        });
        futures_util::future::join_all(attackers).await;
    };
    let during = pings(address, attack).await;
    assert_on_time(alone, during);
    let grown = host.peak_memory() - before;
    // Most of it are the caches: 512 KiB of documents, which take up to 100 times as much once parsed, and 8 MiB of answers.
    assert!(grown < 40 * MIB, "grew by {} KiB", grown >> 10);
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_can_be_switched_off() {
    let host = serve("[limits]\nintrospection = false").await;
    let mut client = Client::connect(host.address).await;
    client.subscribe("x", "{ __schema { types { name } } }").await;
    let message = refusal(&mut client, "x").await;
    assert!(message.contains("[limits] introspection"), "{message}");
    client.subscribe("x", "{ __typename }").await;
    assert_eq!(client.next("x").await, json!({"data": {"__typename": "Query"}}));
    let json = [("content-type", "application/json")];
    let (status, body) =
        request(host.address, "POST", "/graphql", &json, br#"{"query": "{ __type(name: \"User\") { name } }"}"#).await;
    assert!(status == 200 && body.contains("[limits] introspection"), "{status} {body}");
    let (status, body) = request(host.address, "POST", "/graphql", &json, br#"{"query": "{ __typename }"}"#).await;
    assert_eq!((status, &*body), (200, r#"{"data":{"__typename":"Query"}}"#));
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_the_order_of_the_messages() {
    let host = serve("").await;
    let mut client = Client::connect(host.address).await;
    for round in 0..20 {
        // Prepared beside, then what is answered at once.
        client.subscribe("slow", &format!("{} # {round}", aliases_of_the_schema(3))).await;
        client.subscribe("quick", "{ __typename }").await;
        client.send(json!({"type": "ping", "payload": {"barrier": true}})).await;
        let mut order = Vec::new();
        for _ in 0..5 {
            let message = client.message().await;
            order.push(format!("{} {}", message["type"].as_str().unwrap(), message["id"].as_str().unwrap_or("-")));
        }
        assert_eq!(order, ["next slow", "complete slow", "next quick", "complete quick", "pong -"]);
    }
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_cost_no_more_than_the_memory_of_publishing() {
    let host = serve("[publish]\nmemory = \"64MiB\"").await;
    let before = host.peak_memory();
    let event = |data: &str| format!(r#"{{"channel":"nobody","type":"t","data":{data}}}"#);
    let list = |item: &str, bytes: usize| format!("[{}{item}]", format!("{item},").repeat(bytes / (item.len() + 1)));
    let members = |bytes: usize| {
        let members: Vec<_> = (0..bytes / 10).map(|n| format!("\"{n:06}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let mut refused = 0;
    for data in [
        list("0", 1_000_000),
        list("{\"a\":0}", 1_000_000),
        list("[0]", 1_000_000),
        members(900_000),
        list("{}", 1_000_000),
    ] {
        let body = vec![event(&data); 15].join("\n");
        let (head, answer) = publish(host.address, "application/x-ndjson", body.as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        assert!(answer.contains("[publish] memory"), "{answer}");
        refused += 1;
        // One of them is taken or refused for its own sake, but costs no more either.
        let (head, _) = publish(host.address, "application/json", event(&data).as_bytes()).await;
        assert!(head.starts_with("HTTP/1.1 202 ") || head.starts_with("HTTP/1.1 413 "), "{head}");
    }
    let tiny = vec![r#"{"channel":"nobody","type":"t","data":0}"#; 10_000].join("\n");
    assert!(publish(host.address, "application/x-ndjson", tiny.as_bytes()).await.0.starts_with("HTTP/1.1 202 "));
    let grown = host.peak_memory() - before;
    // The body itself is there twice while it grows.
    assert!(grown < (64 + 48) * MIB, "grew by {} KiB", grown >> 10);
    assert!(host.metric("subcast_publish_memory_refused_total").await >= f64::from(refused));
    assert!(host.metric("subcast_publish_memory_bytes").await < 1.0);
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_find_no_memory_are_told_when_to_come_back() {
    let host = serve("[publish]\nmemory = \"1MiB\"").await;
    // Half of one body arrives and stays.
    let mut stuck = tokio::net::TcpStream::connect(host.address).await.unwrap();
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: {}\r\n{}content-type: application/json\r\ncontent-length: 900000\r\n\r\n",
        host.address,
        credential::line(host.address)
    );
    let half = vec![b' '; 450_000];
    tokio::io::AsyncWriteExt::write_all(&mut stuck, head.as_bytes()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stuck, &half).await.unwrap();
    let deadline = Instant::now() + crate::support::PATIENCE;
    while host.metric("subcast_publish_memory_bytes").await < 900_000.0 {
        assert!(Instant::now() < deadline, "the body is never charged");
    }
    let body = vec![b' '; 200_000];
    let (head, answer) = publish(host.address, "application/json", &body).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(header(&head, "retry-after").as_deref(), Some("1"));
    assert!(answer.contains("[publish] memory"), "{answer}");
    drop(stuck);
    while host.metric("subcast_publish_memory_bytes").await > 0.0 {
        assert!(Instant::now() < deadline, "the body is never forgotten");
    }
    host.emit("counts", "counted", json!({"seq": 2})).await;
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_leave_others_on_time() {
    let host = serve("").await;
    let address = host.address;
    let alone = pings(address, tokio::time::sleep(Duration::from_secs(1))).await;
    let members: Vec<_> = (0..90_000).map(|n| format!("\"{n:06}\":0")).collect();
    let event = format!(r#"{{"channel":"nobody","type":"t","data":{{{}}}}}"#, members.join(","));
    let body = vec![event; 3].join("\n");
    let publishers = async {
        let publishers = (0..3).map(|_| async {
            for _ in 0..5 {
                let (head, answer) = publish(address, "application/x-ndjson", body.as_bytes()).await;
                assert!(head.starts_with("HTTP/1.1 202 ") || head.starts_with("HTTP/1.1 503 "), "{head} {answer}");
            }
        });
        futures_util::future::join_all(publishers).await;
    };
    let during = pings(address, publishers).await;
    assert_on_time(alone, during);
    assert_eq!(host.terminate().await, Some(0));
}
