//! What isolation costs, and the memory of an instance.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use subcast::outcome::{Invocation, Job, Outcome};
use subcast::sandbox::{Isolation, Limits, Module, together};

use crate::{Engine, report, user_event};

const MODULES: usize = 12;

impl Engine {
    pub(crate) async fn isolation(&self) {
        for isolation in [Isolation::Shared, Isolation::PerTenant, Isolation::PerCall] {
            let module = self.with(Limits { isolation, ..Limits::default() }, "isolated").await;
            for (pace, name) in [(Duration::ZERO, "back to back"), (Duration::from_millis(5), "one each 5 ms")] {
                let rounds = if pace.is_zero() { 400 } else { 200 };
                let mut times: Vec<_> = (0..rounds + 20)
                    .map(|n| {
                        std::thread::sleep(pace);
                        self.ask(&module, n)
                    })
                    .collect();
                report(&format!("isolation: {isolation:?}, {name}"), &times.split_off(20), 1);
            }
        }
        self.memory().await;
    }

    /// Resident memory of warm instances, each of which has answered some calls.
    async fn memory(&self) {
        let limits = Limits { instances: 1, ..Limits::default() };
        let mut modules = vec![self.with(limits, "m").await];
        self.ask(&modules[0], 0);
        let before = anonymous();
        for n in 0..MODULES {
            modules.push(self.with(limits, &format!("m{n}")).await);
            for call in 0..100 {
                self.ask(&modules[n + 1], call);
            }
        }
        let each = (anonymous() - before) / MODULES;
        println!("memory of a warm instance after 100 calls: {each} kB resident ({MODULES} of them)");
    }

    async fn with(&self, limits: Limits, name: &str) -> Arc<Module> {
        let path = self.runtime.config().modules[0].path.clone().expect("it has a file");
        self.runtime.sandbox().load(name, &path, limits).await.expect("the bench guest loads")
    }

    fn ask(&self, module: &Arc<Module>, n: u64) -> Duration {
        let invocation = Invocation { arguments: "{}".into(), principal: None, tenant: Some("a".into()), payer: None };
        let job = Job { field: "userUpdated".into(), event: Arc::new(user_event(n)), invocations: vec![invocation] };
        let (done, answer) = mpsc::sync_channel(1);
        let start = Instant::now();
        self.runtime.sandbox().submit(module, job, together(1, move |outcomes| drop(done.send(outcomes))));
        let outcomes = answer.recv().expect("an answer");
        let took = start.elapsed();
        assert!(matches!(outcomes[0], Outcome::Value(_)), "{outcomes:?}");
        took
    }
}

/// Kilobytes of this process that no file backs: snapshots of guests are shared until they are written to.
fn anonymous() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says so");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
