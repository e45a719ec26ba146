//! `subcast config`: check a configuration, print all there is to configure.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::failure::Failure;
use super::{CONFIG_FILE, configuration, output, terminal, text};
use crate::runtime::config::{Overrides, reference};

/// Check a configuration, or print the reference of all keys
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a file together with the environment, as `serve` would
    Check {
        #[arg(value_name = "FILE", default_value = CONFIG_FILE)]
        file: PathBuf,
        /// Print {"ok": true, …} or {"ok": false, "error": "…"}
        #[arg(long)]
        json: bool,
    },
    /// Print a commented file with every key and its default
    Reference,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Check { file, json } => check(file, *json),
        Command::Reference => output::line(reference().trim_end()),
    }
}

fn check(file: &Path, as_json: bool) -> Result<(), Failure> {
    let config = match configuration(Some(file), Overrides::default()) {
        Ok(config) => config,
        Err(error) => {
            if as_json {
                output::json(&json!({ "ok": false, "error": error.to_string() }))?;
            }
            return Err(Failure::failed(error));
        }
    };
    for warning in &config.warnings {
        terminal::note(format_args!("warning: {warning}"));
    }
    // Built later, or elsewhere, perhaps: not a fault of the file.
    let paths = config.modules.iter().filter_map(|module| Some((&module.name, module.path.as_ref()?)));
    for (name, path) in paths.filter(|(_, path)| !path.exists()) {
        terminal::note(format_args!("warning: module `{name}`: {} does not exist yet", path.display()));
    }
    if as_json {
        let modules: Vec<_> =
            config.modules.iter().map(|module| json!({ "name": module.name, "path": module.path })).collect();
        return output::json(&json!({ "ok": true, "listen": config.server.listen, "modules": modules }));
    }
    let modules = text::count(config.modules.len() as u64, "module");
    output::line(format_args!("{}: ok, {modules}, listens on {}", file.display(), config.server.listen))
}
