//! Supervision of shared work: a panic is a bug of ours, and costs what it happened in and nothing else.
//!
//! Work that serves many runs inside [`caught`]: the panic is counted and logged, and the caller answers what it worked on as
//! failed. What the host cannot go on without (the delivering task, the threads of the sandbox) raises an [`Alarm`] when it
//! ends, and whoever runs the host ends it.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, LazyLock, OnceLock};

use futures_util::FutureExt;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::text::foreign_error;
use crate::throttle::Throttle;

/// Lines per second about panics.
const LINES_PER_SECOND: u32 = 10;

/// The panics of the process, by where they were caught. One count for all engines of a process: what is counted is bugs.
static PANICS: LazyLock<Family<[(&'static str, &'static str); 1], Counter>> = LazyLock::new(Family::default);
static LINES: Throttle = Throttle::new(LINES_PER_SECOND);

/// Adds the counter of panics to the registry of the process.
pub fn register(registry: &mut Registry) {
    registry.register("panics", "Panics that were caught, by the work that they ended; each is a bug", PANICS.clone());
}

/// Runs work that serves many. `None`: it panicked, which is counted under `place` and logged.
///
/// What the work was changing must be fit for use afterwards, or be thrown away by the caller.
pub fn caught<T>(place: &'static str, work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| report(place, &*panic)).ok()
}

/// Runs a future that serves one client or one request: a panic is counted, and ends the future as it would by itself.
pub async fn counted<F: Future>(place: &'static str, work: F) -> F::Output {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(output) => output,
        Err(panic) => {
            report(place, &*panic);
            resume_unwind(panic)
        }
    }
}

/// Counts a panic that was caught elsewhere, and writes it to the log.
pub fn report(place: &'static str, panic: &(dyn Any + Send)) {
    PANICS.get_or_create(&[("where", place)]).inc();
    if LINES.may_write() {
        tracing::error!(
            r#where = place,
            "a panic was caught; this is a bug of Subcast, please report it: {}",
            foreign_error(told(panic))
        );
    }
}

/// The message of a panic.
#[must_use]
pub fn told(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic")
}

/// Says that the host cannot go on. Raised once; the first reason counts. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Alarm {
    raised: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Alarm {
    /// Raises it.
    pub fn raise(&self, reason: String) {
        if self.reason.set(reason).is_ok() {
            tracing::error!("the host cannot go on: {}", foreign_error(self.reason()));
            self.raised.cancel();
        }
    }

    /// Whether it has been raised: the host is to end.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised.is_cancelled()
    }

    /// Why, once it has been raised.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.reason.get().map_or("", String::as_str)
    }

    /// Resolves when it is raised.
    pub async fn raised(&self) {
        self.raised.cancelled().await;
    }

    /// Runs a future that never ends by itself. If it does, or panics, the alarm is raised.
    pub async fn guard<F: Future>(&self, what: &'static str, work: F) {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(_) => self.raise(format!("{what} has ended")),
            Err(panic) => {
                report(what, &*panic);
                self.raise(format!("{what} has ended by a panic"));
            }
        }
    }

    /// Runs the body of a thread that the host needs. If it panics, the alarm is raised.
    pub fn guard_thread(&self, what: &'static str, work: impl FnOnce()) {
        if caught(what, work).is_none() {
            self.raise(format!("{what} has ended by a panic"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted_at(place: &'static str) -> u64 {
        PANICS.get_or_create(&[("where", place)]).get()
    }

    #[test]
    fn a_panic_is_counted_and_costs_the_work_alone() {
        assert_eq!(caught("test of work", || 7), Some(7));
        assert_eq!(caught("test of work", || -> u32 { panic!("on purpose") }), None);
        assert_eq!(counted_at("test of work"), 1);
    }

    #[tokio::test]
    async fn what_the_host_needs_raises_the_alarm_once_when_it_ends() {
        let alarm = Alarm::default();
        assert!(!alarm.is_raised());
        alarm.guard("test of a task", async { panic!("on purpose") }).await;
        alarm.raise("something else".to_owned());
        alarm.raised().await;
        assert_eq!((alarm.is_raised(), alarm.reason()), (true, "test of a task has ended by a panic"));
        assert_eq!(counted_at("test of a task"), 1);
        let alarm = Alarm::default();
        alarm.guard("test of an end", std::future::ready(())).await;
        assert_eq!(alarm.reason(), "test of an end has ended");
        let alarm = Alarm::default();
        alarm.guard_thread("test of a thread", || panic!("on purpose"));
        assert_eq!(alarm.reason(), "test of a thread has ended by a panic");
    }
}
