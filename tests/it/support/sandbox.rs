//! A sandbox alone, without a host around it.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use subcast::event::{Channel, Event};
use subcast::outcome::{Invocation, Job, Outcome};
use subcast::principal::Principal;
use subcast::sandbox::{Config, Limits, Module, Part, Sandbox, together};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{PATIENCE, guests};

/// One module of a sandbox.
pub struct Bench {
    pub sandbox: Sandbox,
    pub module: Arc<Module>,
}

impl Bench {
    /// Starts a sandbox with so many threads, and one guest in it.
    pub async fn start(guest: &str, threads: usize, limits: Limits) -> Self {
        Self::start_in(guest, Config { threads, ..Config::default() }, limits).await
    }

    /// Starts a sandbox with this configuration, apart from its cache and compiler, and one guest in it.
    pub async fn start_in(guest: &str, config: Config, limits: Limits) -> Self {
        let compiler = vec![env!("CARGO_BIN_EXE_subcast").into(), "compile".into()];
        let config = Config { cache_dir: Some(guests::cache()), compiler: Some(compiler), ..config };
        let sandbox = Sandbox::start(config).unwrap();
        let module = sandbox.load(guest, &guests::built(guest).await, limits).await.unwrap();
        Self { sandbox, module }
    }

    /// Another module of the same sandbox.
    pub async fn another(&self, name: &str, path: PathBuf, limits: Limits) -> Self {
        let module = self.sandbox.load(name, &path, limits).await.unwrap();
        Self { sandbox: self.sandbox.clone(), module }
    }

    /// Submits a job with an invocation for each of these tenants.
    pub fn submit(&self, field: &str, data: &Value, tenants: &[Option<&str>]) -> oneshot::Receiver<Vec<Outcome>> {
        let (reply, answered) = oneshot::channel();
        let job = Job {
            field: field.into(),
            event: Arc::new(event(data.clone())),
            invocations: tenants.iter().map(|tenant| invocation(*tenant)).collect(),
        };
        let done = together(tenants.len(), move |outcomes| drop(reply.send(outcomes)));
        self.sandbox.submit(&self.module, job, done);
        answered
    }

    /// Submits a job with an invocation for each of these tenants: its outcomes as they come, with their places.
    pub fn parts(
        &self,
        field: &str,
        data: &Value,
        tenants: &[Option<&str>],
    ) -> mpsc::UnboundedReceiver<Vec<(usize, Outcome)>> {
        let (reply, answered) = mpsc::unbounded_channel();
        let job = Job {
            field: field.into(),
            event: Arc::new(event(data.clone())),
            invocations: tenants.iter().map(|tenant| invocation(*tenant)).collect(),
        };
        self.sandbox.submit(&self.module, job, Arc::new(move |part: Part| drop(reply.send(part.outcomes))));
        answered
    }

    /// Submits one invocation without a tenant, and waits for its outcome.
    pub async fn ask(&self, field: &str, data: Value) -> Outcome {
        answer(self.submit(field, &data, &[None])).await.remove(0)
    }

    /// The value of a metric without its prefix, summed over labels that contain `label`.
    pub fn metric(&self, name: &str, label: &str) -> u64 {
        metric(&self.sandbox, name, label)
    }
}

/// The limits of a test that is not about them. Those on the wall are long: it passes while others compute, too.
pub fn limits() -> Limits {
    Limits { wall: PATIENCE, patience: PATIENCE, ..Limits::default() }
}

/// The value of a sandbox's metric without its prefix, summed over labels that contain `label`.
pub fn metric(sandbox: &Sandbox, name: &str, label: &str) -> u64 {
    let mut registry = prometheus_client::registry::Registry::default();
    sandbox.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let lines = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
    });
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

pub async fn answer(answered: oneshot::Receiver<Vec<Outcome>>) -> Vec<Outcome> {
    timeout(PATIENCE, answered).await.expect("an answer in time").unwrap()
}

/// The value that a resolver returned.
pub fn value(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Value(text) => serde_json::from_str(text).unwrap(),
        other => panic!("no value: {other:?}"),
    }
}

fn invocation(tenant: Option<&str>) -> Invocation {
    let mut claims = Map::new();
    if let Some(tenant) = tenant {
        claims.insert("tenant_id".to_owned(), json!(tenant));
    }
    let principal = Principal::new(Some("someone".into()), claims, tenant.map(Arc::from), None);
    Invocation {
        arguments: "{}".into(),
        principal: Some(Arc::new(principal)),
        tenant: tenant.map(Arc::from),
        payer: None,
    }
}

fn event(value: Value) -> Event {
    Event {
        id: "1".into(),
        channel: Channel::new("c"),
        kind: "t".into(),
        time: "2026-01-01T00:00:00Z".into(),
        source: "test".into(),
        data: value.to_string().into(),
        value,
        charge: subcast::event::EventCharge::default(),
    }
}
