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
    /// Folder of compiled modules. Default: `subcast` in `$XDG_CACHE_HOME` or `~/.cache`. It holds native code: it must
    /// belong to this user alone, and is made so.
    pub cache_dir: Option<PathBuf>,
    /// The command that compiles a module, to which input and output are appended. Default: this executable with
    /// `compile`.
    pub compiler: Option<Vec<OsString>>,
}

impl Default for Config {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self { threads, instances: 64, cache_dir: None, compiler: None }
    }
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(100),
            wall: Duration::from_secs(1),
            memory: 64 << 20,
            output: 1 << 20,
            instances: 4,
            log_bytes: 64 << 10,
        }
    }
}
