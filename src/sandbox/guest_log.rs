//! What guests write: lines for the host's log, tagged with module and field, in bounded amounts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::text::printable;

/// Longer lines are cut into several.
const LINE_BYTES: usize = 4 * 1024;
/// What a line costs besides its text: the host writes time, level, module and field before it. Otherwise lines without
/// any text would be free.
const LINE_COST: usize = 128;
/// How much a guest may write in one piece; it does not wait, so this only bounds the copy.
const WRITE_BYTES: usize = 64 * 1024;

/// The log of one module's guests. Shared by all its instances, so that the budget is the module's.
#[derive(Debug)]
pub(super) struct GuestLog {
    module: Box<str>,
    bytes_per_second: usize,
    budget: Mutex<Budget>,
    suppressed: Counter,
}

#[derive(Debug)]
struct Budget {
    began: Instant,
    written: usize,
    suppressed: u64,
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl GuestLog {
    pub(super) fn new(module: &str, bytes_per_second: usize, suppressed: Counter) -> Self {
        let budget = Budget { began: Instant::now(), written: 0, suppressed: 0 };
        Self { module: module.into(), bytes_per_second, budget: Mutex::new(budget), suppressed }
    }

    /// The name of the module.
    pub(super) fn module(&self) -> &str {
        &self.module
    }

    /// Writes one line, if the module has not written too much this second.
    pub(super) fn write(&self, level: Level, field: &str, origin: &str, line: &str) {
        if !self.may_write(LINE_COST + line.len(), Instant::now()) {
            return;
        }
        let (module, line) = (&*self.module, printable(line));
        match level {
            Level::Trace => tracing::trace!(target: "subcast::guest", module, field, origin, "{line}"),
            Level::Debug => tracing::debug!(target: "subcast::guest", module, field, origin, "{line}"),
            Level::Info => tracing::info!(target: "subcast::guest", module, field, origin, "{line}"),
            Level::Warn => tracing::warn!(target: "subcast::guest", module, field, origin, "{line}"),
            Level::Error => tracing::error!(target: "subcast::guest", module, field, origin, "{line}"),
        }
    }

    fn may_write(&self, bytes: usize, now: Instant) -> bool {
        let mut budget = self.budget.lock();
        if now.duration_since(budget.began) >= Duration::from_secs(1) {
            if budget.suppressed > 0 {
                tracing::warn!(
                    target: "subcast::guest",
                    module = &*self.module,
                    lines = budget.suppressed,
                    "the module writes more than its log_bytes per second; lines were left out"
                );
            }
            *budget = Budget { began: now, written: 0, suppressed: 0 };
        }
        budget.written = budget.written.saturating_add(bytes);
        let may = budget.written <= self.bytes_per_second;
        if !may {
            budget.suppressed += 1;
            self.suppressed.inc();
        }
        may
    }
}

/// Where one instance writes to: its module's log, tagged with the field that it is working for.
#[derive(Clone, Debug)]
pub(super) struct Output {
    shared: Arc<OutputShared>,
}

#[derive(Debug)]
struct OutputShared {
    log: Arc<GuestLog>,
    field: Mutex<Arc<str>>,
    /// What has come without the end of its line: of stdout, and of stderr.
    partial: [Mutex<Vec<u8>>; 2],
}

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

impl Output {
    pub(super) fn new(log: Arc<GuestLog>) -> Self {
        let shared = OutputShared { log, field: Mutex::new(Arc::from("")), partial: Default::default() };
        Self { shared: Arc::new(shared) }
    }

    /// From now on, lines belong to this field.
    pub(super) fn begin(&self, field: &Arc<str>) {
        *self.shared.field.lock() = Arc::clone(field);
    }

    /// The call is over: what has no end of line is a line, too.
    pub(super) fn end(&self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut partial = self.shared.partial[stream as usize].lock();
            if !partial.is_empty() {
                self.line(stream, &partial);
                partial.clear();
            }
        }
    }

    /// A line that the SDK or the resolver logged.
    pub(super) fn log(&self, level: Level, message: &str) {
        let field = Arc::clone(&self.shared.field.lock());
        let end = message.floor_char_boundary(LINE_BYTES);
        self.shared.log.write(level, &field, "log", &message[..end]);
    }

    pub(super) fn stream(&self, stream: Stream) -> GuestStream {
        GuestStream { output: self.clone(), stream }
    }

    fn write(&self, stream: Stream, mut bytes: &[u8]) {
        let mut partial = self.shared.partial[stream as usize].lock();
        while !bytes.is_empty() {
            let room = LINE_BYTES - partial.len();
            let window = &bytes[..bytes.len().min(room)];
            let (taken, ends) = match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (window.len(), window.len() == room),
            };
            partial.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if ends {
                self.line(stream, &partial);
                partial.clear();
            }
        }
    }

    fn line(&self, stream: Stream, bytes: &[u8]) {
        let field = Arc::clone(&self.shared.field.lock());
        let level = match stream {
            Stream::Stdout => Level::Info,
            Stream::Stderr => Level::Warn,
        };
        let text = String::from_utf8_lossy(bytes);
        self.shared.log.write(level, &field, stream.name(), text.trim_end());
    }
}

/// Standard output or error of a guest.
#[derive(Clone, Debug)]
pub(super) struct GuestStream {
    output: Output,
    stream: Stream,
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, and that is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_writes_no_more_than_its_budget_per_second() {
        let suppressed = Counter::default();
        let log = GuestLog::new("m", 100, suppressed.clone());
        let now = Instant::now();
        let written = (0..20).filter(|_| log.may_write(10, now)).count();
        assert_eq!((written, suppressed.get()), (10, 10));
        assert!(log.may_write(10, now + Duration::from_secs(1)));
    }

    #[test]
    fn lines_without_text_are_not_free() {
        let suppressed = Counter::default();
        let log = Arc::new(GuestLog::new("m", 10 * LINE_COST, suppressed.clone()));
        Output::new(log).write(Stream::Stdout, &[b'\n'; 1_000]);
        // The second may have changed in between.
        assert!(suppressed.get() >= 980, "{} of 1000 lines were left out", suppressed.get());
    }

    #[test]
    fn text_without_an_end_of_line_is_cut_and_never_kept_beyond_one_line() {
        let output = Output::new(Arc::new(GuestLog::new("m", 0, Counter::default())));
        output.write(Stream::Stdout, &vec![b'x'; 3 * LINE_BYTES + 5]);
        assert_eq!(output.shared.partial[0].lock().len(), 5);
        output.write(Stream::Stdout, b"\nrest");
        assert_eq!(&*output.shared.partial[0].lock(), b"rest");
        output.end();
        assert!(output.shared.partial[0].lock().is_empty());
    }
}
