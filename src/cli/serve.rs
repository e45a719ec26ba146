//! `subcast serve`: the host.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::failure::Failure;
use super::signals::{Hangups, Signals};
use super::{configuration, descriptors, log, module, output};
use crate::deploy::{self, DeployError};
use crate::pace;
use crate::runtime::config::{Config, LogFormat, ModuleFile, Overrides};
use crate::runtime::{Runtime, StartError};
use crate::server::{Port, Server, local_url};

/// Serve modules to subscribers, until SIGINT or SIGTERM
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Components made by `subcast build`; they take the place of the modules in the configuration
    #[arg(value_name = "MODULE")]
    modules: Vec<PathBuf>,
    /// Configuration; without it subcast.toml here, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// off, error, warn, info, debug or trace, or levels per part
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// How the log is written
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<Format>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One object per line
    Json,
}

impl From<Format> for LogFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let overrides = Overrides {
        listen: arguments.listen,
        modules: arguments.modules.into_iter().map(ModuleFile::from).collect(),
        log: arguments.log,
        log_format: arguments.log_format.map(LogFormat::from),
        ..Overrides::default()
    };
    let config = configuration(arguments.config.as_deref(), overrides).map_err(Failure::failed)?;
    // A host with a store may have got its modules by deployment.
    if config.modules.is_empty() && !config.admin.store.as_ref().is_some_and(|store| store.is_dir()) {
        return Err(Failure::usage(
            "no module to serve: name one (`subcast serve m.wasm`), or write [[module]] into subcast.toml",
        ));
    }
    log::start(&config.telemetry)?;
    let tokio = pace::threads().build();
    let tokio = tokio.map_err(|error| Failure::failed(format!("failed to start: {error}")))?;
    let done = tokio.block_on(serve(config));
    // Everything that matters has ended, or was cut off.
    tokio.shutdown_background();
    done
}

/// Ends well when a signal arrives; a second one ends the process at once. Ends as a failure when the host cannot go on.
async fn serve(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    // From the beginning: one that comes while the modules are loaded counts as soon as they are.
    let mut hangups = Hangups::listen()?;
    let (runtime, server) = tokio::select! {
        started = start(config) => started?,
        () = signals.next() => return Ok(()),
    };
    descriptors::raise(runtime.config().limits.connections);
    announce(&runtime, &server)?;
    runtime.tasks().spawn(server.run());
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = runtime.alarm().raised() => break,
            () = hangups.next() => {
                let (deployer, stopping) = (Arc::clone(runtime.deployer()), runtime.tasks().stopping().clone());
                // Ends with the connections; see the watch of files.
                runtime.tasks().spawn(async move {
                    tokio::select! { () = deployer.reload_all() => {}, () = stopping.cancelled() => {} }
                });
            }
        }
    }
    tracing::info!("draining; a second signal ends the process at once");
    tokio::select! {
        drained = runtime.drain() => {
            if !drained {
                tracing::warn!("something took too long to end and was cut off");
            }
            tracing::info!("stopped");
            if runtime.alarm().is_raised() {
                return Err(Failure::failed(format!("the host could not go on: {}", runtime.alarm().reason())));
            }
            Ok(())
        }
        () = signals.next() => std::process::exit(1),
    }
}

async fn start(config: Config) -> Result<(Arc<Runtime>, Server), Failure> {
    let port = Port::take(config.server.listen).map_err(Failure::failed)?;
    let runtime = Runtime::start(config).await.map_err(|error| match &error {
        StartError::Modules(deploy::StartError::Load { path, source: DeployError::Load(error), .. }) => {
            Failure::Failed(module::refusal(path, error))
        }
        other => Failure::failed(other),
    })?;
    let runtime = Arc::new(runtime);
    match Server::listen(port, Arc::clone(&runtime)) {
        Ok(server) => Ok((runtime, server)),
        Err(error) => {
            runtime.drain().await;
            Err(Failure::failed(error))
        }
    }
}

/// How other programs get the credential that was drawn.
fn whereabouts(address: SocketAddr, file: &Path) -> String {
    match local_url(address) {
        Some(url) => format!("subcast token {url}"),
        // Commands show it at loopback addresses only.
        None => format!("it is in {}", file.display()),
    }
}

/// Says on standard output what is served where. Nobody has to read it.
fn announce(runtime: &Runtime, server: &Server) -> Result<(), Failure> {
    let address = server.local_addr().map_err(Failure::failed)?;
    let config = runtime.config();
    let publishers = match (&config.publish.token, config.publish.anonymous) {
        (_, true) => "without a credential: [publish] anonymous = true",
        (Some(_), false) => "with the token of [publish]",
        (None, false) => "with the host's credential",
    };
    let operators = match config.admin.token {
        Some(_) => "with the token of [admin]",
        None => "with the host's credential",
    };
    let mut lines = vec![
        format!("listening on http://{address}"),
        format!("  subscribe  ws://{address}/graphql"),
        format!("  publish    http://{address}/events, {publishers}"),
        format!("  admin      http://{address}/admin/modules, {operators}"),
    ];
    if let Some(file) = server.credential() {
        lines.push(format!(
            "  credential found by the commands of this user; for others: {}",
            whereabouts(address, file)
        ));
    }
    for live in runtime.generation().modules() {
        lines.push(format!("  module     {} {:.12}: {}", live.name(), live.digest(), module::fields(live)));
    }
    match output::line(lines.join("\n")) {
        Err(Failure::Unread) => Ok(()),
        said => said,
    }
}
