//! A session, driven by an event loop of Python: text in, text out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Instant;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::guard::guard;
use super::hub::{Bell, Mailbox};
use crate::protocol::CloseCode;
use crate::runtime::{Seat, Taken};
use crate::session::{Services, Session, Transmit};

/// Frames that are handed over at a time.
const FRAMES: usize = 64;
/// Above this many frames or bytes that the client has not taken, nothing more should be read from it.
const UNREAD_FRAMES: usize = 256;
const UNREAD_BYTES: usize = 256 * 1024;
/// What stands for a ping of the WebSocket protocol, which an application cannot send: clients answer it as well.
const PING: &str = r#"{"type":"ping"}"#;

/// A close code and its reason.
type Goodbye = (u16, String);

/// One connection. Its hub announces, under its key, that [`Connection::poll`] has something.
#[pyclass(frozen, module = "subcast._native")]
pub(super) struct Connection {
    bell: Arc<Bell>,
    waker: Waker,
    max_message: usize,
    /// The client has sent more than `max_message` bytes at once: nothing of it is heard any more.
    is_too_large: AtomicBool,
    /// `None` once it is closed.
    session: Mutex<Option<(Session, Taken)>>,
}

impl Connection {
    pub(super) fn new(
        mailbox: &Arc<Mailbox>,
        services: Arc<Services>,
        headers: Vec<(String, String)>,
        seat: Seat,
        max_message: usize,
    ) -> Self {
        let bell = mailbox.bell();
        let waker = Waker::from(Arc::clone(&bell));
        let session = Session::new(services, headers, Instant::now());
        let session = Mutex::new(Some((session, seat.taken())));
        Self { bell, waker, max_message, is_too_large: AtomicBool::new(false), session }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.session.lock().as_mut().map(|(session, _)| work(session))
    }
}

#[pymethods]
impl Connection {
    #[getter]
    fn key(&self) -> PyResult<u64> {
        guard(|| self.bell.key())
    }

    /// A text frame arrived.
    fn handle_text(&self, py: Python<'_>, text: &str) -> PyResult<()> {
        guard(|| {
            if text.len() > self.max_message {
                self.is_too_large.store(true, Ordering::Release);
                return;
            }
            py.detach(|| self.with(|session| session.handle_text(text, Instant::now())));
        })
    }

    /// A binary frame arrived.
    fn handle_binary(&self) -> PyResult<()> {
        guard(|| {
            self.with(|session| session.handle_binary(Instant::now()));
        })
    }

    /// The deadline has come.
    fn handle_timeout(&self) -> PyResult<()> {
        guard(|| {
            self.with(|session| session.handle_timeout(Instant::now()));
        })
    }

    /// The host shuts down.
    fn drain(&self) -> PyResult<()> {
        guard(|| {
            self.with(Session::drain);
        })
    }

    /// What to write now: frames, and the close code with its reason if that is the end. No frames: nothing until the hub
    /// rings.
    fn poll<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Option<Goodbye>)> {
        guard(|| {
            // Nothing of Python is made under the lock: without the interpreter's lock that could wait for somebody who
            // waits for this one.
            let (mut frames, mut close) = (Vec::new(), None);
            if self.is_too_large.load(Ordering::Acquire) {
                let reason = format!("Message larger than {} bytes", self.max_message);
                close = Some((CloseCode::MessageTooBig.as_u16(), reason));
            }
            self.with(|session| {
                let mut context = Context::from_waker(&self.waker);
                while close.is_none() && frames.len() < FRAMES {
                    match session.poll_transmit() {
                        Some(Transmit::Text(text)) => frames.push(Some(text)),
                        Some(Transmit::Ping) => frames.push(None),
                        Some(Transmit::Close(code, reason)) => {
                            close = Some((code.as_u16(), reason.as_str().to_owned()));
                        }
                        None => {
                            let has_results = session.outbox().poll_ready(&mut context).is_ready();
                            if has_results {
                                session.handle_outbox();
                            }
                            let is_decided = session.poll_decision(&mut context).is_ready();
                            if !session.wants_write() && (!has_results || !is_decided) {
                                break;
                            }
                        }
                    }
                }
            });
            let frames = frames.iter().map(|text| match text {
                Some(text) => PyString::new(py, text),
                None => PyString::intern(py, PING),
            });
            Ok((PyList::new(py, frames)?, close))
        })?
    }

    /// Whether the client has fallen too far behind: it is to be closed although it does not read.
    fn is_overflowed(&self) -> PyResult<bool> {
        guard(|| {
            let mut context = Context::from_waker(&self.waker);
            self.with(|session| {
                // So that it rings again: one ring is all that a full outbox gives.
                let _ = session.outbox().poll_ready(&mut context);
                session.outbox().overflowed()
            })
            .unwrap_or(false)
        })
    }

    /// Whether nothing more should be read from the client for now: it does not take what it has asked for, or it is not
    /// decided yet who it is.
    fn is_blocked(&self) -> PyResult<bool> {
        guard(|| {
            self.with(|session| {
                let (frames, bytes) = session.backlog();
                session.is_deciding() || frames > UNREAD_FRAMES || bytes > UNREAD_BYTES
            })
            .unwrap_or(true)
        })
    }

    /// Seconds until [`Connection::handle_timeout`] is due.
    fn timeout(&self) -> PyResult<Option<f64>> {
        guard(|| {
            let deadline = self.with(|session| session.poll_timeout()).flatten()?;
            Some(deadline.saturating_duration_since(Instant::now()).as_secs_f64())
        })
    }

    /// Ends its subscriptions.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        guard(|| {
            let session = self.session.lock().take();
            py.detach(|| drop(session));
        })
    }
}
