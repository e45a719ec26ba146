//! How much does the engine cost, host to host, without sockets?
//!
//! Plain harness: each scenario runs many times and prints p50 and p99. One line per scenario; `benches/README.md` says
//! what each is compared with. Run with `make bench`, or `cargo bench --bench engine -- resolve`.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a report for people"
)]

mod dispatch;
mod isolation;
mod peer;
mod resolve;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use subcast::componentize::{BuildRequest, build, sources_digest};
use subcast::event::{Channel, Event};
use subcast::modules::Request;
use subcast::principal::Principal;
use subcast::runtime::Runtime;
use subcast::runtime::config::{Config, Overrides};

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let wanted = |name: &str| name.contains(&filter);
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    tokio.block_on(async {
        let engine = Engine::start().await;
        if wanted("resolve") {
            engine.resolve().await;
        }
        if wanted("isolation") {
            engine.isolation().await;
        }
        if wanted("project") {
            engine.project();
        }
        if wanted("dispatch") {
            engine.dispatch().await;
        }
        if wanted("index") {
            engine.index().await;
        }
        engine.runtime.drain().await;
    });
}

struct Engine {
    runtime: Runtime,
}

impl Engine {
    async fn start() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let source = root.join("benches/guest/resolvers.py");
        let digest = sources_digest(&source).expect("the guest's sources can be read");
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_subcast"));
        let guests = binary.parent().and_then(Path::parent).expect("target/release/subcast").join("guests");
        std::fs::create_dir_all(&guests).expect("target/ can be written");
        let output = guests.join(format!("bench-{digest}.wasm"));
        if !output.exists() {
            build(&BuildRequest { source, output: output.clone(), ..BuildRequest::default() }, |_| {})
                .await
                .expect("the guest builds");
        }
        let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a temporary file");
        let text = format!(
            "[[module]]\nname = \"bench\"\npath = \"{}\"\n[limits]\nsubscriptions_per_subject = 100000\n",
            output.display()
        );
        std::fs::write(file.path(), text).expect("a temporary file");
        let mut config =
            Config::load(Some(file.path()), std::iter::empty(), Overrides::default()).expect("the configuration holds");
        config.sandbox.cache_dir = Some(guests.join("cache"));
        config.sandbox.compiler = Some(vec![env!("CARGO_BIN_EXE_subcast").into(), "compile".into()]);
        Self { runtime: Runtime::start(config).await.expect("the engine starts") }
    }

    fn project(&self) {
        let generation = self.runtime.generation();
        let query = "subscription { wide { a b c d e f g h i j } }";
        let Ok(Request::Subscription(plan)) = generation.documents.prepare(query, None, &Map::new()) else {
            panic!("the query holds");
        };
        let value = json!({"a": "1", "b": "some text", "c": "some more text", "d": 1, "e": 123_456, "f": 1.5, "g": true, "h": null, "i": "x", "j": 7}).to_string();
        let times = measure(1_000, |_| {
            let start = Instant::now();
            for _ in 0..100 {
                let mut text = String::with_capacity(256);
                plan.selection.project(&value, &mut text);
                std::hint::black_box(text);
            }
            start.elapsed()
        });
        report("project: an object of 10 fields", &times, 100);
    }
}

fn user_event(n: u64) -> Event {
    let value = json!({"id": n.to_string(), "name": format!("user {n}"), "email": format!("u{n}@example.com"), "ts": "0", "seq": n});
    Event {
        id: n.to_string().into(),
        channel: Channel::new("users"),
        kind: "userUpdated".into(),
        time: "2026-01-01T00:00:00Z".into(),
        source: "bench".into(),
        data: value.to_string().into(),
        value,
        charge: subcast::event::EventCharge::default(),
    }
}

fn principal(n: usize) -> Arc<Principal> {
    let claims = Map::from_iter([("sub".to_owned(), Value::from(format!("user-{n}")))]);
    Arc::new(Principal::new(Some(format!("user-{n}").into()), claims, None, None))
}

fn measure(rounds: usize, mut once: impl FnMut(usize) -> Duration) -> Vec<Duration> {
    // The first tenth warms up.
    (0..rounds + rounds / 10).map(&mut once).skip(rounds / 10).collect()
}

fn report(title: &str, times: &[Duration], per: u32) {
    let sorted = micros(times, per);
    let (p50, p99) = (at(&sorted, 0.5), at(&sorted, 0.99));
    println!("{title:<75} p50 {p50:>10.2} µs   p99 {p99:>10.2} µs   ({} rounds)", sorted.len());
}

/// Microseconds, sorted; each time divided by `per`.
fn micros(times: &[Duration], per: u32) -> Vec<f64> {
    let mut sorted: Vec<_> = times.iter().map(|time| time.as_secs_f64() * 1e6 / f64::from(per)).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The value at this share of a sorted row.
fn at(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}
