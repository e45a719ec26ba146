//! The log, on standard error.

use std::io;

use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::terminal;
use crate::runtime::config::{LogFormat, Telemetry};

/// From here on what the host has to say is written.
pub(super) fn start(telemetry: &Telemetry) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&telemetry.log).map_err(Failure::failed)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match telemetry.log_format {
        LogFormat::Text => log.with_ansi(terminal::has_colours()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    started.map_err(Failure::failed)
}
