//! One running copy of a module.
//!
//! A call consumes the instance and gives it back only if it is as good as new: after a trap, a deadline, a cancelled
//! call, a refused result or a denied growth of memory it may look healthy and not be.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::time::timeout;
use wasmtime::Store;

use super::bindings::exports::subcast::resolver::resolvers as wit;
use super::bindings::{Resolver, ResolverPre};
use super::call::{CallError, Request};
use super::config::{Isolation, Limits};
use super::convert;
use super::guest_log::Output;
use super::state::State;
use super::turnstile::{Place, Turnstile};
use crate::manifest::Manifest;
use crate::outcome::{Outcome, Tenant};

/// Time for a module to start and describe itself.
const START_WALL: Duration = Duration::from_secs(10);
const START_CPU: Duration = Duration::from_secs(2);
/// Bytes of a manifest, the schema included.
const MANIFEST_BYTES: usize = 8 << 20;
/// Most bytes that one batch may return, unless a single value may be larger.
const BATCH_BYTES: usize = 16 << 20;
/// Allowance for what surrounds the values of one invocation: the records themselves, a traceback.
const OVERHEAD_BYTES: usize = 64 << 10;
/// Bytes of an answer from which on it is read outside of the sandbox's threads.
const LARGE_ANSWER: usize = 64 << 10;
/// Niceness of a thread that does so: guests come first.
const READER_NICENESS: i32 = 10;
/// Part of its memory that an instance may hold after a call before it is replaced: 3/4. Beyond, a call that needs more
/// than usual would fail for what earlier ones left behind.
const HIGH_WATER: (usize, usize) = (3, 4);

/// See the module. Lives on one thread; may be dropped on another one.
pub(super) struct Instance {
    store: Store<State>,
    bindings: Resolver,
    limits: Limits,
    place: Arc<Place>,
    /// Whom it has served, where an instance serves one tenant only.
    tenant: Option<Tenant>,
    /// Calls of resolvers so far.
    calls: u32,
    /// Calls after which it is replaced.
    lifetime: u32,
    /// Bytes of memory when it was warm.
    warm: usize,
    /// Bytes of memory beyond which it is replaced.
    high_water: usize,
}

/// Why an instance that works is replaced all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retirement {
    /// It has made the calls of its life.
    Calls,
    /// It holds more memory than is good for the calls to come.
    Memory,
    /// It has served a call, and calls have fresh ones.
    Call,
    /// It has served another tenant.
    Tenant,
}

impl Retirement {
    /// The label of a metric.
    pub(super) fn cause(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Memory => "memory",
            Self::Call => "call",
            Self::Tenant => "tenant",
        }
    }
}

/// What became of a call: the instance, and the answer.
pub(super) struct Called<T> {
    /// The instance, if it may be used again.
    pub(super) instance: Option<Instance>,
    /// The instance, if it may not be used again.
    pub(super) spoilt: Option<Instance>,
    pub(super) answer: Result<T, CallError>,
}

impl Instance {
    /// Starts a copy from the module's snapshot.
    pub(super) async fn start(
        pre: &ResolverPre<State>,
        limits: Limits,
        output: Output,
        turnstile: &Arc<Turnstile>,
    ) -> Result<Self, CallError> {
        let place = turnstile.place();
        let mut store = Store::new(pre.engine(), State::new(&limits, output, Arc::clone(&place)));
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| store.data_mut().cpu.tick());
        allow(&mut store, START_CPU);
        let lifetime = rand::rng().random_range(limits.calls..=limits.calls.saturating_mul(2));
        match within(&place, START_WALL, pre.instantiate_async(&mut store)).await {
            Some(Ok(bindings)) => {
                let (warm, high_water) = (store.data().memory.size, limits.memory);
                Ok(Self { store, bindings, limits, place, tenant: None, calls: 0, lifetime, warm, high_water })
            }
            Some(Err(error)) => Err(CallError::of(&error, &store.data().memory, &at_start(limits))),
            None => Err(CallError::Wall(START_WALL)),
        }
    }

    /// Whether it may serve this tenant now, or why another instance has to.
    pub(super) fn may_serve(&self, tenant: &Tenant) -> Result<(), Retirement> {
        match self.limits.isolation {
            Isolation::PerCall if self.calls > 0 => Err(Retirement::Call),
            Isolation::PerTenant if self.tenant.as_ref().is_some_and(|served| served != tenant) => {
                Err(Retirement::Tenant)
            }
            Isolation::Shared | Isolation::PerTenant | Isolation::PerCall => Ok(()),
        }
    }

    /// Whether it should make place for a fresh one before the next call.
    pub(super) fn retires(&self) -> Option<Retirement> {
        if self.limits.isolation == Isolation::PerCall && self.calls > 0 {
            Some(Retirement::Call)
        } else if self.calls >= self.lifetime {
            Some(Retirement::Calls)
        } else if self.store.data().memory.size > self.high_water {
            Some(Retirement::Memory)
        } else {
            None
        }
    }

    /// Bytes of memory beyond those that it began with.
    pub(super) fn grown(&self) -> usize {
        self.store.data().memory.size.saturating_sub(self.warm)
    }

    /// Asks the module what it is. Also what makes a fresh instance warm.
    pub(super) async fn describe(mut self) -> Called<Manifest> {
        allow(&mut self.store, START_CPU);
        self.store.set_hostcall_fuel(MANIFEST_BYTES);
        self.store.data().output.begin(&Arc::from("describe"));
        let limits = wit::Limits { output: self.limits.output as u64 };
        let resolvers = self.bindings.subcast_resolver_resolvers();
        let called = within(&self.place, START_WALL, resolvers.call_describe(&mut self.store, limits)).await;
        let answer = match called {
            None => Err(CallError::Wall(START_WALL)),
            Some(Err(error)) => Err(CallError::of(&error, &self.store.data().memory, &at_start(self.limits))),
            Some(Ok(manifest)) => convert::manifest(manifest).map_err(CallError::Contract),
        };
        let most = self.limits.memory;
        self.warm = self.store.data().memory.size;
        // Half of what is left at least: an instance that begins near its limit is no better after a new start.
        self.high_water = (most / HIGH_WATER.1 * HIGH_WATER.0).max(self.warm.midpoint(most));
        self.finish(answer)
    }

    /// Calls the resolvers of one field. Answers in the order of the questions.
    pub(super) async fn resolve(mut self, request: &Request<'_>) -> Called<Vec<Outcome>> {
        let count = request.questions.len();
        self.calls = self.calls.saturating_add(1);
        if self.limits.isolation == Isolation::PerTenant && self.tenant.is_none() {
            self.tenant = request.questions.first().map(|question| question.invocation.tenant.clone());
        }
        let wall = request.deadline.saturating_duration_since(Instant::now()).min(self.limits.wall);
        allow(&mut self.store, self.limits.cpu);
        self.store.set_hostcall_fuel(self.fuel(count));
        self.store.data().output.begin(request.field);
        let (jobs, envelopes) = (convert::jobs(request), convert::envelopes(request));
        let deadline_ms = u32::try_from(wall.as_millis()).unwrap_or(u32::MAX);
        let resolvers = self.bindings.subcast_resolver_resolvers();
        let call = resolvers.call_resolve(&mut self.store, request.field, &jobs, &envelopes, deadline_ms);
        let called = within(&self.place, wall, call).await;
        let answer = match called {
            None => Err(CallError::Wall(self.limits.wall)),
            Some(Err(error)) => Err(CallError::of(&error, &self.store.data().memory, &self.limits)),
            Some(Ok(answers)) => outcomes(answers, count, self.limits.output).await.map_err(CallError::Contract),
        };
        self.finish(answer)
    }

    fn fuel(&self, invocations: usize) -> usize {
        let values = self.limits.output.saturating_mul(invocations).min(self.limits.output.max(BATCH_BYTES));
        values.saturating_add(OVERHEAD_BYTES.saturating_mul(invocations))
    }

    fn finish<T>(self, answer: Result<T, CallError>) -> Called<T> {
        self.store.data().output.end();
        self.place.leave();
        let healthy = answer.is_ok() && self.store.data().memory.denied == 0;
        let (instance, spoilt) = if healthy { (Some(self), None) } else { (None, Some(self)) };
        Called { instance, spoilt, answer }
    }
}

/// Reads what a call returned. A megabyte takes milliseconds, and the thread's other calls do not wait for them.
async fn outcomes(answers: String, count: usize, most_bytes: usize) -> Result<Vec<Outcome>, String> {
    if answers.len() < LARGE_ANSWER {
        return convert::outcomes(&answers, count, most_bytes);
    }
    let reading = tokio::task::spawn_blocking(move || {
        let _ = rustix::process::setpriority_process(None, READER_NICENESS);
        convert::outcomes(&answers, count, most_bytes)
    });
    reading.await.unwrap_or_else(|error| Err(format!("reading its outcomes failed: {error}")))
}

/// What the call returns, or `None` once the time is up. Most calls never wait, and need no timer.
async fn within<T>(place: &Place, wall: Duration, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let mut call = poll_fn(|cx| {
        let polled = call.as_mut().poll(cx);
        if polled.is_pending() {
            place.stands_still();
        }
        polled
    });
    let returned = match poll_fn(|cx| Poll::Ready(pin!(&mut call).poll(cx))).await {
        Poll::Ready(returned) => Some(returned),
        Poll::Pending => timeout(wall, call).await.ok(),
    };
    // Now, and not after what the host does with the answer: the module's other calls wait for their turn.
    place.leave();
    returned
}

/// The limits that hold while a module starts, for the messages.
fn at_start(limits: Limits) -> Limits {
    Limits { cpu: START_CPU, wall: START_WALL, ..limits }
}

/// Grants CPU time for the next call.
fn allow(store: &mut Store<State>, cpu: Duration) {
    store.data_mut().cpu.allow(cpu);
    store.set_epoch_deadline(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The host reads a large answer after the call, beside the guests' threads.
    #[tokio::test]
    async fn a_call_that_has_returned_keeps_no_turn() {
        let turnstile = Arc::new(Turnstile::default());
        let (first, second) = (turnstile.place(), turnstile.place());
        let long = async |place: &Arc<Place>| {
            // Alone in the line, it has the turn again at once.
            Arc::clone(place).give_way().await;
        };
        let called = within(&first, Duration::from_mins(1), long(&first)).await;
        assert!(called.is_some());
        // The instance of the first call is still there, as while its answer is read.
        let next = within(&second, Duration::from_millis(100), long(&second)).await;
        assert!(next.is_some(), "the second call waits for its turn although the first has returned");
        drop(first);
    }
}
