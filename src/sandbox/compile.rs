//! Compiling a module: in a process of its own, with low priority and limited memory and time.
//!
//! The host stays slim (a compilation leaves 300 MB of heap behind) and its latency calm, and a module that is made to
//! keep the compiler busy for ever cannot.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, set_parent_process_death_signal, setrlimit};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::functions::Functions;
use super::{bulk, engine};
use crate::pace;
use crate::text::quoted;

/// Address space of the compiler. A Python component takes 350 MB; the rest is for large ones.
const ADDRESS_SPACE: u64 = 2 << 30;
/// CPU time of the compiler, over all of its threads. A Python component takes 12 s on a quiet machine.
const CPU_SECONDS: u64 = 180;
/// Wall time of the compiler.
const PATIENCE: Duration = Duration::from_mins(5);
/// Added to its own niceness, so that the host's threads come first.
const NICENESS: i32 = 10;
/// Bytes of its complaint that are told; it quotes names of the component.
const QUOTED: usize = 2_000;
/// Bytes of its complaints that are read.
const COMPLAINT: u64 = 16 << 10;

/// Why a module was not compiled.
#[derive(Debug, Error)]
pub enum CompileError {
    /// The compiler's command cannot be run.
    #[error("failed to run the compiler {}: {source}", command.display())]
    Run {
        /// The command.
        command: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The code does not hold.
    #[error("it is not valid: {0}")]
    Invalid(String),
    /// The limits of the compiler.
    #[error("compiling it takes more than the compiler's limits of 2 GiB of memory and {CPU_SECONDS} s of CPU time")]
    TooMuch,
    /// Files.
    #[error("failed to read or write a file: {0}")]
    File(#[from] std::io::Error),
}

/// The files of one compilation.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The component.
    pub input: &'a Path,
    /// Where the native code goes.
    pub output: &'a Path,
    /// Where functions go that the next compilation may use.
    pub learnt: &'a Path,
    /// Functions that were compiled before.
    pub known: Option<&'a Path>,
}

/// The command that compiles, where this process is not `subcast` itself.
static COMMAND: OnceLock<Vec<OsString>> = OnceLock::new();

/// Names the command that compiles, for processes whose own executable cannot. The first one counts.
pub fn compile_with(command: Vec<OsString>) {
    let _ = COMMAND.set(command);
}

/// Compiles in a child process.
pub(super) async fn compile(compiler: Option<&[OsString]>, files: Files<'_>) -> Result<(), CompileError> {
    let default;
    let words = if let Some(words) = compiler.or_else(|| COMMAND.get().map(Vec::as_slice)) {
        words
    } else {
        default = [std::env::current_exe()?.into_os_string(), "compile".into()];
        &default
    };
    let (program, arguments) =
        words.split_first().ok_or_else(|| std::io::Error::other("the compiler's command is empty"))?;
    let failed = |source| CompileError::Run { command: PathBuf::from(program), source };
    let mut child = Command::new(program)
        .args(arguments)
        .args([files.input, files.output, files.learnt])
        .args(files.known)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut complaint = Vec::new();
    let stderr = child.stderr.take();
    let ended = tokio::time::timeout(PATIENCE, async {
        if let Some(stderr) = stderr {
            stderr.take(COMPLAINT).read_to_end(&mut complaint).await?;
        }
        child.wait().await
    })
    .await;
    let Ok(status) = ended else { return Err(CompileError::TooMuch) };
    let status = status.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    // Killed, or aborted because memory was refused.
    if status.code().is_none() {
        return Err(CompileError::TooMuch);
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let complaint = complaint.trim().trim_start_matches("error: ");
    if complaint.contains("memory allocation") || complaint.contains("Cannot allocate memory") {
        return Err(CompileError::TooMuch);
    }
    let complaint = complaint.lines().collect::<Vec<_>>().join(" ");
    Err(CompileError::Invalid(quoted(&complaint, QUOTED)))
}

/// What the child process does: limits itself, then compiles. Ends the process' right to much of anything, so it is for
/// a process that does nothing else.
pub fn compile_in_child(files: Files<'_>) -> Result<(), CompileError> {
    limit_myself()?;
    let invalid = |error: wasmtime::Error| CompileError::Invalid(format!("{error:#}"));
    let bytes = pace::read(&File::open(files.input)?, u64::MAX)?;
    let functions = Arc::new(files.known.map(Functions::read).unwrap_or_default());
    let engine = engine::compiler(Arc::clone(&functions)).map_err(invalid)?;
    let bytes = bulk::interruptible(&bytes).map_err(|error| CompileError::Invalid(error.to_string()))?;
    let compiled = engine.precompile_component(&bytes).map_err(invalid)?;
    pace::write(File::create(files.output)?, &compiled)?;
    functions.write(files.learnt)?;
    Ok(())
}

fn limit_myself() -> Result<(), CompileError> {
    let lower = |resource, wanted: u64| {
        let maximum = getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted));
        setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) }).map_err(std::io::Error::from)
    };
    lower(Resource::As, ADDRESS_SPACE)?;
    lower(Resource::Cpu, CPU_SECONDS)?;
    lower(Resource::Core, 0)?;
    nice(NICENESS).map_err(std::io::Error::from)?;
    // Whoever wanted the result is gone: so are we.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)?;
    Ok(())
}
