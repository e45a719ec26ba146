//! What subscriptions keep, per connection and per subject: random lives of them against a plain sum.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use subcast::session::{Session, Transmit};

use crate::support::host::Host;

const SECRET: &str = "a secret of at least 32 bytes .....";
const PER_CONNECTION: usize = 64 << 10;
const PER_SUBJECT: usize = 96 << 10;
const CONFIG: &str = r#"
[auth]
jwt = { algorithms = ["HS256"], secret_env = "SUBCAST_TEST_SECRET" }
[limits]
bytes_per_connection = "64KiB"
bytes_per_subject = "96KiB"
"#;

/// The subjects of the sessions.
const SUBJECTS: [&str; 4] = ["a", "a", "a", "b"];

fn session(host: &Host, subject: &str) -> Session {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let claims = json!({"sub": subject, "exp": 4_000_000_000_u64});
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let mut session = Session::new(Arc::clone(host.runtime.services()), Vec::new(), Instant::now());
    let init = json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {token}")}});
    assert_eq!(tell(&mut session, &init), [json!({"type": "connection_ack"})]);
    session
}

/// What the session says to a message.
fn tell(session: &mut Session, message: &Value) -> Vec<Value> {
    session.handle_text(&message.to_string(), Instant::now());
    assert!(!session.is_deciding(), "the messages of this test are answered at once");
    let said = std::iter::from_fn(|| session.poll_transmit());
    let said = said.map(|transmit| match transmit {
        Transmit::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{other:?}"),
    });
    said.collect()
}

fn subscribe(id: u32, kind: usize) -> Value {
    let query = format!("subscription ($ids: [ID!]) {{ listed(ids: $ids) {{ seq }} }} # {}", "x".repeat(kind * 400));
    let ids: Vec<_> = (0..kind * 9).map(|n| format!("{n:036}")).collect();
    let variables = json!({"ids": ids, "undeclared": "x".repeat(10_000)});
    json!({"id": id.to_string(), "type": "subscribe", "payload": {"query": query, "variables": variables}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_subscriptions_keep_is_a_plain_sum_and_nothing_at_the_end() {
    let host = Host::start_with_secret(&["costs"], CONFIG, SECRET).await;
    let registry = &host.runtime.services().registry;
    // What each kind keeps by itself.
    let costs: Vec<usize> = (0..8)
        .map(|kind| {
            let mut alone = session(&host, "alone");
            assert_eq!(tell(&mut alone, &subscribe(1, kind)), Vec::<Value>::new());
            alone.kept_bytes()
        })
        .collect();
    assert!(costs.is_sorted() && costs[0] > 1_000 && costs[7] < PER_CONNECTION / 2, "{costs:?}");
    assert_eq!(registry.kept_bytes_of("alone"), 0);

    let seed: u64 = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let mut sessions: Vec<Session> = SUBJECTS.iter().map(|subject| session(&host, subject)).collect();
    let mut model: HashMap<(usize, u32), usize> = HashMap::new();
    let mut refusals = [0, 0];
    for _ in 0..4_000 {
        let at = random.random_range(0..sessions.len());
        let id = random.random_range(0..30);
        let kept_by = |sessions: &dyn Fn(usize) -> bool, model: &HashMap<(usize, u32), usize>| {
            model.iter().filter(|((at, _), _)| sessions(*at)).map(|(_, bytes)| bytes).sum::<usize>()
        };
        match random.random_range(0..20) {
            0 => {
                sessions[at] = session(&host, SUBJECTS[at]);
                model.retain(|(of, _), _| *of != at);
            }
            1..=8 => {
                assert_eq!(
                    tell(&mut sessions[at], &json!({"id": id.to_string(), "type": "complete"})),
                    Vec::<Value>::new()
                );
                model.remove(&(at, id));
            }
            _ if model.contains_key(&(at, id)) => {}
            _ => {
                let kind = random.random_range(0..costs.len());
                let by_connection = kept_by(&|of| of == at, &model) + costs[kind] > PER_CONNECTION;
                let by_subject = kept_by(&|of| SUBJECTS[of] == SUBJECTS[at], &model) + costs[kind] > PER_SUBJECT;
                let said = tell(&mut sessions[at], &subscribe(id, kind));
                let refused = said.first().map(|error| error["payload"][0]["message"].to_string());
                match (by_connection, by_subject, refused) {
                    (false, false, None) => drop(model.insert((at, id), costs[kind])),
                    (true, _, Some(message)) if message.contains("[limits] bytes_per_connection") => refusals[0] += 1,
                    (false, true, Some(message)) if message.contains("[limits] bytes_per_subject") => refusals[1] += 1,
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
        }
        for (at, session) in sessions.iter().enumerate() {
            assert_eq!(session.kept_bytes(), kept_by(&|of| of == at, &model), "seed {seed}");
        }
        for subject in ["a", "b"] {
            assert_eq!(registry.kept_bytes_of(subject), kept_by(&|of| SUBJECTS[of] == subject, &model), "seed {seed}");
        }
    }
    assert!(refusals.iter().all(|count| *count > 50), "seed {seed}: {refusals:?}");
    drop(sessions);
    assert_eq!((registry.kept_bytes_of("a"), registry.kept_bytes_of("b")), (0, 0));
    assert!(registry.is_empty());
    host.stop().await;
}
