//! A running engine, as Python holds it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::json;
use tokio::runtime::Handle;

use super::connection::Connection;
use super::convert::to_json;
use super::errors::Failure;
use super::guard::guard;
use super::hub::{FAILED, Hub, Mailbox};
use super::log;
use super::pending::{Done, Pending};
use super::question::{Question, Questions, ask};
use crate::componentize;
use crate::deploy::Permission;
use crate::pace;
use crate::protocol::publish::{self, Published};
use crate::runtime::config::{Config, ModuleFile, Overrides};
use crate::runtime::{self, Runtime, Unfinished};
use crate::server::{self, Port, Server};
use crate::{cli, sandbox};

/// The threads of one engine.
pub(super) struct Threads(Option<tokio::runtime::Runtime>);

impl Threads {
    fn new() -> std::io::Result<Self> {
        Ok(Self(Some(pace::threads().thread_name("subcast").build()?)))
    }

    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("taken only when it is dropped").handle()
    }

    /// Ends with its own work; see [`Pending`].
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle().spawn(work));
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(tokio) = self.0.take() {
            // Whoever drops it may be one of the threads, or an event loop.
            tokio.shutdown_background();
        }
    }
}

/// See the module.
#[pyclass(frozen, module = "subcast._native")]
pub(super) struct Engine {
    threads: Arc<Threads>,
    runtime: Arc<Runtime>,
    mailbox: Arc<Mailbox>,
    questions: Arc<Questions>,
    stopping: AtomicBool,
}

/// What to start an engine with.
struct Start {
    file: Option<PathBuf>,
    settings: Option<String>,
    modules: Vec<(Option<String>, PathBuf)>,
    asks: bool,
}

/// Starts an engine; modules that are Python are built first. `settings` is a JSON object with the keys of the file.
#[pyfunction]
#[pyo3(signature = (hub, *, file=None, settings=None, modules=Vec::new(), asks=false))]
pub(super) fn start(
    py: Python<'_>,
    hub: &Hub,
    file: Option<PathBuf>,
    settings: Option<String>,
    modules: Vec<(Option<String>, PathBuf)>,
    asks: bool,
) -> PyResult<Pending> {
    guard(|| {
        let threads = Arc::new(Threads::new().map_err(|error| Failure::from(error).into_py(py))?);
        let (owner, mailbox) = (Arc::clone(&threads), Arc::clone(hub.mailbox()));
        let start = Start { file, settings, modules, asks };
        Ok(Pending::spawn(&threads, hub, async move { Ok(Done::Engine(begin(start, owner, mailbox).await?)) }))
    })?
}

async fn begin(start: Start, threads: Arc<Threads>, mailbox: Arc<Mailbox>) -> Result<Engine, Failure> {
    let Start { file, settings, modules, asks } = start;
    let modules = modules.into_iter().map(|(name, path)| match name {
        Some(name) => ModuleFile { name, path },
        None => ModuleFile::from(path),
    });
    let overrides = Overrides { settings, modules: modules.collect(), ..Overrides::default() };
    let mut config = Config::load(file.as_deref(), cli::environment(), overrides)?;
    log::start(&config.telemetry.log);
    for module in &mut config.modules {
        if let Some(path) = &module.path {
            module.path = Some(component(path.clone(), config.sandbox.cache_dir.clone()).await?);
        }
    }
    let questions = Arc::<Questions>::default();
    let ask = asks.then(|| ask(Handle::current(), &mailbox, &questions, &config));
    let runtime = Arc::new(Runtime::start_asking(config, ask).await?);
    let (alarm, failed) = (runtime.alarm().clone(), mailbox.bell_with(FAILED));
    // Ends with the threads, or when it has told the manager, which stops then.
    threads.spawn(async move {
        alarm.raised().await;
        failed.ring();
    });
    Ok(Engine { threads, runtime, mailbox, questions, stopping: AtomicBool::new(false) })
}

/// The component of a module that may be Python.
async fn component(path: PathBuf, cache: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let is_source = path.is_dir() || path.extension().is_some_and(|extension| extension == "py");
    if !is_source {
        return Ok(path);
    }
    let folder = cache.or_else(sandbox::default_cache).ok_or(Failure::NoCache)?.join("built");
    Ok(componentize::build_once(&path, &folder).await?)
}

#[pymethods]
impl Engine {
    /// A connection for a WebSocket that is about to be accepted; `None` if there are too many. `headers` have names in
    /// lower case.
    fn connect(&self, headers: Vec<(String, String)>) -> PyResult<Option<Connection>> {
        guard(|| {
            let services = self.runtime.services();
            let seat = self.runtime.connections().admit()?;
            let max_message = self.runtime.config().server.max_message;
            let headers = headers.into_iter().filter(|(name, _)| services.authenticator.reads(name)).collect();
            Some(Connection::new(&self.mailbox, Arc::clone(services), headers, seat, max_message))
        })
    }

    /// Whether a web page with these headers may connect. `peer` is the address of the client, if it is known.
    #[expect(clippy::needless_pass_by_value, reason = "it comes from Python, and has no other owner")]
    fn allows_origin(&self, headers: Vec<(String, String)>, peer: Option<&str>) -> PyResult<bool> {
        guard(|| {
            let allowed = self.runtime.config().server.allowed_origins.as_deref();
            server::allows_origin(&headers, peer.and_then(|peer| peer.parse().ok()), allowed)
        })
    }

    /// What clients wait to be asked.
    fn questions(&self) -> PyResult<Vec<Question>> {
        guard(|| self.questions.take())
    }

    /// Publishes one event. `None`: done; otherwise it is done when the hub says so.
    fn publish(
        &self,
        py: Python<'_>,
        event_type: &str,
        channel: &str,
        data: &Bound<'_, PyAny>,
        hub: Option<&Hub>,
    ) -> PyResult<Option<Pending>> {
        guard(|| {
            let data = to_json(data, "data")?;
            let limits = publish::Limits::default();
            py.detach(|| {
                let event = publish::event(channel, event_type, &data, &mut runtime::stamp, &limits)?;
                self.send(vec![event], hub)
            })
            .map_err(|failure: Failure| failure.into_py(py))
        })?
    }

    /// Publishes all of a list of events, or none.
    fn publish_all(&self, py: Python<'_>, events: &Bound<'_, PyAny>, hub: Option<&Hub>) -> PyResult<Option<Pending>> {
        guard(|| {
            let text = to_json(events, "events")?;
            let limits = publish::Limits::default();
            py.detach(|| {
                let none = |_: &str| None;
                let parsed = publish::parse("application/json", &none, text.as_bytes(), &mut runtime::stamp, &limits)?;
                self.send(parsed, hub)
            })
            .map_err(|failure: Failure| failure.into_py(py))
        })?
    }

    /// Puts a new version of a module into service: a component, or Python that is built first.
    #[pyo3(signature = (hub, name, path, *, force=false, allow_widening=false))]
    fn swap(&self, hub: &Hub, name: String, path: PathBuf, force: bool, allow_widening: bool) -> PyResult<Pending> {
        guard(|| {
            let runtime = Arc::clone(&self.runtime);
            let permission = Permission { force, allow_widening };
            Pending::spawn(&self.threads, hub, async move {
                let path = component(path, runtime.config().sandbox.cache_dir.clone()).await?;
                let report = runtime.deployer().deploy_file(&name, &path, permission).await?;
                Ok(Done::Report(json!(report).to_string()))
            })
        })
    }

    /// Goes back to the version before, or to the one whose digest begins so.
    #[pyo3(signature = (hub, name, version=None, *, force=false, allow_widening=false))]
    fn rollback(
        &self,
        hub: &Hub,
        name: String,
        version: Option<String>,
        force: bool,
        allow_widening: bool,
    ) -> PyResult<Pending> {
        guard(|| {
            let runtime = Arc::clone(&self.runtime);
            let permission = Permission { force, allow_widening };
            Pending::spawn(&self.threads, hub, async move {
                let report = runtime.deployer().rollback(&name, version.as_deref(), permission).await?;
                Ok(Done::Report(json!(report).to_string()))
            })
        })
    }

    /// Serves HTTP and WebSocket on an address of its own, until the engine stops.
    fn serve(&self, hub: &Hub, address: &str) -> PyResult<Pending> {
        guard(|| {
            let address: SocketAddr = address.parse().map_err(|_| {
                PyValueError::new_err(format!("{address} is not an address and a port, such as 127.0.0.1:8000"))
            })?;
            let runtime = Arc::clone(&self.runtime);
            Ok(Pending::spawn(&self.threads, hub, async move {
                let server = Server::listen(Port::take(address)?, Arc::clone(&runtime))?;
                let taken = server.local_addr()?;
                runtime.tasks().spawn(server.run());
                Ok(Done::Address(taken))
            }))
        })?
    }

    /// Ends everything in order. What clients have not read by then is lost; they are told to come back.
    fn stop(&self, hub: &Hub) -> PyResult<Pending> {
        guard(|| {
            self.stopping.store(true, Ordering::Release);
            let runtime = Arc::clone(&self.runtime);
            Pending::spawn(&self.threads, hub, async move {
                runtime.drain().await;
                Ok(Done::Nothing)
            })
        })
    }

    /// Never lets go of anything again: after a fork, the threads that would have to end are in another process.
    fn abandon(&self) -> PyResult<()> {
        guard(|| {
            std::mem::forget((Arc::clone(&self.threads), Arc::clone(&self.runtime)));
        })
    }

    /// A few figures, as JSON text.
    fn stats(&self) -> PyResult<String> {
        guard(|| {
            let generation = self.runtime.generation();
            let modules: Vec<_> = generation
                .modules()
                .iter()
                .map(|module| {
                    let fields: Vec<_> = module.manifest().fields.iter().map(|field| field.name.as_str()).collect();
                    json!({"name": module.name(), "digest": module.digest(), "fields": fields})
                })
                .collect();
            let (delivery, services) = (self.runtime.delivery().metrics(), self.runtime.services());
            json!({
                "generation": generation.number,
                "modules": modules,
                "connections": self.runtime.connections().open(),
                "subscriptions": services.registry.count(),
                "published": services.bus.metrics().published.get(),
                "deliveries": delivery.deliveries.get(),
                "dropped": delivery.dropped.get(),
            })
            .to_string()
        })
    }

    /// All metrics as `OpenMetrics` text.
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        guard(|| py.detach(|| self.runtime.exposition()))
    }
}

impl Engine {
    /// Publishes at once if there is room; otherwise leaves it to a thread of ours, or waits if there is no hub.
    fn send(&self, events: Vec<Published>, hub: Option<&Hub>) -> Result<Option<Pending>, Failure> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Failure::Stopping);
        }
        if self.runtime.may_publish(events.len()) {
            let _context = self.threads.handle().enter();
            self.runtime.publish_now(events);
            return Ok(None);
        }
        let runtime = Arc::clone(&self.runtime);
        let Some(hub) = hub else {
            self.threads.handle().block_on(runtime.publish(events)).map_err(|Unfinished| Failure::Stopping)?;
            return Ok(None);
        };
        Ok(Some(Pending::spawn(&self.threads, hub, async move {
            runtime.publish(events).await.map_err(|Unfinished| Failure::Stopping)?;
            Ok(Done::Nothing)
        })))
    }
}
