//! One running copy of a module.
//!
//! A call consumes the instance and gives it back only if it is as good as new: after a trap, a deadline, a cancelled
//! call, a refused result or a denied growth of memory it may look healthy and not be.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use wasmtime::Store;

use super::bindings::exports::subcast::resolver::resolvers as wit;
use super::bindings::{Resolver, ResolverPre};
use super::call::{CallError, Request};
use super::config::Limits;
use super::convert;
use super::engine::TICK;
use super::guest_log::Output;
use super::state::State;
use crate::manifest::Manifest;
use crate::outcome::Outcome;

/// Time for a module to start and describe itself.
const START_WALL: Duration = Duration::from_secs(10);
const START_CPU: Duration = Duration::from_secs(2);
/// Bytes of a manifest, the schema included.
const MANIFEST_BYTES: usize = 8 << 20;
/// Most bytes that one batch may return, unless a single value may be larger.
const BATCH_BYTES: usize = 16 << 20;
/// Allowance for what surrounds the values of one invocation: the records themselves, a traceback.
const OVERHEAD_BYTES: usize = 64 << 10;

/// See the module. Lives and dies on one thread.
pub(super) struct Instance {
    store: Store<State>,
    bindings: Resolver,
    limits: Limits,
}

/// What became of a call: the instance, if it may be used again, and the answer.
pub(super) struct Called<T> {
    pub(super) instance: Option<Instance>,
    pub(super) answer: Result<T, CallError>,
}

impl Instance {
    /// Starts a copy from the module's snapshot.
    pub(super) async fn start(pre: &ResolverPre<State>, limits: Limits, output: Output) -> Result<Self, CallError> {
        let mut store = Store::new(pre.engine(), State::new(limits.memory, output));
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| store.data_mut().cpu.tick());
        allow(&mut store, START_CPU);
        match timeout(START_WALL, pre.instantiate_async(&mut store)).await {
            Ok(Ok(bindings)) => Ok(Self { store, bindings, limits }),
            Ok(Err(error)) => Err(CallError::of(&error, &store.data().memory, &limits)),
            Err(_) => Err(CallError::Wall(START_WALL)),
        }
    }

    /// Asks the module what it is. Also what makes a fresh instance warm.
    pub(super) async fn describe(mut self) -> Called<Manifest> {
        allow(&mut self.store, START_CPU);
        self.store.set_hostcall_fuel(MANIFEST_BYTES);
        self.store.data().output.begin(&Arc::from("describe"));
        let limits = wit::Limits { output: self.limits.output as u64 };
        let resolvers = self.bindings.subcast_resolver_resolvers();
        let called = timeout(START_WALL, resolvers.call_describe(&mut self.store, limits)).await;
        let answer = match called {
            Err(_) => Err(CallError::Wall(START_WALL)),
            Ok(Err(error)) => Err(CallError::of(&error, &self.store.data().memory, &self.limits)),
            Ok(Ok(manifest)) => convert::manifest(manifest).map_err(CallError::Contract),
        };
        self.finish(answer)
    }

    /// Calls the resolvers of one field. Answers in the order of the questions.
    pub(super) async fn resolve(mut self, request: &Request<'_>) -> Called<Vec<Outcome>> {
        let count = request.questions.len();
        let wall = request.deadline.saturating_duration_since(Instant::now()).min(self.limits.wall);
        allow(&mut self.store, self.limits.cpu);
        self.store.set_hostcall_fuel(self.fuel(count));
        self.store.data().output.begin(request.field);
        let (jobs, envelopes) = (convert::jobs(request), convert::envelopes(request));
        let deadline_ms = u32::try_from(wall.as_millis()).unwrap_or(u32::MAX);
        let resolvers = self.bindings.subcast_resolver_resolvers();
        let called =
            within(wall, resolvers.call_resolve(&mut self.store, request.field, &jobs, &envelopes, deadline_ms)).await;
        let answer = match called {
            None => Err(CallError::Wall(self.limits.wall)),
            Some(Err(error)) => Err(CallError::of(&error, &self.store.data().memory, &self.limits)),
            Some(Ok(answers)) => convert::outcomes(&answers, count, self.limits.output).map_err(CallError::Contract),
        };
        self.finish(answer)
    }

    fn fuel(&self, invocations: usize) -> usize {
        let values = self.limits.output.saturating_mul(invocations).min(self.limits.output.max(BATCH_BYTES));
        values.saturating_add(OVERHEAD_BYTES.saturating_mul(invocations))
    }

    fn finish<T>(self, answer: Result<T, CallError>) -> Called<T> {
        self.store.data().output.end();
        let healthy = answer.is_ok() && self.store.data().memory.denied == 0;
        Called { instance: healthy.then_some(self), answer }
    }
}

/// What the call returns, or `None` once the time is up. Most calls never wait, and need no timer.
async fn within<T>(wall: Duration, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    if let Poll::Ready(returned) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
        return Some(returned);
    }
    timeout(wall, call).await.ok()
}

/// Grants CPU time for the next call.
fn allow(store: &mut Store<State>, cpu: Duration) {
    let budget = cpu.as_nanos().div_ceil(TICK.as_nanos());
    let state = store.data_mut();
    state.cpu.used = 0;
    state.cpu.budget = u64::try_from(budget).unwrap_or(u64::MAX);
    store.set_epoch_deadline(1);
}
