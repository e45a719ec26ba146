//! What a resolver call costs beside the same function in native `CPython`.
//!
//! In paired rounds: a slice of native calls, then a slice of each scenario, and so on. The machine changes its speed
//! from one second to the next, so what counts is the median of the rounds' ratios.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use subcast::outcome::{Invocation, Job, Outcome};
use subcast::sandbox::{Limits, Module, Sandbox, together};

use crate::peer::Native;
use crate::{Engine, at, micros, user_event};

const ROUNDS: usize = 41;
const NATIVE_CALLS: usize = 2_000;

impl Engine {
    pub(crate) async fn resolve(&self) {
        let bench = Bench { sandbox: self.runtime.sandbox().clone(), one: self.single("one").await, pool: self.pool() };
        // In a thread of its own: it waits for answers.
        tokio::task::spawn_blocking(move || bench.run()).await.expect("it ends well");
    }

    /// The module with one instance only: every call is on the same thread.
    async fn single(&self, name: &str) -> Arc<Module> {
        let limits = Limits { instances: 1, ..Limits::default() };
        let path = &self.runtime.config().modules[0].path;
        self.runtime
            .sandbox()
            .load(name, path.as_ref().expect("it has a file"), limits)
            .await
            .expect("the bench guest loads")
    }

    fn pool(&self) -> Arc<Module> {
        let generation = self.runtime.generation();
        Arc::clone(&generation.field("userUpdated").expect("the bench guest has it").1)
    }
}

struct Bench {
    sandbox: Sandbox,
    one: Arc<Module>,
    pool: Arc<Module>,
}

struct Scenario {
    title: &'static str,
    slice: fn(&Bench) -> Vec<Duration>,
    /// Invocations in each of the times.
    per: u32,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario { title: "resolve: one event, warm, host to host", slice: Bench::chain, per: 1 },
    Scenario { title: "resolve: one event, to the sandbox thread and back", slice: Bench::there_and_back, per: 1 },
    Scenario { title: "resolve: one event, 64 invocations, each", slice: Bench::invocations, per: 64 },
    Scenario { title: "resolve: 64 events at once, each", slice: Bench::batch, per: 64 },
];

impl Bench {
    fn run(&self) {
        let mut native = Native::start();
        let mut peer = Vec::new();
        let mut rows: [Vec<(f64, f64, f64)>; SCENARIOS.len()] = Default::default();
        for round in 0..=ROUNDS {
            let mut sizes = Vec::new();
            let before = native.slice(NATIVE_CALLS);
            for scenario in &SCENARIOS {
                let times = micros(&(scenario.slice)(self), scenario.per);
                sizes.push((at(&times, 0.5), at(&times, 0.99), native.slice(NATIVE_CALLS)));
            }
            if round == 0 {
                continue; // It warms up.
            }
            peer.push(before);
            let mut last = before;
            for (row, (p50, p99, after)) in rows.iter_mut().zip(sizes) {
                row.push((p50, p99, p50 / f64::midpoint(last.0, after.0)));
                last = after;
            }
        }
        let native = peer.iter().map(|slice| slice.0).collect();
        let tail = peer.iter().map(|slice| slice.1).collect();
        println!(
            "{:<55} p50 {:>6.1} µs   p99 {:>6.1} µs",
            "native: the function in CPython",
            median(native),
            median(tail)
        );
        for (scenario, row) in SCENARIOS.iter().zip(rows) {
            let of = |part: fn(&(f64, f64, f64)) -> f64| median(row.iter().map(part).collect());
            let mut ratios: Vec<_> = row.iter().map(|slice| slice.2).collect();
            ratios.sort_by(f64::total_cmp);
            println!(
                "{:<55} p50 {:>6.1} µs   p99 {:>6.1} µs   {:.2} × native ({:.2} – {:.2} in the middle half of {ROUNDS} rounds)",
                scenario.title,
                of(|slice| slice.0),
                of(|slice| slice.1),
                median(ratios.clone()),
                at(&ratios, 0.25),
                at(&ratios, 0.75),
            );
        }
    }

    /// One warm call after the other: each answer, on its sandbox thread, asks the next question. The whole way through
    /// queue, conversion, guest and back, without a wake-up of another thread.
    fn chain(&self) -> Vec<Duration> {
        const CALLS: usize = 500;
        let (report_to, reported) = mpsc::sync_channel(1);
        ask(Chain {
            sandbox: self.sandbox.clone(),
            module: Arc::clone(&self.one),
            jobs: jobs(CALLS as u64),
            times: Vec::with_capacity(CALLS),
            report_to,
        });
        reported.recv().expect("the chain ends")
    }

    /// One call at a time: submitted from another thread, answered to it.
    fn there_and_back(&self) -> Vec<Duration> {
        repeat(200, || {
            let outcomes = self.wait_for(&self.pool, jobs(1));
            assert!(matches!(outcomes[..], [Outcome::Value(_)]), "{outcomes:?}");
        })
    }

    /// One event with 64 distinct invocations, on one instance: a batch that is one call.
    fn invocations(&self) -> Vec<Duration> {
        repeat(20, || {
            let mut jobs = jobs(1);
            jobs[0].invocations = vec![jobs[0].invocations[0].clone(); 64];
            assert_eq!(self.wait_for(&self.one, jobs).len(), 64);
        })
    }

    /// 64 events that wait at once.
    fn batch(&self) -> Vec<Duration> {
        repeat(20, || assert_eq!(self.wait_for(&self.pool, jobs(64)).len(), 64))
    }

    /// The outcomes of all jobs, as they come.
    fn wait_for(&self, module: &Arc<Module>, jobs: Vec<Job>) -> Vec<Outcome> {
        let count = jobs.len();
        let (answer, answers) = mpsc::sync_channel(count);
        for job in jobs {
            let answer = answer.clone();
            let done = together(job.invocations.len(), move |outcomes| answer.send(outcomes).expect("somebody waits"));
            self.sandbox.submit(module, job, done);
        }
        (0..count).flat_map(|_| answers.recv().expect("an answer")).collect()
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
    sandbox.submit(&module, job, together(1, done));
}

fn jobs(events: u64) -> Vec<Job> {
    let invocation = Invocation { arguments: Arc::from("{}"), principal: None, tenant: None, payer: None };
    let job = |n| Job {
        field: Arc::from("userUpdated"),
        event: Arc::new(user_event(n)),
        invocations: vec![invocation.clone()],
    };
    (0..events).map(job).collect()
}

fn repeat(rounds: usize, mut once: impl FnMut()) -> Vec<Duration> {
    let timed = |_| {
        let start = Instant::now();
        once();
        start.elapsed()
    };
    (0..rounds).map(timed).collect()
}

fn median(mut row: Vec<f64>) -> f64 {
    row.sort_by(f64::total_cmp);
    at(&row, 0.5)
}
