//! The log under attack: whatever clients, publishers, modules and resolvers control is quoted, cut and counted there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::client::{Client, Seen};
use crate::support::host::{exchange, request};
use crate::support::process::Process;
use crate::support::{eventually, guests};

const SECRET: &str = "a secret of at least 32 bytes .....";

/// Everything that could begin a line, command a terminal or turn the direction of text; `name` tells where it came from.
fn evil(name: &str) -> String {
    format!(
        "{name}\n2026-01-01T00:00:00.000000Z ERROR subcast: {name}-line\r\u{1b}[31m\u{9b}31m\u{85}{name}\u{2028}\u{2029}\u{202e}\u{202a}\u{2066}\u{2069}\u{200f}\u{61c}\u{feff}\" level=\"ERROR\" \\"
    )
}

/// The same without control characters, as publishers may send it.
fn subtle(name: &str) -> String {
    format!("{name}\u{2028}2026-01-01T00:00:00Z ERROR\u{2029}\u{202e}\u{2066}\u{200f}\u{feff}\" level=\"ERROR\"")
}

fn steers(c: char) -> bool {
    c.is_control() || "\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{200f}\u{61c}\u{feff}".contains(c)
}

/// A token whose parts are these JSON texts, signed by nobody.
fn unsigned(header: &str, claims: &str) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("Bearer {header}.{claims}.c2lnbmF0dXJl")
}

fn signed(claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    format!("Bearer {}", jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap())
}

/// Tokens that are refused, each for another reason, with something evil in each part.
fn tokens() -> Vec<String> {
    let quoted = |text: &str| Value::from(text).to_string();
    let claims = json!({"sub": evil("sub"), "exp": 4_000_000_000_u64}).to_string();
    let mut tokens = vec![
        unsigned(&format!("{{\"alg\":{},\"typ\":\"JWT\"}}", quoted(&evil("alg"))), &claims),
        unsigned(&format!("{{\"alg\":{},\"typ\":\"JWT\"}}", quoted(&evil("long-alg").repeat(1_000))), &claims),
        unsigned(&format!("{{\"alg\":\"HS256\",\"kid\":{}}}", quoted(&evil("kid"))), &claims),
        unsigned(&format!("{{\"alg\":\"HS256\",{}:1,\"typ\":7}}", quoted(&evil("member"))), &claims),
        unsigned(&evil("header"), &claims),
        unsigned("{\"alg\":\"HS256\"}", &evil("claims")),
        format!("Bearer {}", evil("bearer")),
        evil("scheme"),
    ];
    let claims = [
        json!({"sub": evil("sub")}),
        json!({"sub": evil("sub"), "exp": evil("exp")}),
        json!({"sub": evil("sub"), "exp": 1, evil("claim"): 1}),
        json!({"iss": evil("iss"), "aud": [evil("aud")], "exp": 4_000_000_000_u64, "nbf": evil("nbf")}),
    ];
    tokens.extend(claims.iter().map(signed));
    tokens
}

async fn serve(format: &str) -> Process {
    let paths = [guests::built("speaks").await, guests::built("engine").await];
    let config = format!(
        "[auth]\njwt = {{ secret_env = \"SUBCAST_TEST_SECRET\" }}\n[telemetry]\nlog = \"subcast=trace\"\nlog_format = \"{format}\"\n\
         [[module]]\nname = \"speaks\"\npath = \"{}\"\n[[module]]\nname = \"engine\"\npath = \"{}\"\n",
        paths[0].display(),
        paths[1].display()
    );
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    fs::write(file.path(), config).unwrap();
    Process::start_with(&["--config", file.path().to_str().unwrap()], &[("SUBCAST_TEST_SECRET", SECRET)]).await
}

/// Sends something evil in every field that somebody outside controls.
async fn attack(host: &Process) {
    for token in tokens() {
        let mut client = Client::open(host.address).await;
        client.send(json!({"type": "connection_init", "payload": {"authorization": token, evil("payload"): evil("payload")}})).await;
        assert!(matches!(client.seen().await, Seen::Closed(Some((4403, _)))), "{token:.80}");
        let mut client = Client::connect(host.address).await;
        client.send(json!({"type": "ping", "payload": {"authorization": token}})).await;
        assert!(matches!(client.seen().await, Seen::Closed(Some((4403, _)))), "{token:.80}");
    }

    // Headers take no control characters, but any other bytes.
    let (header, path) = (subtle("header"), format!("/{}", subtle("path").replace(' ', "%20")));
    for (name, value) in
        [("authorization", tokens().swap_remove(0)), ("origin", header.clone()), ("user-agent", header.clone())]
    {
        let headers = [(name, value.as_str()), ("content-type", "application/json")];
        let _ = exchange(host.address, "POST", "/graphql", &headers, b"{\"query\":\"{ __typename }\"}").await;
    }
    let _ = exchange(host.address, "GET", "/graphql", &[("host", &header)], b"").await;
    let _ = exchange(host.address, "GET", &path, &[], b"").await;
    let _ = exchange(host.address, "BR\u{202e}W", "/", &[], b"").await;
    let _ = exchange(host.address, "PUT", "/admin/modules/a%0Ab%E2%80%AE", &[], evil("upload").as_bytes()).await;

    // Operations: their ids, names, texts and variables. A second one of the same id is an end, which names the id.
    let mut client = Client::connect(host.address).await;
    let operation = json!({
        "query": format!("subscription {{ userUpdated {{ id }} }} # {}", subtle("query")),
        "operationName": evil("operation-name"), "variables": {evil("variable"): evil("value")},
    });
    client.send(json!({"id": evil("operation-name-id"), "type": "subscribe", "payload": operation})).await;
    assert_eq!(client.message().await["type"], "error");
    for query in [evil("query"), format!("{{ f(a: {:?}) }}", evil("argument"))] {
        client.subscribe(&evil("refused-id"), &query).await;
        assert_eq!(client.message().await["type"], "error");
    }
    client.subscribed(&evil("operation-id"), "subscription { userUpdated { id } }").await;
    client.subscribe(&evil("operation-id"), "subscription { userUpdated { id } }").await;
    assert!(matches!(client.seen().await, Seen::Closed(Some((4409, _)))));

    // Events: to nobody, to a predicate that fails, and to resolvers that repeat what they are told.
    let mut client = Client::connect(host.address).await;
    for (id, query) in [
        ("speaks", "subscription { speaks { text } }"),
        ("shows", "subscription { shows { text } }"),
        ("order", r#"subscription { bigOrder(min_total: 1, region: "EU") { id } }"#),
        ("user", "subscription { userUpdated { id name } }"),
    ] {
        client.subscribed(id, query).await;
    }
    let events = [
        (subtle("event-channel"), subtle("event-type"), json!({})),
        ("orders".to_owned(), "bigOrder".to_owned(), json!({"region": "EU", evil("key"): 1})),
        ("users".to_owned(), "userUpdated".to_owned(), json!({"id": "1", evil("member"): evil("value")})),
        ("speaks".to_owned(), "said".to_owned(), json!({"text": evil("said")})),
        ("speaks".to_owned(), "said".to_owned(), json!({"text": evil("said").repeat(1_000)})),
        ("speaks".to_owned(), "shown".to_owned(), json!({"text": evil("shown")})),
    ];
    for (number, (channel, kind, data)) in events.into_iter().enumerate() {
        let id = format!("{number}{}", subtle("event-id"));
        let event = json!({"channel": channel, "type": kind, "data": data, "id": id, "source": subtle("source")});
        let headers = [("content-type", "application/json")];
        let answer = request(host.address, "POST", "/events", &headers, event.to_string().as_bytes()).await;
        assert_eq!(answer.0, 202, "{answer:?}");
        let answered = [("said", "speaks"), ("shown", "shows"), ("userUpdated", "user")];
        if let Some((_, operation)) = answered.iter().find(|(answered, _)| *answered == kind) {
            assert!(client.next(operation).await["errors"].is_array());
        }
    }
    let controls = json!({"channel": evil("c"), "type": evil("t"), "data": 1, "id": evil("i")}).to_string();
    let headers = [("content-type", "application/json")];
    assert_eq!(request(host.address, "POST", "/events", &headers, controls.as_bytes()).await.0, 400);
}

/// What must be in the log of an attack, so that the test looks where something is written.
const WRITTEN: [&str; 9] = [
    "alg\\\\n2026",
    "credential refused",
    "operation-id\\\\n2026",
    "event-id",
    "event-channel",
    "event-type",
    "ValueError",
    "said",
    "does not fit the schema",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_from_outside_forges_the_text_log() {
    let host = serve("text").await;
    attack(&host).await;
    eventually("all is written", || WRITTEN.iter().all(|part| host.log().contains(&part.replace("\\\\", "\\")))).await;
    for line in host.log().lines() {
        let begins = line.starts_with("    | ")
            || line.get(..20).is_some_and(|time| time.starts_with("20") && time.ends_with('.'));
        assert!(begins, "a line of nobody: {line:?}");
        assert!(!line.contains(|c| steers(c) && c != '\t'), "{line:?}");
        assert!(line.len() < 20_000, "{} bytes in one line: {line:.200}", line.len());
        assert!(!line.starts_with("2026-01-01T00:00:00.000000Z"), "forged: {line:?}");
    }
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_from_outside_forges_the_json_log() {
    let host = serve("json").await;
    attack(&host).await;
    // The text of a field is JSON in JSON: each backslash twice.
    eventually("all is written", || WRITTEN.iter().all(|part| host.log().contains(part))).await;
    for line in host.log().lines() {
        let parsed: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(parsed["level"].is_string() && parsed["target"].as_str().unwrap().starts_with("subcast"), "{line}");
        let values = parsed.as_object().unwrap().iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        for (name, text) in values {
            // A traceback has lines, and a margin before each.
            let inner = text.replace("\n    | ", "").replace('\t', "");
            assert!(!inner.contains(steers), "{name}: {text:?}");
        }
    }
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_throttled_by_kind_and_counted() {
    const MANY: usize = 300;
    let host = serve("text").await;
    let began = Instant::now();
    let token = unsigned("{\"alg\":\"HS256\"}", "{\"sub\":\"flood\"}");
    for _ in 0..MANY {
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        assert_eq!(request(host.address, "POST", "/graphql", &headers, b"{}").await.0, 401);
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    // Another kind is not silenced by the flood.
    let headers = [("authorization", "nothing"), ("content-type", "application/json")];
    assert_eq!(request(host.address, "POST", "/graphql", &headers, b"{}").await.0, 401);
    eventually("the other kind is written", || host.log().contains("kind=\"malformed\"")).await;
    let lines = host.log().lines().filter(|line| line.contains("kind=\"invalid\"")).count();
    assert!((1..=10 * seconds).contains(&lines), "{lines} lines in {seconds} s");
    assert_eq!(host.metric("subcast_credentials_refused_total").await.to_string(), (MANY + 1).to_string());
    assert_eq!(host.terminate().await, Some(0));
}

/// What may stand in a line of the log without a wrapper: numbers and words of ours, and names that were checked.
const OWN: &[&str] = &[
    "self.id",
    "connection",
    "status",
    "kept.path.display()",
    "left.path().display()",
    "format_args!(\"{live:.12}\")",
    "guard.id()",
    "id",
    "field",
    "field.name",
    "name",
    "report.name",
    "peer",
    "pause",
    "path.display()",
    "format_args!(\"{live:.12}\")",
];

/// The arguments of each call of a macro of `tracing` in the sources.
fn calls() -> Vec<(PathBuf, String)> {
    fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut calls = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for level in ["trace", "debug", "info", "warn", "error"] {
            let opening = format!("tracing::{level}!(");
            for (start, _) in text.match_indices(&opening) {
                let inside = &text[start + opening.len()..];
                let (mut depth, mut quoted, mut escaped) = (1, false, false);
                let end = inside.find(|c| {
                    match c {
                        _ if escaped => escaped = false,
                        '\\' if quoted => escaped = true,
                        '"' => quoted = !quoted,
                        '(' if !quoted => depth += 1,
                        ')' if !quoted => depth -= 1,
                        _ => {}
                    }
                    depth == 0
                });
                calls.push((file.clone(), inside[..end.expect("the call ends")].to_owned()));
            }
        }
    }
    calls
}

#[test]
fn whatever_is_logged_as_it_displays_itself_is_ours_or_wrapped() {
    let calls = calls();
    assert!(calls.len() > 30, "{} calls were found", calls.len());
    for (file, call) in calls {
        if file.ends_with("sandbox/guest_log.rs") {
            // The guests' own lines, which are made printable there.
            continue;
        }
        for (at, sigil) in call.match_indices(['%', '?']) {
            let before = call[..at].trim_end();
            if !(before.is_empty() || before.ends_with([',', '='])) {
                continue;
            }
            let rest = &call[at + 1..];
            let wrapped = rest.starts_with("foreign(") || rest.starts_with("foreign_error(");
            let expression = rest.split([',', '\n']).next().unwrap().trim();
            let reason = expression == "self.reason" && sigil == "?";
            assert!(wrapped || reason || OWN.contains(&expression), "{}: {sigil}{expression}", file.display());
        }
        if let Some((_, arguments)) = call.split_once("{}\"") {
            let arguments = arguments.trim_start_matches(',').trim_start();
            assert!(arguments.starts_with("foreign"), "{}: {arguments}", file.display());
        }
    }
}
