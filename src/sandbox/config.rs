//! What an operator can set about the sandbox, and the limits of one module.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the whole sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Threads that run guests. Default: as many as cores. More do not help: a guest that waits holds no thread.
    pub threads: usize,
    /// Warm instances of all modules together. Default 64, of 7 MB each at first.
    pub instances: usize,
    /// Time after which an instance beyond the warm ones ends if it has had no work. Default: one minute.
    pub idle: Duration,
    /// Folder of compiled modules. Default: `subcast` in `$XDG_CACHE_HOME` or `~/.cache`. It holds native code: it must
    /// belong to this user alone, and is made so.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of compiled modules that are kept in that folder, besides those that are live or could be rolled back to: what has
    /// not been used for the longest time is removed. Default 2 GiB, of which a Python component takes 36 MB.
    pub cache_bytes: u64,
    /// The command that compiles a module, to which input and output are appended. Default: this executable with
    /// `compile`.
    pub compiler: Option<Vec<OsString>>,
}

impl Default for Config {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let idle = Duration::from_mins(1);
        Self { threads, instances: 64, idle, cache_dir: None, cache_bytes: 2 << 30, compiler: None }
    }
}

/// Who may meet in one instance: what a resolver leaves behind in a global, the next call finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Everyone: all calls take turns in the same few instances.
    #[default]
    Shared,
    /// One tenant: an instance never serves two. Nobody subscribes without one; self-tests run for none.
    PerTenant,
    /// Nobody: every call has a fresh instance, and one invocation.
    PerCall,
}

/// What the guests of one module may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU time of one call. Default 100 ms. Beyond, the call is interrupted.
    pub cpu: Duration,
    /// Time of one call, waiting included. Default 1 s. Beyond, the call is cut off.
    pub wall: Duration,
    /// Memory of one instance, bytes. Default 64 MiB. Beyond, Python raises `MemoryError`.
    pub memory: usize,
    /// Bytes of one value that a resolver returns. Default 1 MiB.
    pub output: usize,
    /// Most instances of the module at a time. Default 4.
    pub instances: usize,
    /// Bytes per second that the module may write to the log. Default 64 KiB; what is beyond is counted, not written.
    pub log_bytes: usize,
    /// Who may meet in one instance. Default: everyone.
    pub isolation: Isolation,
    /// Invocations that may wait for one field. Default 65,536, of which one connection takes three quarters at most;
    /// beyond, events are answered as overloaded.
    pub queue: usize,
    /// For how long they may wait. Default 10 s.
    pub patience: Duration,
    /// Calls of one instance before it is replaced. Default 20,000. Each instance draws its own number between this and
    /// twice this, so that they are not all replaced at once.
    pub calls: u32,
    /// What clocks show is rounded down to multiples of this. Default: zero, as exact as the machine's.
    pub clock: Duration,
}

/// Clocks that are too coarse to time the host with, where nothing else is said: [`Limits::clock`].
pub const COARSE: Duration = Duration::from_millis(1);

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(100),
            wall: Duration::from_secs(1),
            memory: 64 << 20,
            output: 1 << 20,
            instances: 4,
            log_bytes: 64 << 10,
            isolation: Isolation::Shared,
            queue: 65_536,
            patience: Duration::from_secs(10),
            calls: 20_000,
            clock: Duration::ZERO,
        }
    }
}
