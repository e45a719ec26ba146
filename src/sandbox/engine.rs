//! The wasmtime engine, narrowed to what is used, and the clock that interrupts guests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::functions::Functions;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// One epoch: guests are interrupted, or give way to others of their thread, at this pace.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Core instances that one Python component consists of (14), with room for native extensions.
const CORE_INSTANCES: u32 = 40;
/// Instances that live at the same time as the warm ones: being described, or in the course of being replaced.
const SPARE_INSTANCES: u32 = 16;

/// The engine that runs guests. Memory for `instances` of them is reserved, not used.
pub(super) fn host(instances: usize) -> wasmtime::Result<Engine> {
    let instances = u32::try_from(instances).unwrap_or(u32::MAX).saturating_add(SPARE_INSTANCES);
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .total_stacks(instances.saturating_mul(2))
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_core_instances_per_component(200)
        .max_memories_per_component(4)
        .max_tables_per_component(16)
        .table_elements(100_000)
        .max_unused_warm_slots(instances)
        .pagemap_scan(Enabled::Auto);
    let mut config = common();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    Engine::new(&config)
}

/// The engine that compiles: the same code, but without reserved memory, which would not fit the compiler's limits.
pub(super) fn compiler(functions: Arc<Functions>) -> wasmtime::Result<Engine> {
    let mut config = common();
    config.enable_incremental_compilation(functions)?;
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config)
}

/// Everything that the compiled code depends on: both engines must agree on it.
fn common() -> Config {
    let mut config = Config::new();
    config
        // Sync exports only: faster calls, and less code that a guest can reach.
        .concurrency_support(false)
        .wasm_component_model(true)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        // What Python components do not need, guests do not get.
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_backtrace_max_frames(None)
        // Recursion of Python ends in `RecursionError` or a trap well before the host's stack does.
        .max_wasm_stack(1 << 20)
        .async_stack_size(3 << 20)
        // The snapshot of a Python component is larger than the default of 16 MiB, beyond which copy-on-write is lost.
        .memory_guaranteed_dense_image_size(256 << 20);
    config
}

/// Advances the epoch once per [`TICK`], in a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let engine = engine.weak();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("subcast-ticker".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
