//! Where resolvers run: components in wasmtime, with no authority and bounded resources.
//!
//! [`Sandbox::load`] turns a file into a [`Module`]; [`Sandbox::submit`] hands it a job and never waits. Guests run on
//! threads of their own. Every call has limits of CPU time, wall time, memory and output; a call that breaks one costs
//! its instance, fails for its own event, and does not disturb its neighbours.
//!
//! | file | noun |
//! |---|---|
//! | `engine` | wasmtime, narrowed; the clock that interrupts |
//! | `state` `clock` `guest_log` | one instance's authority, budgets and output |
//! | `instance` `call` `convert` | calling into a guest |
//! | `piece` `queue` | what waits, and who is next |
//! | `pool` `work` `idle` `slot` `thread` `turnstile` `room` | instances, and where they run |
//! | `component` `outline` `cache` `compile` `functions` `refusals` `load` `module` | from a file to a module |
//!
//! Only this folder names wasmtime.

mod bindings;
mod bulk;
mod cache;
mod call;
mod clock;
mod compile;
mod component;
mod config;
mod convert;
mod engine;
mod functions;
mod guest_log;
mod held;
mod idle;
mod instance;
mod load;
mod metrics;
mod module;
mod outline;
mod piece;
mod pool;
mod queue;
mod reclaimer;
mod refusals;
mod room;
mod slot;
mod state;
mod thread;
mod turn_clock;
mod turnstile;
mod work;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

pub use cache::{CacheError, default_folder as default_cache};
pub use compile::{CompileError, Files, compile_in_child, compile_with};
pub use component::{CONTRACT, ComponentError};
pub use config::{COARSE, Config, Isolation, Limits};
pub use held::Held;
pub use load::LoadError;
pub use metrics::Metrics;
pub use module::Module;
pub use piece::{Done, Part, together};

use crate::outcome::Job;
use crate::supervision::Alarm;
use bindings::Resolver;
use cache::Cache;
use engine::Ticker;
use pool::Host;
use reclaimer::Reclaimer;
use refusals::Refusals;
use state::State;
use thread::{Command, Thread};

/// Why the sandbox does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// wasmtime refuses; mostly, address space is limited.
    #[error(
        "the WebAssembly engine does not start ({0}); if address space is limited (ulimit -v), lower [sandbox] instances"
    )]
    Engine(String),
    /// Where compiled modules are kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// No more threads.
    #[error("failed to start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Runs resolvers. A cheap handle.
#[derive(Clone, Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    engine: Engine,
    /// Which compiled modules this engine can load.
    compatibility: String,
    linker: Linker<State>,
    cache: Cache,
    /// Held while compiling, and until it is known whether the result is kept.
    compiling: Arc<tokio::sync::Mutex<()>>,
    /// Places for modules that are asked what they are.
    describing: Arc<Semaphore>,
    refusals: Refusals,
    host: Host,
    stopping: CancellationToken,
    alarm: Alarm,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _ticker: Ticker,
}

impl Sandbox {
    /// Starts the engine and its threads. They end with [`Sandbox::shutdown`], or when the last handle is dropped.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let refused = |error: wasmtime::Error| StartError::Engine(format!("{error:#}"));
        let engine = engine::host(config.instances).map_err(refused)?;
        let cache = Cache::open(config.cache_dir.as_deref(), config.cache_bytes)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(refused)?;
        Resolver::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut State| state).map_err(refused)?;

        let (stopping, alarm) = (CancellationToken::new(), Alarm::default());
        let mut threads = Vec::new();
        let mut handles = Vec::new();
        for number in 0..config.threads.max(1) {
            let (thread, handle) = Thread::start(number, stopping.clone(), alarm.clone())?;
            threads.push(thread);
            handles.push(handle);
        }
        let (reclaimer, handle) = Reclaimer::start(stopping.clone())?;
        handles.push(handle);
        let host = Host {
            reclaimer,
            idle: config.idle,
            threads: threads.into(),
            permits: Arc::new(Semaphore::new(config.instances)),
            room: Arc::default(),
            metrics: Metrics::default(),
        };
        if let Some(thread) = host.threads.first() {
            thread.tell(Command::Sweep(Arc::clone(&host.room)));
        }
        let ticker = Ticker::start(&engine, alarm.clone())?;
        let mut hasher = DefaultHasher::new();
        // What is there was checked, too, so it is not checked again.
        (engine.precompile_compatibility_hash(), bulk::VERSION, CONTRACT, component::RULES).hash(&mut hasher);
        let compatibility = format!("{:016x}", hasher.finish());
        let shared = Shared {
            config,
            engine,
            compatibility,
            linker,
            cache,
            compiling: Arc::default(),
            describing: Arc::new(Semaphore::new(engine::DESCRIBED)),
            refusals: Refusals::default(),
            host,
            stopping,
            alarm,
            threads: Mutex::new(handles),
            _ticker: ticker,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Asks a module's resolvers. Never waits; `done` is told one outcome for each invocation, whatever happens, each as
    /// soon as it is known.
    pub fn submit(&self, module: &Module, job: Job, done: Done) {
        module.submit(job, done);
    }

    /// Resolves once there is room for more jobs of these modules. Fields that do not keep up are not waited for: they shed.
    pub async fn ready(&self, modules: &[Arc<Module>]) {
        let pools: Vec<_> = modules.iter().map(|module| module.pool()).collect();
        self.shared.host.room.ready(&pools).await;
    }

    /// Whether there is room now for jobs of any module.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.host.room.is_everywhere()
    }

    /// Raised when a thread has ended that guests cannot run without.
    #[must_use]
    pub fn alarm(&self) -> &Alarm {
        &self.shared.alarm
    }

    /// The counters. The gauges are as of now.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        let (waiting, instances) = self
            .shared
            .host
            .room
            .pools()
            .iter()
            .map(|pool| pool.census())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let metrics = &self.shared.host.metrics;
        metrics.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        metrics.instances.set(i64::try_from(instances).unwrap_or(i64::MAX));
        metrics
    }

    /// Ends all instances and threads. Jobs that wait are answered with failures.
    pub async fn shutdown(&self) {
        self.shared.host.room.pools().iter().for_each(|pool| pool.close());
        self.shared.stopping.cancel();
        let threads = std::mem::take(&mut *self.shared.threads.lock());
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = joined.await;
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("config", &self.config).finish_non_exhaustive()
    }
}
