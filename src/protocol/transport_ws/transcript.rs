//! Runs the scenarios in `transcripts/`: one line is one thing that happens or is expected.
//!
//! | line | meaning |
//! |---|---|
//! | `# …` | a remark |
//! | `limit operations 2` | another limit than the default, before anything happens |
//! | `connect`, `connect acknowledged` | a fresh connection; the first needs no line. The second form is past its ack |
//! | `client: TEXT` | the client sends a text message; `{{nested 99}}` becomes 99 arrays, `{{x 99}}` 99 times the letter |
//! | `client binary`, `client pong` | it sends a binary message, a pong frame |
//! | `time +3s`, `time +2999ms` | time passes, and every deadline in it comes up |
//! | `app accept`, `app reject`, `app refreshed [SECONDS]`, `app ping JSON` | what the driver decides about the connection |
//! | `app start ID`, `app start ID too late` | preparation succeeded; `start` answers `true`, or `false` |
//! | `app next ID JSON`, `app next ID JSON dropped` | an event's result: gives a frame, or none |
//! | `app error ID JSON`, `app complete ID`, `app close CODE REASON` | it ends an operation, or the connection |
//! | `server: TEXT`, `server ping`, `server close CODE REASON` | expected: exactly this is sent next |
//! | `asks authenticate JSON`, `asks refresh TEXT`, `asks subscribe ID JSON`, `asks unsubscribe ID` | expected: the driver is asked to |
//!
//! Expectations are complete: an output that no line expects fails the scenario, so silence needs no line of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Config, Connection};
use crate::ids::OperationId;
use crate::protocol::{CloseCode, Output};

/// Plays one scenario. Panics with the number of the line that does not hold.
pub(super) fn play(script: &str) {
    let mut scene = Scene::new(script);
    for (line, number) in script.lines().zip(1..) {
        scene.play_line(line.trim(), number);
    }
    scene.expect_silence("the end");
}

struct Scene {
    config: Arc<Config>,
    connection: Connection,
    now: Instant,
    outputs: VecDeque<String>,
}

impl Scene {
    fn new(script: &str) -> Self {
        let mut config = Config::default();
        for line in script.lines() {
            if let Some(limit) = line.strip_prefix("limit operations ") {
                config.max_operations = limit.parse().unwrap();
            }
        }
        let (now, config) = (Instant::now(), Arc::new(config));
        Self { connection: Connection::new(Arc::clone(&config), now), config, now, outputs: VecDeque::new() }
    }

    fn play_line(&mut self, line: &str, number: usize) {
        if line.is_empty() || line.starts_with('#') || line.starts_with("limit ") {
            return;
        }
        let place = format!("line {number}: {line}");
        if ["server", "asks"].iter().any(|expectation| line.starts_with(expectation)) {
            assert_eq!(self.outputs.pop_front().as_deref(), Some(line), "{place}");
            return;
        }
        self.expect_silence(&place);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "connect" => self.connect(rest == "acknowledged"),
            "client:" => self.connection.handle_text(&expand(rest), self.now),
            "client" if rest == "binary" => self.connection.handle_binary(self.now),
            "client" if rest == "pong" => self.connection.handle_pong(self.now),
            "time" => self.pass(rest),
            "app" => self.app(rest, &place),
            _ => panic!("{place}: not a line of a transcript"),
        }
        self.collect();
    }

    fn connect(&mut self, acknowledged: bool) {
        self.connection = Connection::new(Arc::clone(&self.config), self.now);
        if acknowledged {
            self.connection.handle_text(r#"{"type":"connection_init"}"#, self.now);
            self.connection.accept();
            while self.connection.poll_output().is_some() {}
        }
    }

    fn expect_silence(&self, place: &str) {
        assert!(self.outputs.is_empty(), "before {place}: nobody expected {:?}", self.outputs);
    }

    fn app(&mut self, step: &str, place: &str) {
        let mut words = step.splitn(3, ' ');
        let verb = words.next().unwrap_or_default();
        let subject = words.next().unwrap_or_default();
        let rest = words.next().unwrap_or_default();
        let id = OperationId::new(subject);
        match verb {
            "accept" => self.connection.accept(),
            "reject" => self.connection.reject(),
            "refreshed" => self.connection.refreshed(subject.parse().ok()),
            "ping" => self.connection.ping(subject),
            "start" => assert_eq!(self.connection.start(&id), rest != "too late", "{place}"),
            "next" => {
                let payload = rest.strip_suffix(" dropped");
                let frame = self.connection.next(&id, payload.unwrap_or(rest));
                assert_eq!(frame.is_none(), payload.is_some(), "{place}");
                self.outputs.extend(frame.map(|text| format!("server: {text}")));
            }
            "error" => self.connection.error(&id, rest),
            "complete" => self.connection.complete(&id),
            "close" => self.connection.close(code(subject), rest),
            _ => panic!("{place}: not a line of a transcript"),
        }
    }

    /// Lets every deadline come up at its own instant, as a driver would.
    fn pass(&mut self, time: &str) {
        let (number, unit) =
            time.trim_start_matches('+').split_at(time.trim_start_matches('+').find(['m', 's']).unwrap());
        let number: u64 = number.parse().unwrap();
        let end = self.now + if unit == "ms" { Duration::from_millis(number) } else { Duration::from_secs(number) };
        while let Some(deadline) = self.connection.poll_timeout().filter(|deadline| *deadline <= end) {
            self.now = deadline;
            self.connection.handle_timeout(deadline);
            self.collect();
        }
        self.now = end;
        self.connection.handle_timeout(end);
    }

    fn collect(&mut self) {
        while let Some(output) = self.connection.poll_output() {
            self.outputs.push_back(render(output));
        }
    }
}

/// An output as the line that expects it.
fn render(output: Output) -> String {
    match output {
        Output::Authenticate { payload } => format!("asks authenticate {}", payload.map_or(Value::Null, Value::Object)),
        Output::Refresh { authorization } => format!("asks refresh {authorization}"),
        Output::Subscribe { id, request } => {
            let mut json = json!({ "query": request.query });
            for (member, map) in [("variables", request.variables), ("extensions", request.extensions)] {
                if !map.is_empty() {
                    json[member] = Value::Object(map);
                }
            }
            if let Some(name) = request.operation_name {
                json["operationName"] = Value::from(name);
            }
            format!("asks subscribe {id} {json}")
        }
        Output::Unsubscribe { id } => format!("asks unsubscribe {id}"),
        Output::Send(text) => format!("server: {text}"),
        Output::Ping => "server ping".to_owned(),
        Output::Close { code, reason } => format!("server close {code} {reason}"),
    }
}

fn expand(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{{") else { return text.to_owned() };
    let (what, after) = rest.split_once("}}").unwrap();
    let (what, times) = what.split_once(' ').unwrap();
    let times = times.parse().unwrap();
    let middle = match what {
        "nested" => "[".repeat(times) + &"]".repeat(times),
        letter => letter.repeat(times),
    };
    format!("{before}{middle}{}", expand(after))
}

fn code(number: &str) -> CloseCode {
    let known = [CloseCode::GoingAway, CloseCode::ServiceRestart, CloseCode::TryAgainLater];
    known.into_iter().find(|known| known.to_string() == number).unwrap()
}
