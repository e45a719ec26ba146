//! Where our threads leave word for an event loop.
//!
//! A byte lies in a pipe as long as something waits, so that a loop which watches the pipe is woken once for all that has
//! come together. Everything that can wait has a [`Bell`]; one that has rung does not ring again until the loop has heard
//! it, so what waits is bounded by the connections and calls that there are.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Wake;

use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use super::guard::guard;
use super::log::{self, LOG};

/// The key under which the hub says that the engine cannot go on; see `python/subcast/_hub.py`.
pub(super) const FAILED: u64 = LOG + 1;

/// One per event loop.
#[pyclass(frozen, module = "subcast._native")]
pub(super) struct Hub {
    mailbox: Arc<Mailbox>,
    /// Rings for records of the log, as long as the hub lives.
    _log: Arc<Bell>,
}

pub(super) struct Mailbox {
    rung: Mutex<Rung>,
    came: Condvar,
    reader: PipeReader,
    writer: PipeWriter,
}

#[derive(Default)]
struct Rung {
    bells: VecDeque<Arc<Bell>>,
    closed: bool,
}

/// Tells the loop that there is something under its key.
pub(super) struct Bell {
    key: u64,
    has_rung: AtomicBool,
    mailbox: Arc<Mailbox>,
}

impl Hub {
    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }
}

#[pymethods]
impl Hub {
    #[new]
    fn new() -> PyResult<Self> {
        guard(|| {
            let (reader, writer) = io::pipe()?;
            let (rung, came) = (Mutex::default(), Condvar::new());
            let mailbox = Arc::new(Mailbox { rung, came, reader, writer });
            let log = mailbox.bell_with(LOG);
            log::announce_to(&log);
            Ok(Self { mailbox, _log: log })
        })?
    }

    /// Readable while something waits.
    fn fileno(&self) -> PyResult<i32> {
        guard(|| self.mailbox.reader.as_raw_fd())
    }

    /// The keys of what waits, at most `limit`; never waits itself.
    fn drain(&self, limit: usize) -> PyResult<Vec<u64>> {
        guard(|| {
            let mut rung = self.mailbox.rung.lock();
            let count = rung.bells.len().min(limit);
            let keys = rung.bells.drain(..count).map(|bell| {
                // Before the loop looks: what comes from here on rings again.
                bell.has_rung.store(false, Ordering::Release);
                bell.key
            });
            let keys: Vec<_> = keys.collect();
            if count > 0 && rung.bells.is_empty() {
                let _ = (&self.mailbox.reader).read(&mut [0]);
            }
            keys
        })
    }

    /// Blocks until something waits. False once the hub is closed. For loops that cannot watch a pipe.
    fn wait(&self, py: Python<'_>) -> PyResult<bool> {
        guard(|| {
            py.detach(|| {
                let mut rung = self.mailbox.rung.lock();
                self.mailbox.came.wait_while(&mut rung, |rung| rung.bells.is_empty() && !rung.closed);
                !rung.closed
            })
        })
    }

    /// Nobody listens any more.
    fn close(&self) -> PyResult<()> {
        guard(|| {
            let mut rung = self.mailbox.rung.lock();
            rung.closed = true;
            rung.bells.clear();
            self.mailbox.came.notify_all();
        })
    }
}

impl Mailbox {
    /// A bell with a key of its own.
    pub(super) fn bell(self: &Arc<Self>) -> Arc<Bell> {
        // Zero is for questions and one for the log; see there.
        static NEXT: AtomicU64 = AtomicU64::new(FAILED + 1);
        self.bell_with(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn bell_with(self: &Arc<Self>, key: u64) -> Arc<Bell> {
        Arc::new(Bell { key, has_rung: AtomicBool::new(false), mailbox: Arc::clone(self) })
    }
}

impl Bell {
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// False if nobody listens any more.
    pub(super) fn ring(self: &Arc<Self>) -> bool {
        if self.has_rung.swap(true, Ordering::AcqRel) {
            return true;
        }
        let mailbox = &self.mailbox;
        let mut rung = mailbox.rung.lock();
        if rung.closed {
            return false;
        }
        rung.bells.push_back(Arc::clone(self));
        if rung.bells.len() == 1 {
            // One byte, into a pipe that is empty.
            let _ = (&mailbox.writer).write(&[0]);
            mailbox.came.notify_one();
        }
        true
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
