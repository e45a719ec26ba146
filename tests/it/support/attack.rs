//! A row of a table of hostile guests: what is tried, how it ends, and the proof that it ended so.

use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::poll;
use serde_json::{Value, json};

use super::checker::check;
use super::client::Client;
use super::process::Process;
use super::{HOSTILE_WALL, ON_TIME, eventually};

/// Bytes that a whole series may put into the log. Each module may write 64 KiB per second, and failures are told.
const LOG_BYTES: usize = 3 << 20;
/// Lines that one field may put into the log by itself: 64 KiB, at 128 bytes each, in each of the two seconds that a call of
/// at most one second can touch; and once more for what the field before it has left.
const GUEST_LINES: usize = 3 * 512;
/// How every forged line in the guests begins.
const FORGED: &str = "2026-01-01T00:00:00Z";

/// One row.
pub struct Attack {
    pub field: &'static str,
    /// What the guest tries.
    pub tries: &'static str,
    /// More members for the event's data.
    pub data: Value,
    pub selection: &'static str,
    pub answer: Answer,
    pub after: After,
}

/// What the subscriber gets.
pub enum Answer {
    /// One opaque error, and the log has this in its line about it: what stopped the guest.
    Opaque(&'static str),
    /// This payload: what the guest was told instead, or what it is free to say.
    Payload(Value),
    /// A payload for which this holds.
    Holds(fn(&Value) -> bool),
}

/// What the module's field `fine` answers then.
pub enum After {
    /// What it should.
    Fine,
    /// The guest has spoilt its own instance: this, until the instance ends.
    Spoilt(Answer),
}

pub fn opaque(field: &'static str, tries: &'static str, stopped_by: &'static str) -> Attack {
    Attack {
        field,
        tries,
        data: json!({}),
        selection: "seq told",
        answer: Answer::Opaque(stopped_by),
        after: After::Fine,
    }
}

pub fn value(field: &'static str, tries: &'static str, value: Value) -> Attack {
    let mut data = json!({});
    data[field] = value;
    payload(field, tries, json!({ "data": data }))
}

pub fn payload(field: &'static str, tries: &'static str, payload: Value) -> Attack {
    Attack { answer: Answer::Payload(payload), ..opaque(field, tries, "") }
}

pub fn forged(forgery: &'static str, answer: Answer) -> Attack {
    Attack { data: json!({ "forgery": forgery }), answer, ..opaque("forges", forgery, "") }
}

/// What the field `fine` answers in a module that is well.
pub fn fine() -> Answer {
    Answer::Payload(json!({"data": {"fine": {"seq": 7}}}))
}

/// An error of the whole field.
pub fn refusal(field: &str, message: &str, extensions: Value) -> Value {
    let mut error = json!({"message": message, "path": [field]});
    if !extensions.is_null() {
        error["extensions"] = extensions;
    }
    json!({"data": null, "errors": [error]})
}

/// Runs the rows, and returns how many lines of the guest were left out of the log.
pub async fn prove(guest: &str, attacks: Vec<Attack>) -> f64 {
    // One instance, so that whatever a row leaves behind is where the next one runs.
    let lines = format!("instances = 1\n{HOSTILE_WALL}");
    let host = Process::serve_with(&[("engine", ""), (guest, &lines)]).await;
    let mut neighbour = Neighbour::start(&host).await;
    let fields: std::collections::BTreeSet<_> = attacks.iter().map(|attack| attack.field).collect();
    // The log tells 50 failures of a module per second in full, and a row has three at most.
    let mut pace = tokio::time::interval(Duration::from_millis(60));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for attack in attacks {
        pace.tick().await;
        let Attack { field, tries, data, selection, answer, after } = attack;
        let context = format!("{field}: {tries}");
        ask(&host, &mut neighbour, field, selection, data, &answer, &context).await;
        if let After::Spoilt(answer) = after {
            ask(&host, &mut neighbour, "fine", "seq", json!({}), &answer, &format!("fine after {context}")).await;
            let ended = Answer::Opaque("Exited with");
            // The instance may be gone already; what follows is certain only afterwards.
            ask(&host, &mut neighbour, "ends", "seq", json!({}), &ended, &format!("the end after {context}")).await;
        }
        ask(&host, &mut neighbour, "fine", "seq", json!({}), &fine(), &format!("fine after {context}")).await;
    }
    let log = host.log();
    for field in fields {
        let own = format!("field=\"{field}\"");
        let lines = log.lines().filter(|line| line.contains("subcast::guest") && line.contains(&own)).count();
        assert!(lines <= GUEST_LINES, "{field} has written {lines} lines");
    }
    assert!(log.len() < LOG_BYTES, "{} bytes of log", log.len());
    assert!(!log.lines().any(|line| line.starts_with(FORGED)), "a guest has written a line of the host");
    assert!(!log.contains('\u{1b}'), "a guest commands the terminal");
    assert!(!log.contains("a bug of Subcast"), "a task panicked");
    let suppressed = host.metric("subcast_guest_log_lines_suppressed_total").await;
    drop(neighbour);
    assert_eq!(host.terminate().await, Some(0));
    suppressed
}

/// One event for a hostile field, while the neighbour gets at least three of its own.
async fn ask(
    host: &Process,
    neighbour: &mut Neighbour,
    field: &str,
    selection: &str,
    mut data: Value,
    expected: &Answer,
    context: &str,
) {
    let mut client = Client::connect(host.address).await;
    client.subscribed("x", &format!("subscription {{ {field} {{ {selection} }} }}")).await;
    data["seq"] = json!(7);
    data["port"] = json!(host.address.port());
    host.emit("attacks", field, data).await;
    let payload = {
        let mut answered = pin!(client.next("x"));
        let mut answer = Poll::Pending;
        for round in 0.. {
            neighbour.gets_its_next(host, context).await;
            if answer.is_pending() {
                answer = poll!(&mut answered);
            }
            if round >= 2 && answer.is_ready() {
                break;
            }
        }
        match answer {
            Poll::Ready(payload) => payload,
            Poll::Pending => unreachable!("the loop ends with it"),
        }
    };
    // One answer, not two.
    client.barrier().await;
    match expected {
        Answer::Opaque(stopped_by) => {
            let id = payload["errors"][0]["extensions"]["id"].as_str().unwrap_or_default().to_owned();
            assert_eq!(id.len(), 16, "{context}: {payload}");
            // To the letter, so there is no room for anything of the guest's.
            let extensions = json!({"code": "INTERNAL_SERVER_ERROR", "id": id});
            assert_eq!(payload, refusal(field, "Internal server error", extensions), "{context}");
            let told = || host.log().lines().any(|line| line.contains(&id));
            eventually(&format!("{context}: the log has the error"), told).await;
            let log = host.log();
            let line = log.lines().find(|line| line.contains(&id)).unwrap();
            assert!(stopped_by.split('|').any(|told| line.contains(told)), "{context}: {line}");
            assert!(line.contains(field) && line.contains("resolvers.py"), "{context}: {line}");
        }
        Answer::Payload(expected) => assert_eq!(payload, *expected, "{context}"),
        Answer::Holds(holds) => assert!(holds(&payload), "{context}: {:.300}", payload.to_string()),
    }
    let text = payload.to_string();
    for private in ["Traceback", "resolvers.py", "subcast_guest", "a secret", "Error:", "wasm", "CPU"] {
        assert!(!text.contains(private), "{context}: {private} in {text:.300}");
    }
}

/// A module that behaves, in the same host.
struct Neighbour {
    client: Client,
    seq: u64,
}

impl Neighbour {
    async fn start(host: &Process) -> Self {
        let mut client = Client::connect(host.address).await;
        client.subscribed("h", "subscription { counted { seq } }").await;
        Self { client, seq: 0 }
    }

    /// Its next message is its next event's, and on time: nothing lost, nothing twice, nothing of somebody else's.
    async fn gets_its_next(&mut self, host: &Process, beside: &str) {
        self.seq += 1;
        let sent = Instant::now();
        host.emit("counts", "counted", json!({"seq": self.seq, "mark": "only for the neighbour"})).await;
        let payload = self.client.next("h").await;
        let seq = payload["data"]["counted"]["seq"].as_u64().unwrap_or_default();
        assert_eq!(check(&[self.seq], &[seq]), [], "beside {beside}");
        assert_eq!(payload, json!({"data": {"counted": {"seq": seq}}}), "beside {beside}");
        assert!(sent.elapsed() < ON_TIME, "{:?} beside {beside}", sent.elapsed());
    }
}
