//! Puts the parts together: configuration in, a running engine out. What serves clients (the server, or an embedding)
//! stands on top of it.

pub mod config;
mod error;
mod exposition;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::registry::Registry as MetricsRegistry;

pub use error::StartError;

use crate::auth::Authenticator;
use crate::bus::MemoryBus;
use crate::delivery::Delivery;
use crate::modules::{Generation, Modules};
use crate::registry::Registry;
use crate::sandbox::Sandbox;
use crate::session::Services;
use crate::tasks::Tasks;
use config::Config;

/// For how long connections and requests may take to end on shutdown. Connections are closed within the first seconds.
const GRACE: Duration = Duration::from_secs(8);

/// A running engine: modules loaded, dispatch at work. No port is open yet.
#[derive(Debug)]
pub struct Runtime {
    config: Config,
    services: Arc<Services>,
    delivery: Delivery,
    sandbox: Sandbox,
    /// Connections and requests: stopped first.
    tasks: Tasks,
    /// Dispatch: stopped when nobody is left to be served.
    dispatch: Tasks,
    metrics: Arc<Mutex<MetricsRegistry>>,
}

impl Runtime {
    /// Starts the sandbox, loads every module of the configuration and begins to dispatch.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let sandbox = Sandbox::start(config.sandbox_config())?;
        let mut modules = Vec::new();
        for module in &config.modules {
            let loaded = sandbox.load(&module.name, &module.path, module.limits()).await;
            modules.push(loaded.map_err(|source| StartError::load(module, source))?);
        }
        let modules = Modules::start(modules, config.graphql_limits())?;
        let registry = Registry::new(config.registry_limits());
        let delivery = Delivery::new(registry.clone(), sandbox.clone());
        let services = Arc::new(Services {
            modules,
            registry,
            bus: Arc::new(MemoryBus::new()),
            authenticator: Authenticator::new(&config.auth_config()),
            protocol: Arc::new(config.protocol_config()),
            outbox: config.outbox_limits(),
        });

        let dispatch = Tasks::default();
        let (deliver, stopping) = (delivery.clone(), dispatch.stopping().clone());
        // Ends with the runtime; answers that are still on their way then have nobody to go to.
        dispatch.spawn(async move {
            tokio::select! { () = deliver.run() => {}, () = stopping.cancelled() => {} }
        });

        let metrics = exposition::registry(&services, &delivery, &sandbox);
        Ok(Self {
            config,
            services,
            delivery,
            sandbox,
            tasks: Tasks::default(),
            dispatch,
            metrics: Arc::new(Mutex::new(metrics)),
        })
    }

    /// The configuration that it was started with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What sessions share.
    #[must_use]
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Where events are dispatched.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Where resolvers run.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Owns the tasks of connections and requests.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// What is live now.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        self.services.modules.live()
    }

    /// The metrics of the process: parts that stand on top add theirs.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Mutex<MetricsRegistry>> {
        &self.metrics
    }

    /// All metrics as `OpenMetrics` text.
    #[must_use]
    pub fn exposition(&self) -> String {
        exposition::encode(&self.metrics.lock())
    }

    /// Ends everything in order: connections and requests, then dispatch, then the sandbox. False if something had to be
    /// cut off.
    pub async fn drain(&self) -> bool {
        let connections = self.tasks.finish(GRACE).await;
        let dispatch = self.dispatch.finish(GRACE).await;
        self.sandbox.shutdown().await;
        connections && dispatch
    }
}
