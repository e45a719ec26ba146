//! Compiling a module: in a process of its own, with low priority and limited memory and time.
//!
//! The host stays slim (a compilation leaves 300 MB of heap behind) and its latency calm, and a module that is made to
//! keep the compiler busy for ever cannot.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
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
/// Bytes of a compiled form. That of a Python component is 36 MB, one with large native extensions four times that. No file
/// of the compiler is larger.
const MOST_IMAGE: u64 = 256 << 20;
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
    /// The compiler's limit of memory.
    #[error("compiling it takes more than the {} GiB of memory that the compiler has; divide it into smaller modules", ADDRESS_SPACE >> 30)]
    Memory,
    /// The compiler's limit of CPU time.
    #[error(
        "compiling it takes more than the {CPU_SECONDS} s of CPU time that the compiler has; divide it into smaller modules"
    )]
    Cpu,
    /// The compiler's limit of wall time.
    #[error("compiling it took longer than {} minutes and was given up; try again when the machine has less to do", .0.as_secs() / 60)]
    Wall(Duration),
    /// The limit of what comes of it.
    #[error(
        "its compiled form would have more than {MOST_IMAGE} bytes, the most that is kept; divide it into smaller modules"
    )]
    Image,
    /// The compiler's own fault, or that of the command in its place.
    #[error(
        "the compiler failed on it ({0}), which is a fault of Subcast and not of the module; its words are in the host's log"
    )]
    Failed(String),
    /// Somebody else ended the compiler.
    #[error("the compiler was killed, as the kernel does when a machine has no memory left; try again")]
    Killed,
    /// Files.
    #[error("failed to read or write a file: {0}")]
    File(#[from] std::io::Error),
}

impl CompileError {
    /// Whether another try would most likely end in the same way, after taking as long.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Memory | Self::Cpu | Self::Wall(_) | Self::Image | Self::Failed(_) => true,
            Self::Run { .. } | Self::Killed | Self::File(_) => false,
        }
    }

    /// The exit status by which the child tells its parent what became of it.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Invalid(_) => INVALID,
            Self::Memory => MEMORY,
            Self::Image => IMAGE,
            _ => FAILED,
        }
    }
}

// Exit statuses of the child. Others than these are of whatever stands in the compiler's place, or of a panic.
/// Its complaint is about the component, and may be told.
const INVALID: u8 = 20;
const MEMORY: u8 = 21;
const IMAGE: u8 = 22;
/// Its complaint is for the log.
const FAILED: u8 = 23;

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

/// Compiles in a child process, which ends when this is dropped.
pub(super) async fn compile(compiler: Option<&[OsString]>, files: Files<'_>) -> Result<(), CompileError> {
    compile_within(PATIENCE, compiler, files).await
}

async fn compile_within(
    patience: Duration,
    compiler: Option<&[OsString]>,
    files: Files<'_>,
) -> Result<(), CompileError> {
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
    let ended = tokio::time::timeout(patience, async {
        if let Some(stderr) = stderr {
            stderr.take(COMPLAINT).read_to_end(&mut complaint).await?;
        }
        child.wait().await
    })
    .await;
    let Ok(status) = ended else { return Err(CompileError::Wall(patience)) };
    verdict(status.map_err(failed)?, &String::from_utf8_lossy(&complaint))
}

/// What the end of the child means.
fn verdict(status: ExitStatus, complaint: &str) -> Result<(), CompileError> {
    let complaint = complaint.trim().trim_start_matches("error: ");
    let is_short_of_memory = || complaint.contains("memory allocation") || complaint.contains("Cannot allocate memory");
    let signal = status.signal().and_then(Signal::from_named_raw);
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match (code, signal) {
        (Some(0), _) => return Ok(()),
        (_, Some(Signal::XCPU)) => return Err(CompileError::Cpu),
        (_, Some(Signal::XFSZ)) | (Some(IMAGE), _) => return Err(CompileError::Image),
        (_, Some(Signal::KILL | Signal::TERM)) => return Err(CompileError::Killed),
        (Some(MEMORY), _) => return Err(CompileError::Memory),
        _ if is_short_of_memory() => return Err(CompileError::Memory),
        (Some(INVALID), _) => {
            let complaint = complaint.lines().collect::<Vec<_>>().join(" ");
            return Err(CompileError::Invalid(quoted(&complaint, QUOTED)));
        }
        _ => {}
    }
    // Panics and the like: they name files of the machine on which this was built.
    let complaint = quoted(complaint, QUOTED);
    tracing::error!(%status, complaint, "the compiler failed; please report this, with the component");
    Err(CompileError::Failed(status.to_string()))
}

/// What the child process does: limits itself, then compiles. Ends the process' right to much of anything, so it is for
/// a process that does nothing else.
pub fn compile_in_child(files: Files<'_>) -> Result<(), CompileError> {
    limit_myself()?;
    // The panic has been written to standard error, which goes to the log of the parent.
    catch_unwind(AssertUnwindSafe(|| compile_here(files)))
        .unwrap_or_else(|_| Err(CompileError::Failed("it panicked".to_owned())))
}

fn compile_here(files: Files<'_>) -> Result<(), CompileError> {
    let invalid = |error: wasmtime::Error| CompileError::Invalid(format!("{error:#}"));
    let bytes = pace::read(&File::open(files.input)?, u64::MAX)?;
    let functions = Arc::new(files.known.map(Functions::read).unwrap_or_default());
    let engine = engine::compiler(Arc::clone(&functions)).map_err(invalid)?;
    let bytes = bulk::interruptible(&bytes).map_err(|error| CompileError::Invalid(error.to_string()))?;
    let compiled = engine.precompile_component(&bytes).map_err(invalid)?;
    if compiled.len() as u64 > MOST_IMAGE {
        return Err(CompileError::Image);
    }
    pace::write(File::create(files.output)?, &compiled)?;
    functions.write(files.learnt)?;
    Ok(())
}

fn limit_myself() -> Result<(), CompileError> {
    let lower = |resource, wanted: u64, beyond: u64| {
        let lowest = |wanted: u64| getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let limits = Rlimit { current: Some(lowest(wanted)), maximum: Some(lowest(wanted + beyond)) };
        setrlimit(resource, limits).map_err(std::io::Error::from)
    };
    lower(Resource::As, ADDRESS_SPACE, 0)?;
    // The first limit ends the process by a signal that says why, the second one by one that does not.
    lower(Resource::Cpu, CPU_SECONDS, 5)?;
    lower(Resource::Fsize, MOST_IMAGE, 0)?;
    lower(Resource::Core, 0, 0)?;
    nice(NICENESS).map_err(std::io::Error::from)?;
    // Whoever wanted the result is gone: so are we.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told when a script of the shell stands in the compiler's place.
    async fn told(patience: Duration, script: &str) -> CompileError {
        let words = ["sh", "-c", script].map(OsString::from);
        let path = Path::new("/dev/null");
        let files = Files { input: path, output: path, learnt: path, known: None };
        compile_within(patience, Some(&words), files).await.unwrap_err()
    }

    #[tokio::test]
    async fn the_message_tells_which_limit_ended_a_compilation() {
        const LONG: Duration = Duration::from_mins(1);
        for (patience, script, expected) in [
            (LONG, "kill -XCPU $$", "180 s of CPU time"),
            (LONG, "kill -XFSZ $$", "compiled form would have more than 268435456 bytes"),
            (LONG, "kill -KILL $$", "was killed"),
            (LONG, "echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$", "2 GiB of memory"),
            (LONG, "exit 21", "2 GiB of memory"),
            (LONG, "exit 22", "compiled form"),
            (LONG, "echo 'error: func 3 is wrong' >&2; exit 20", "it is not valid: func 3 is wrong"),
            (LONG, "kill -SEGV $$", "the compiler failed on it (signal: 11"),
            (Duration::from_millis(100), "sleep 1000", "took longer than"),
        ] {
            let message = told(patience, script).await.to_string();
            assert!(message.contains(expected), "{script}: {message}");
        }
        let patient = CompileError::Wall(PATIENCE).to_string();
        assert!(patient.contains("5 minutes") && !patient.contains("CPU"), "{patient}");
    }

    #[tokio::test]
    async fn the_words_of_a_compiler_that_fails_are_not_told() {
        for script in ["exit 1", "exit 101", "kill -ABRT $$", "kill -BUS $$"] {
            let message = told(PATIENCE, &format!("echo 'panicked at /home/me/x.rs' >&2; {script}")).await.to_string();
            assert!(message.contains("the compiler failed") && !message.contains("/home"), "{script}: {message}");
        }
    }

    #[tokio::test]
    async fn a_compilation_that_is_given_up_leaves_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let started = folder.path().join("pid");
        let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", started.display());
        let wait = async |holds: &dyn Fn() -> bool| {
            let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
            while !holds() {
                assert!(tokio::time::Instant::now() < deadline, "not in time");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let has_started = || started.exists();
        tokio::select! {
            error = told(PATIENCE, &script) => panic!("it ended: {error}"),
            () = wait(&has_started) => {}
        }
        let pid: u32 = std::fs::read_to_string(&started).unwrap().trim().parse().unwrap();
        wait(&|| !Path::new(&format!("/proc/{pid}")).exists()).await;
    }
}
