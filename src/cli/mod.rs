//! The command line, `subcast`: one file per command. Only this folder names clap.
//!
//! Results go to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 wrong use. A reader
//! of our output that goes away (`| head`) ends the command without a word.

mod build;
mod compile;
mod config;
mod deploy;
mod descriptors;
mod failure;
mod inspect;
mod log;
mod module;
mod new;
mod output;
mod publish;
mod serve;
mod sign;
mod signals;
mod subscribe;
mod terminal;
mod text;
mod token;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::runtime::config::{Config, ConfigError, Overrides};
use failure::Failure;

/// Real-time GraphQL subscriptions: Python resolvers in a WebAssembly sandbox.
#[derive(Debug, Parser)]
#[command(name = "subcast", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::Arguments),
    Build(build::Arguments),
    Inspect(inspect::Arguments),
    Serve(serve::Arguments),
    Deploy(deploy::Deploy),
    Rollback(deploy::Rollback),
    Modules(deploy::Modules),
    Sign(sign::Arguments),
    Publish(publish::Arguments),
    Subscribe(subscribe::Arguments),
    Token(token::Arguments),
    Config(config::Arguments),
    #[command(hide = true)]
    Compile(compile::Arguments),
}

/// Does what the command line of this process says.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os()))
}

/// Does what a command line says, the name of the program first; returns the exit status.
#[must_use]
pub fn run(words: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors. If nobody reads them, that is no failure either.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let done = match arguments.command {
        Command::New(arguments) => new::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Deploy(arguments) => deploy::deploy(&arguments),
        Command::Rollback(arguments) => deploy::rollback(&arguments),
        Command::Modules(arguments) => deploy::modules(&arguments),
        Command::Sign(arguments) => sign::run(&arguments),
        Command::Publish(arguments) => publish::run(&arguments),
        Command::Subscribe(arguments) => subscribe::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Compile(arguments) => compile::run(&arguments),
    };
    match done {
        Ok(()) => 0,
        Err(failure) => failure.report(),
    }
}

/// The file that is used when none is named.
const CONFIG_FILE: &str = "subcast.toml";

/// The configuration: of the named file, or of `subcast.toml` here if there is one.
fn configuration(file: Option<&Path>, overrides: Overrides) -> Result<Config, ConfigError> {
    let present = Path::new(CONFIG_FILE).is_file().then(|| Path::new(CONFIG_FILE));
    Config::load(file.or(present), environment(), overrides)
}

/// The variables of this process; what is not UTF-8 is none of ours.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Runs a command that waits for others more than it works.
fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("failed to start: {error}")))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}
