//! Loads components that may be anything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use subcast::event::{Channel, Event};
use subcast::outcome::{Invocation, Job, Outcome};
use subcast::sandbox::{Config, Limits, LoadError, Module, Sandbox, together};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::sandbox::limits;
use super::{PATIENCE, eventually};

/// A sandbox with a cache of its own: what is loaded here would drive the other tests' modules out.
pub struct Loader {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
    limits: Limits,
}

impl Loader {
    pub fn new() -> Self {
        Self::with_instances(8)
    }

    /// With so many places for instances in its engine.
    pub fn with_instances(instances: usize) -> Self {
        Self::start(instances, vec![env!("CARGO_BIN_EXE_subcast").into(), "compile".into()])
    }

    /// With a script of the shell in place of the compiler.
    pub fn compiling_by(script: &str) -> Self {
        Self::start(8, ["sh", "-c", script].map(Into::into).to_vec())
    }

    fn start(instances: usize, compiler: Vec<OsString>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            threads: 2,
            instances,
            cache_dir: Some(folder.path().join("cache")),
            compiler: Some(compiler),
            ..Config::default()
        };
        let limits = Limits { instances: 1, ..limits() };
        Self { sandbox: Sandbox::start(config).unwrap(), folder, limits }
    }

    pub async fn load(&self, bytes: &[u8]) -> Result<Arc<Module>, LoadError> {
        self.load_with(bytes, self.limits).await
    }

    pub async fn load_with(&self, bytes: &[u8], limits: Limits) -> Result<Arc<Module>, LoadError> {
        let path = self.folder.path().join("module.wasm");
        std::fs::write(&path, bytes).unwrap();
        timeout(PATIENCE, self.sandbox.load("handmade", &path, limits)).await.expect("loading ends")
    }

    pub async fn load_file(&self, path: &Path) -> Result<Arc<Module>, LoadError> {
        timeout(PATIENCE, self.sandbox.load("handmade", path, self.limits)).await.expect("loading ends")
    }

    /// Where it keeps compiled modules.
    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub async fn ask(&self, module: &Module) -> Outcome {
        let event = Event {
            id: "1".into(),
            channel: Channel::new("c"),
            kind: "e".into(),
            time: "2026-01-01T00:00:00Z".into(),
            source: "test".into(),
            data: "{}".into(),
            value: json!({}),
            charge: subcast::event::EventCharge::default(),
        };
        let invocation = Invocation { arguments: Arc::from("{}"), principal: None, tenant: None, payer: None };
        let job = Job { field: Arc::from("f"), event: Arc::new(event), invocations: vec![invocation] };
        let (answer, answered) = oneshot::channel();
        self.sandbox.submit(module, job, together(1, move |outcomes| answer.send(outcomes).unwrap()));
        timeout(PATIENCE, answered).await.expect("an answer in time").unwrap().remove(0)
    }

    /// Nothing is left of what was loaded: no instance, no file of a compiler.
    pub async fn is_clean(&self) {
        eventually("instances end", || self.sandbox.metrics().instances.get() == 0).await;
        let left = std::fs::read_dir(self.cache()).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
    }
}

/// Children of this process, in whatever state.
pub fn children() -> usize {
    let own = std::process::id().to_string();
    let stat = |path: PathBuf| std::fs::read_to_string(path.join("stat")).unwrap_or_default();
    let parents = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        // `pid (name) state ppid …`, and the name may hold anything.
        stat(entry.path()).rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1).map(str::to_owned))
    });
    parents.filter(|parent| *parent == own).count()
}

pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
