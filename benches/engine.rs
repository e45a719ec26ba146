//! How much does the engine cost, host to host, without sockets?
//!
//! Plain harness: each scenario runs many times and prints p50 and p99. One line per scenario; `benches/README.md` says
//! what each is compared with. Run with `make bench`, or `cargo bench --bench engine -- resolve`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use subcast::componentize::{BuildRequest, build, sources_digest};
use subcast::event::{Channel, Event};
use subcast::ids::OperationId;
use subcast::modules::Request;
use subcast::outbox::{Operation, Outbox};
use subcast::outcome::{Invocation, Job, Outcome};
use subcast::principal::Principal;
use subcast::protocol::publish::Published;
use subcast::registry::{Subscriber, SubscriptionGuard};
use subcast::runtime::Runtime;
use subcast::runtime::config::{Config, Overrides};
use subcast::sandbox::{Limits, Module, Sandbox};

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let wanted = |name: &str| name.contains(&filter);
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    tokio.block_on(async {
        let engine = Engine::start().await;
        if wanted("resolve") {
            native();
            engine.resolve_chain().await;
            engine.resolve_one();
            engine.resolve_invocations().await;
            engine.resolve_batch();
            native();
        }
        if wanted("project") {
            engine.project();
        }
        if wanted("dispatch") {
            engine
                .dispatch(
                    "dispatch: 1 event → 100 subscriptions of 1 cohort",
                    "{ userUpdated { id name email } }",
                    100,
                    100,
                    2000,
                    false,
                )
                .await;
            engine.dispatch("dispatch: 1 event → 100 cohorts by argument", "numbered", 100, 100, 500, false).await;
            engine
                .dispatch(
                    "dispatch: 1 event → 100 principals with context",
                    "{ mine { id name email } }",
                    100,
                    100,
                    500,
                    true,
                )
                .await;
            engine
                .dispatch(
                    "dispatch: 1 event → 10,000 principals with context",
                    "{ mine { id name email } }",
                    10_000,
                    10_000,
                    10,
                    true,
                )
                .await;
        }
        if wanted("index") {
            for subscriptions in [1_000, 50_000] {
                engine.indexed(subscriptions).await;
            }
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

    /// One warm call after the other: each answer, on its sandbox thread, asks the next question. The whole way through
    /// queue, conversion, guest and back, without a wake-up of another thread: the module may have one instance only.
    async fn resolve_chain(&self) {
        const CALLS: usize = 20_000;
        let limits = Limits { instances: 1, ..Limits::default() };
        let path = &self.runtime.config().modules[0].path;
        let module = self.sandbox().load("chain", path, limits).await.expect("the bench guest loads");
        let (report_to, reported) = mpsc::sync_channel(1);
        ask(Chain {
            sandbox: self.sandbox().clone(),
            module,
            jobs: jobs(CALLS as u64),
            times: Vec::with_capacity(CALLS),
            report_to,
        });
        let times: Vec<Duration> =
            tokio::task::spawn_blocking(move || reported.recv().expect("the chain ends")).await.expect("it ends well");
        report("resolve: one event, warm, host to host", &times[CALLS / 10..], 1);
    }

    /// One event with 64 distinct invocations, on one instance: a batch that is one call.
    async fn resolve_invocations(&self) {
        let limits = Limits { instances: 1, ..Limits::default() };
        let path = &self.runtime.config().modules[0].path;
        let module = self.sandbox().load("invocations", path, limits).await.expect("the bench guest loads");
        let (answer, answers) = mpsc::sync_channel(1);
        let times = measure(1_000, |_| {
            let answer = answer.clone();
            let mut job = jobs(1).remove(0);
            job.invocations = vec![job.invocations[0].clone(); 64];
            let start = Instant::now();
            let done = move |outcomes: Vec<Outcome>| answer.send(outcomes.len()).expect("somebody waits");
            self.sandbox().submit(&module, job, Box::new(done));
            assert_eq!(answers.recv().expect("an answer"), 64);
            start.elapsed()
        });
        report("resolve: one event, 64 invocations, one instance, per invocation", &times, 64);
    }

    /// One warm call: submitted from another thread, answered to it.
    fn resolve_one(&self) {
        let generation = self.runtime.generation();
        let (_, module) = generation.field("userUpdated").expect("the bench guest has it");
        let (answer, answers) = mpsc::sync_channel(1);
        let times = measure(5_000, |_| {
            let answer = answer.clone();
            let job = jobs(1).remove(0);
            let start = Instant::now();
            self.sandbox().submit(
                module,
                job,
                Box::new(move |outcomes| answer.send(outcomes).expect("somebody waits")),
            );
            let outcomes = answers.recv().expect("an answer");
            let elapsed = start.elapsed();
            assert!(matches!(outcomes[..], [Outcome::Value(_)]), "{outcomes:?}");
            elapsed
        });
        report("resolve: one event, warm, to the sandbox thread and back", &times, 1);
    }

    /// 64 events that wait at once.
    fn resolve_batch(&self) {
        let generation = self.runtime.generation();
        let (_, module) = generation.field("userUpdated").expect("the bench guest has it");
        let (answer, answers) = mpsc::sync_channel(64);
        let times = measure(500, |_| {
            let jobs = jobs(64);
            let start = Instant::now();
            for job in jobs {
                let answer = answer.clone();
                self.sandbox().submit(
                    module,
                    job,
                    Box::new(move |outcomes| answer.send(outcomes).expect("somebody waits")),
                );
            }
            for _ in 0..64 {
                answers.recv().expect("an answer");
            }
            start.elapsed()
        });
        report("resolve: 64 events at once, per event", &times, 64);
    }

    fn sandbox(&self) -> &Sandbox {
        self.runtime.sandbox()
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

    /// From publish until the last outbox has it.
    async fn dispatch(
        &self,
        title: &str,
        query: &str,
        subscribers: usize,
        deliveries: u64,
        rounds: usize,
        distinct: bool,
    ) {
        let subscriptions: Vec<_> = (0..subscribers)
            .map(|n| {
                let query = if query == "numbered" {
                    format!("{{ numbered(n: {n}) {{ id name email }} }}")
                } else {
                    query.to_owned()
                };
                let principal = if distinct { principal(n) } else { Arc::new(Principal::anonymous()) };
                self.subscribe(&format!("subscription {query}"), principal)
            })
            .collect();
        let counter = &self.runtime.delivery().metrics().deliveries;
        let mut times = Vec::new();
        for n in 0..rounds {
            let before = counter.get();
            let start = Instant::now();
            self.publish(n as u64);
            while counter.get() < before + deliveries {
                tokio::task::yield_now().await;
            }
            times.push(start.elapsed());
            for (_, outbox) in &subscriptions {
                outbox.take(usize::MAX, &mut Vec::new());
            }
        }
        report(title, &times, 1);
    }

    /// Each event matches one of many.
    async fn indexed(&self, subscribers: usize) {
        let subscriptions: Vec<_> = (0..subscribers)
            .map(|n| {
                self.subscribe(
                    &format!("subscription {{ userUpdated(id: \"{n}\") {{ id name email }} }}"),
                    Arc::new(Principal::anonymous()),
                )
            })
            .collect();
        let counter = &self.runtime.delivery().metrics().deliveries;
        let (rounds, batch) = (40, 500);
        let mut times = Vec::new();
        for round in 0..rounds {
            let before = counter.get();
            let start = Instant::now();
            for n in 0..batch {
                self.publish((round * batch + n) % 1_000);
            }
            while counter.get() < before + batch {
                tokio::task::yield_now().await;
            }
            times.push(start.elapsed());
            for (_, outbox) in &subscriptions {
                outbox.take(usize::MAX, &mut Vec::new());
            }
        }
        let title = format!("index: {subscribers} subscriptions with an id of their own, per event that matches one");
        report(&title, &times, 500);

        // What matching alone costs, without the resolver.
        let registry = &self.runtime.services().registry;
        let events: Vec<_> = (0..1_000).map(user_event).collect();
        let times = measure(50, |_| {
            let start = Instant::now();
            for event in &events {
                assert_eq!(registry.matching(event).len(), 1);
            }
            start.elapsed()
        });
        report(&format!("index: {subscribers} subscriptions, look-up alone"), &times, 1_000);
    }

    fn subscribe(&self, query: &str, principal: Arc<Principal>) -> (SubscriptionGuard, Arc<Outbox>) {
        let services = self.runtime.services();
        let generation = services.modules.live();
        let plan = match generation.documents.prepare(query, None, &Map::new()) {
            Ok(Request::Subscription(plan)) => plan,
            other => panic!("{query}: {other:?}"),
        };
        let (field, module) = generation.field(&plan.field).expect("the bench guest has it");
        let outbox = Arc::new(Outbox::new(services.outbox));
        let operation = Arc::new(Operation::new(OperationId::new("1")));
        let subscriber = Subscriber { principal, operation, outbox: Arc::clone(&outbox) };
        let guard =
            services.registry.subscribe(field, module, plan, subscriber, || services.bus.position()).expect("room");
        (guard, outbox)
    }

    fn publish(&self, n: u64) {
        let event = Published { event: user_event(n), identified: false };
        self.runtime
            .services()
            .bus
            .publish(vec![event], Instant::now(), |sequenced| self.runtime.delivery().deliver(&sequenced));
    }
}

struct Chain {
    sandbox: Sandbox,
    module: Arc<Module>,
    jobs: Vec<Job>,
    times: Vec<Duration>,
    report_to: mpsc::SyncSender<Vec<Duration>>,
}

fn ask(mut chain: Chain) {
    let Some(job) = chain.jobs.pop() else {
        chain.report_to.send(chain.times).expect("somebody waits");
        return;
    };
    let (sandbox, module) = (chain.sandbox.clone(), Arc::clone(&chain.module));
    let start = Instant::now();
    let done = move |outcomes: Vec<Outcome>| {
        chain.times.push(start.elapsed());
        assert!(matches!(outcomes[..], [Outcome::Value(_)]), "{outcomes:?}");
        ask(chain);
    };
    sandbox.submit(&module, job, Box::new(done));
}

fn jobs(events: u64) -> Vec<Job> {
    let invocation = Invocation { arguments: Arc::from("{}"), principal: None };
    let job = |n| Job {
        field: Arc::from("userUpdated"),
        event: Arc::new(user_event(n)),
        invocations: vec![invocation.clone()],
    };
    (0..events).map(job).collect()
}

/// The same function in native `CPython`, before and after ours, since the machine is not always equally fast.
#[expect(clippy::print_stdout, reason = "a report for people")]
fn native() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("SUBCAST_TEST_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    let output = std::process::Command::new(python).arg(root.join("benches/native.py")).output().expect("Python runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().map(|word| word.parse::<f64>().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    println!("{:<75} p50 {:>10.2} µs   p99 {:>10.2} µs", "native: the same function in CPython", next(), next());
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

#[expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a report for people"
)]
fn report(title: &str, times: &[Duration], per: u32) {
    let mut sorted: Vec<_> = times.iter().map(|time| time.as_secs_f64() * 1e6 / f64::from(per)).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    println!("{title:<75} p50 {:>10.2} µs   p99 {:>10.2} µs   ({} rounds)", at(0.5), at(0.99), sorted.len());
}
