//! What belongs to one instance on the host's side: its authority (none), its budgets, and where it writes.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::subcast::resolver::{fetch, kv, log, settings, types};
use super::clock::CoarseClock;
use super::config::Limits;
use super::engine::{TABLE_ELEMENTS, TICK};
use super::guest_log::{Level, Output, Stream};
use super::turnstile::Place;

/// Resources (streams, pollables) that a guest may hold at a time.
const RESOURCES: usize = 1_000;
/// Largest single request for random bytes.
const RANDOM_BYTES: u64 = 1 << 20;

/// The data of an instance's store.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) memory: Memory,
    pub(super) cpu: Cpu,
    pub(super) output: Output,
}

impl State {
    /// No environment, no arguments, no files, no sockets: clocks, randomness and the log are all there is.
    pub(super) fn new(limits: &Limits, output: Output, place: Arc<Place>) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(output.stream(Stream::Stdout))
            .stderr(output.stream(Stream::Stderr))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES);
        if !limits.clock.is_zero() {
            let clock = CoarseClock::new(limits.clock);
            wasi.monotonic_clock(clock).wall_clock(clock);
        }
        let wasi = wasi.build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self {
            wasi,
            table,
            memory: Memory::of(limits.memory),
            cpu: Cpu { used: Duration::ZERO, budget: Duration::ZERO, place },
            output,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Bounds the memory of one instance.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    /// Growths that were refused. After one, a Python instance may be broken without showing it.
    pub(super) denied: u32,
    /// Of all its linear memories together, bytes. They never shrink, so this is the most that was ever in use, too.
    pub(super) size: usize,
}

impl Memory {
    pub(super) fn of(limit: usize) -> Self {
        Self { limit, denied: 0, size: 0 }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let size = self.size.saturating_sub(current).saturating_add(desired);
        let granted = size <= self.limit;
        self.denied += u32::from(!granted);
        if granted {
            self.size = size;
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

/// The CPU time of one call.
#[derive(Debug)]
pub(super) struct Cpu {
    used: Duration,
    budget: Duration,
    place: Arc<Place>,
}

/// A call has used up its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("CPU time is used up")]
pub(super) struct CpuExhausted;

impl Cpu {
    /// Grants so much for the call that begins.
    pub(super) fn allow(&mut self, budget: Duration) {
        (self.used, self.budget) = (Duration::ZERO, budget);
        self.place.forget_turn();
    }

    /// Called at each tick while the guest runs: gives way to other guests of the thread, until the budget is spent. The
    /// long calls of one module take turns among themselves, so that it has one share of the thread however many they are.
    pub(super) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        // The first one of a turn that began we do not know when counts as a tick.
        self.used += self.place.computed().unwrap_or(TICK);
        if self.used > self.budget {
            return Err(CpuExhausted.into());
        }
        // Plain `Yield` wakes itself at once and starves timers and other threads' messages; see docs/architecture.md.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(Arc::clone(&self.place).give_way())))
    }
}

impl types::Host for State {}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String, fields: Option<String>) {
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        match fields {
            None => self.output.log(level, &message),
            Some(fields) => self.output.log(level, &format!("{message} {fields}")),
        }
    }
}

// Declared in the contract, and granted to nobody yet: each says so.

impl fetch::Host for State {
    fn send(&mut self, requests: Vec<fetch::Request>) -> Vec<Result<fetch::Response, fetch::FetchError>> {
        let denied = || Err(fetch::FetchError::Denied("fetch is not granted to this module".to_owned()));
        requests.iter().map(|_| denied()).collect()
    }
}

fn kv_denied<T>() -> Result<T, kv::KvError> {
    Err(kv::KvError::Denied("kv is not granted to this module".to_owned()))
}

impl kv::Host for State {
    fn get(&mut self, _: String) -> Result<Option<Vec<u8>>, kv::KvError> {
        kv_denied()
    }

    fn set(&mut self, _: String, _: Vec<u8>, _: Option<u64>) -> Result<(), kv::KvError> {
        kv_denied()
    }

    fn delete(&mut self, _: String) -> Result<(), kv::KvError> {
        kv_denied()
    }

    fn increment(&mut self, _: String, _: i64, _: Option<u64>) -> Result<i64, kv::KvError> {
        kv_denied()
    }
}

impl settings::Host for State {
    fn get(&mut self, _: String) -> Result<String, settings::SettingsError> {
        Err(settings::SettingsError::Denied("settings are not granted to this module".to_owned()))
    }
}
