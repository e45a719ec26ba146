//! What an operator decides: one file, the environment above it, flags above both.
//!
//! [`Config::load`] reads, checks and resolves everything, secrets included, so that what starts later cannot fail over
//! it. A key that is not known, or not yet, is an error: nothing that somebody wrote is ignored. What a key means, and
//! what holds without it, stands in one table (`keys.rs`), which [`reference`] prints.

mod ceiling;
mod environment;
mod error;
mod file;
mod keys;
mod layers;
mod module;
mod reference;
mod secret;
mod sections;
mod setting;
mod settings;
#[cfg(test)]
mod tests;
mod variable;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use error::ConfigError;
pub use module::{ModuleConfig, module_name};
pub use reference::reference;
pub use secret::Secret;
pub use sections::{Admin, Auth, BusKind, Jwt, Limits, LogFormat, Publish, Server, Telemetry};

use crate::protocol::transport_ws;
use crate::{auth, deploy, graphql, outbox, registry, sandbox};
use ceiling::Ceiling;
use environment::Environment;
use layers::Layers;
use settings::{Origin, Raw};

/// A module that is named outside of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl From<PathBuf> for ModuleFile {
    /// Called like its file.
    fn from(path: PathBuf) -> Self {
        Self { name: module_name(&path), path }
    }
}

/// What the command line decides, or the application that embeds the host.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// JSON object with the keys of the file; wins over the file, and loses against the environment.
    pub settings: Option<String>,
    /// `[server] listen`
    pub listen: Option<SocketAddr>,
    /// Modules that take the place of those in the file.
    pub modules: Vec<ModuleFile>,
    /// `[telemetry] log`
    pub log: Option<String>,
    /// `[telemetry] log_format`
    pub log_format: Option<LogFormat>,
}

/// A configuration that holds.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[auth]`
    pub auth: Auth,
    /// `[limits]`
    pub limits: Limits,
    /// `[delivery]`: what may wait for one connection.
    pub outbox: outbox::Limits,
    /// `[bus] kind`
    pub bus: BusKind,
    /// `[publish]`
    pub publish: Publish,
    /// `[publish] memory`: bytes of all publish requests and of their events.
    pub publish_memory: usize,
    /// `[admin]`
    pub admin: Admin,
    /// `[sandbox]`
    pub sandbox: sandbox::Config,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[[module]]`, or those of the command line.
    pub modules: Vec<ModuleConfig>,
    /// Limits of modules that nobody configured.
    pub module_presets: sandbox::Limits,
    /// Sentences about what was set and has no effect, for the operator.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the file, if there is one, then the environment, then what the command line decides; the later wins.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: Overrides,
    ) -> Result<Self, ConfigError> {
        let environment = Environment::new(environment);
        let mut layers = Layers::new();
        if let Some(file) = file {
            layers.add_file(file)?;
        }
        if let Some(settings) = &overrides.settings {
            layers.add_settings(settings)?;
        }
        let warnings = layers.add_environment(&environment)?;
        layers.add_overrides(&overrides);
        let ceiling = Ceiling::read(layers.section("sandbox"))?;
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        Ok(Self {
            server: Server::read(layers.section("server"), folder)?,
            auth: Auth::read(layers.section("auth"), &environment)?,
            limits: Limits::read(layers.section("limits"))?,
            outbox: sections::outbox(layers.section("delivery"))?,
            bus: layers.section("bus").read("kind")?,
            publish: Publish::read(layers.section("publish"), &environment)?,
            publish_memory: layers.section("publish").read::<setting::Size>("memory")?.0,
            admin: Admin::read(layers.section("admin"), &environment, file)?,
            sandbox: sections::sandbox(layers.section("sandbox"), folder)?,
            telemetry: Telemetry::read(layers.section("telemetry"))?,
            modules: module::modules(&layers, folder, overrides.modules, &ceiling)?,
            module_presets: module::presets(&layers, &ceiling)?,
            warnings,
        })
    }

    /// `[server] runtime_dir` alone, for commands that look for a host: of the file, if there is one, and of the environment.
    /// Secrets that the configuration names need not be there.
    pub fn runtime_dir(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<PathBuf>, ConfigError> {
        let mut layers = Layers::new();
        if let Some(file) = file {
            layers.add_file(file)?;
        }
        layers.add_environment(&Environment::new(environment))?;
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        layers.section("server").given_path("runtime_dir", folder)
    }

    /// For the sandbox.
    #[must_use]
    pub fn sandbox_config(&self) -> sandbox::Config {
        self.sandbox.clone()
    }

    /// For what clients ask.
    #[must_use]
    pub fn graphql_limits(&self) -> graphql::Limits {
        graphql::Limits {
            bytes: self.limits.document_bytes,
            tokens: self.limits.document_tokens,
            depth: self.limits.depth,
            expanded_fields: self.limits.document_fields,
            arguments: self.limits.arguments,
            introspection: self.limits.introspection,
            ..graphql::Limits::default()
        }
    }

    /// For deployments.
    #[must_use]
    pub fn deploy_config(&self) -> deploy::Config {
        let module = |module: &ModuleConfig| deploy::ModuleConfig {
            name: module.name.clone(),
            path: module.path.clone(),
            limits: module.limits(),
            channels: module.channels.clone(),
        };
        deploy::Config {
            modules: self.modules.iter().map(module).collect(),
            presets: self.module_presets,
            graphql: self.graphql_limits(),
            store: self.admin.store.clone(),
            versions: self.admin.versions,
            trusted_keys: self.admin.trusted_keys.clone(),
        }
    }

    /// For the registry.
    #[must_use]
    pub fn registry_limits(&self) -> registry::Limits {
        registry::Limits {
            per_subject: self.limits.subscriptions_per_subject,
            bytes_per_subject: self.limits.bytes_per_subject,
        }
    }

    /// For authentication.
    #[must_use]
    pub fn auth_config(&self) -> auth::Config {
        let jwt = self.auth.jwt.as_ref().map(|jwt| auth::JwtConfig {
            secret: jwt.secret.reveal().as_bytes().to_vec(),
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
            leeway: jwt.leeway.as_secs(),
            require_exp: jwt.require_exp,
        });
        auth::Config { anonymous: self.auth.anonymous, jwt, tenant_claim: self.auth.tenant_claim.clone() }
    }

    /// For connections.
    #[must_use]
    pub fn protocol_config(&self) -> transport_ws::Config {
        transport_ws::Config {
            init_timeout: self.server.connection_init_timeout,
            ping_interval: self.server.ping_interval,
            pong_timeout: self.server.pong_timeout,
            max_operations: self.limits.subscriptions_per_connection,
            max_inputs: self.limits.arguments,
            ..transport_ws::Config::default()
        }
    }

    /// For the outboxes of connections.
    #[must_use]
    pub fn outbox_limits(&self) -> outbox::Limits {
        self.outbox
    }
}

impl Layers {
    fn add_overrides(&mut self, overrides: &Overrides) {
        let mut set = |section: &str, key, flag, value: Option<String>| {
            if let Some(value) = value {
                self.section(section).set(key, Raw::Text(value), Origin::Flag(flag));
            }
        };
        set("server", "listen", "--listen", overrides.listen.map(|address| address.to_string()));
        set("telemetry", "log", "--log", overrides.log.clone());
        let format = overrides.log_format.map(|format| format.name().to_owned());
        set("telemetry", "log_format", "--log-format", format);
    }
}
