//! Puts the parts together: configuration in, a running engine out. What serves clients (the server, or an embedding)
//! stands on top of it.

pub mod config;
mod connections;
mod error;
mod exposition;
mod publish;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::registry::Registry as MetricsRegistry;

pub use connections::{Connections, Seat, Taken};
pub use error::StartError;
pub use publish::{Publishing, Unfinished, stamp};

use crate::aside::Aside;
use crate::auth::{Ask, Authenticator};
use crate::budget::Budget;
use crate::bus::MemoryBus;
use crate::delivery::Delivery;
use crate::deploy::{self, Deployer};
use crate::modules::Generation;
use crate::registry::Registry;
use crate::sandbox::Sandbox;
use crate::session::Services;
use crate::supervision::Alarm;
use crate::tasks::Tasks;
use config::Config;

/// For how long connections and requests may take to end on shutdown. Connections are closed within the first seconds.
const GRACE: Duration = Duration::from_secs(8);

/// Bytes of answers to introspection that clients have not read yet, over all connections.
const ANSWERS: usize = 64 << 20;

/// Bytes of bodies of `POST /graphql` that arrive at the same time, over all servers of the runtime.
const QUERY_BODIES: usize = 64 << 20;

/// A running engine: modules loaded, dispatch at work. No port is open yet.
#[derive(Debug)]
pub struct Runtime {
    config: Config,
    services: Arc<Services>,
    delivery: Delivery,
    sandbox: Sandbox,
    deployer: Arc<Deployer>,
    connections: Connections,
    publishing: Publishing,
    query_bodies: Budget,
    /// Connections and requests: stopped first.
    tasks: Tasks,
    /// Dispatch: stopped when nobody is left to be served.
    dispatch: Tasks,
    metrics: Arc<Mutex<MetricsRegistry>>,
}

impl Runtime {
    /// Starts the sandbox, loads every module of the configuration and begins to dispatch.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_asking(config, None).await
    }

    /// The same, but the application decides who may come in.
    pub async fn start_asking(config: Config, ask: Option<Ask>) -> Result<Self, StartError> {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let sandbox = Sandbox::start(config.sandbox_config())?;
        let deploy_config = config.deploy_config();
        let loaded = deploy::load(&sandbox, &deploy_config).await?;
        let registry = Registry::new(config.registry_limits(), Arc::new(loaded.generation));
        let delivery = Delivery::new(registry.clone(), sandbox.clone());
        let (tasks, dispatch) = (Tasks::default(), Tasks::default());
        let deployer = Arc::new(Deployer::new(
            deploy_config,
            loaded.records,
            sandbox.clone(),
            registry.clone(),
            delivery.clone(),
            dispatch.clone(),
            tasks.stopping().clone(),
        ));
        let services = Arc::new(Services {
            registry,
            bus: Arc::new(MemoryBus::new()),
            authenticator: Authenticator::new(&config.auth_config()).asking(ask),
            protocol: Arc::new(config.protocol_config()),
            outbox: config.outbox_limits(),
            bytes_per_connection: config.limits.bytes_per_connection,
            aside: Aside::start("subcast-aside").map_err(StartError::Thread)?,
            answers: Budget::new(ANSWERS),
        });

        let (deliver, stopping, alarm) = (delivery.clone(), dispatch.stopping().clone(), sandbox.alarm().clone());
        // Ends with the runtime; answers that are still on their way then have nobody to go to.
        dispatch.spawn(async move {
            tokio::select! { () = alarm.guard("delivery", deliver.run()) => {}, () = stopping.cancelled() => {} }
        });

        let watched: Vec<_> =
            config.modules.iter().filter(|module| module.watch).map(|module| module.name.clone()).collect();
        if !watched.is_empty() {
            let (deployer, stopping) = (Arc::clone(&deployer), dispatch.stopping().clone());
            // Ends with the runtime; a deployment that is under way then has changed nothing yet, or is complete.
            dispatch.spawn(async move {
                tokio::select! { () = deployer.watch(&watched) => {}, () = stopping.cancelled() => {} }
            });
        }

        let connections = Connections::new(config.limits.connections);
        let mut metrics = exposition::registry(&services, &delivery, &sandbox);
        connections.register(&mut metrics);
        let publishing = Publishing {
            memory: Budget::new(config.publish_memory),
            aside: Aside::start("subcast-publish").map_err(StartError::Thread)?,
        };
        publishing.memory.register("publish_memory", "requests to publish, and events on their way", &mut metrics);
        let query_bodies = Budget::new(QUERY_BODIES);
        query_bodies.register("graphql_bodies", "bodies of POST /graphql", &mut metrics);
        Ok(Self {
            config,
            services,
            delivery,
            sandbox,
            deployer,
            connections,
            publishing,
            query_bodies,
            tasks,
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

    /// Raised when something has ended that the host cannot go on without. Whoever runs the host ends it then.
    #[must_use]
    pub fn alarm(&self) -> &Alarm {
        self.sandbox.alarm()
    }

    /// Puts new versions of modules into service.
    #[must_use]
    pub fn deployer(&self) -> &Arc<Deployer> {
        &self.deployer
    }

    /// Seats for connections.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// What requests to publish are read with.
    #[must_use]
    pub fn publishing(&self) -> &Publishing {
        &self.publishing
    }

    /// Memory of the bodies of `POST /graphql`.
    #[must_use]
    pub fn query_bodies(&self) -> &Budget {
        &self.query_bodies
    }

    /// Owns the tasks of connections and requests.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// What is live now.
    #[must_use]
    pub fn generation(&self) -> Arc<Generation> {
        self.services.registry.generation()
    }

    /// The metrics of the process: parts that stand on top add theirs.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Mutex<MetricsRegistry>> {
        &self.metrics
    }

    /// All metrics as `OpenMetrics` text.
    #[must_use]
    pub fn exposition(&self) -> String {
        // Its gauges are set when it is asked for them.
        let _ = self.sandbox.metrics();
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
