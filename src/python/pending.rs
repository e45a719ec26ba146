//! Work that takes its time, on threads of ours; the hub announces its end.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use pyo3::prelude::*;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, Threads};
use super::errors::Failure;
use super::guard::{guard, told};
use super::hub::{Bell, Hub};

/// What came of it.
pub(super) enum Done {
    Nothing,
    Engine(Engine),
    /// JSON text.
    Report(String),
    Address(SocketAddr),
}

/// See the module. Ends by itself, or soon after it is cancelled.
#[pyclass(frozen, module = "subcast._native")]
pub(super) struct Pending {
    bell: Arc<Bell>,
    done: Arc<Mutex<Option<Result<Done, Failure>>>>,
    cancelled: CancellationToken,
    /// The threads must live as long as somebody waits.
    threads: Mutex<Option<Arc<Threads>>>,
}

impl Pending {
    /// Begins the work. What it does when it is dropped in the middle is what happens when it is cancelled.
    pub(super) fn spawn(
        threads: &Arc<Threads>,
        hub: &Hub,
        work: impl Future<Output = Result<Done, Failure>> + Send + 'static,
    ) -> Self {
        let (bell, done, cancelled) = (hub.mailbox().bell(), Arc::default(), CancellationToken::new());
        let pending = Self {
            bell: Arc::clone(&bell),
            done: Arc::clone(&done),
            cancelled: cancelled.clone(),
            threads: Mutex::new(Some(Arc::clone(threads))),
        };
        threads.spawn(async move {
            let result = tokio::select! {
                result = AssertUnwindSafe(work).catch_unwind() => {
                    result.unwrap_or_else(|panic| Err(Failure::Panic(told(&*panic))))
                },
                () = cancelled.cancelled() => Err(Failure::Cancelled),
            };
            *done.lock() = Some(result);
            bell.ring();
        });
        pending
    }
}

#[pymethods]
impl Pending {
    /// Under which the hub announces the end.
    #[getter]
    fn key(&self) -> PyResult<u64> {
        guard(|| self.bell.key())
    }

    /// What came of it, once; raises what went wrong. To be called when the hub has announced the end.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        guard(|| {
            drop(self.threads.lock().take());
            let result = self.done.lock().take().unwrap_or(Err(Failure::Cancelled));
            match result.map_err(|failure| failure.into_py(py))? {
                Done::Nothing => Ok(py.None()),
                Done::Engine(engine) => Ok(Py::new(py, engine)?.into_any()),
                Done::Report(text) => Ok(text.into_pyobject(py)?.into_any().unbind()),
                Done::Address(address) => {
                    Ok((address.ip().to_string(), address.port()).into_pyobject(py)?.into_any().unbind())
                }
            }
        })?
    }

    /// Whether it has ended.
    fn is_done(&self) -> PyResult<bool> {
        guard(|| self.done.lock().is_some())
    }

    /// Nobody waits for it any more.
    fn cancel(&self) -> PyResult<()> {
        guard(|| {
            self.cancelled.cancel();
        })
    }
}
