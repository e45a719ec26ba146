//! The wasmtime engine, narrowed to what is used, and the clock that interrupts guests.

use crate::pace;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::functions::Functions;
use crate::supervision::Alarm;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmFeatures};

/// One epoch: guests are interrupted, or give way to others of their thread, at this pace.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Instances that live at the same time as the warm ones: being described ([`DESCRIBED`]), or done and not given back yet.
pub(super) const SPARE_INSTANCES: u32 = 16;
/// Modules that are started at the same time to be asked what they are. Together with what the reclaimer holds, they fit in
/// [`SPARE_INSTANCES`].
pub(super) const DESCRIBED: usize = 4;

// The share of one slot. A component that takes more is refused when it is loaded, so that instances never lack what other
// modules have taken: an engine has as many shares as instances.

/// Core instances: each shared library of a component is one, and a Python component without native extensions has 14. The
/// engine only counts them.
pub(super) const CORE_INSTANCES: u32 = 200;
/// Linear memories, of 4 GiB of address space each. A Python component has 1.
pub(super) const MEMORIES: u32 = 2;
/// Tables. A Python component has 2.
pub(super) const TABLES: u32 = 4;
/// Elements of one table, 8 bytes of address space each; a Python component has some 6,000.
pub(super) const TABLE_ELEMENTS: usize = 100_000;
/// Elements of all element segments of an instance, 16 bytes of the host's memory each; a Python component has some 6,000.
/// Without this bound 400,000 in one core module that is instantiated 100 times took 640 MB beside `memory`.
pub(super) const SEGMENT_ELEMENTS: u32 = 100_000;
/// Fiber stacks. A call takes one; the second is for the stack of an instance that is being given back.
const STACKS: u32 = 2;
/// Bytes of the host that hold what the core instances of an instance consist of, besides memories and tables: functions,
/// globals, imports.
const INSTANCE_BYTES: usize = 10 << 20;

/// The engine that runs guests. Memory for `instances` of them is reserved, not used.
pub(super) fn host(instances: usize) -> wasmtime::Result<Engine> {
    let instances = u32::try_from(instances).unwrap_or(u32::MAX).saturating_add(SPARE_INSTANCES);
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks(instances.saturating_mul(STACKS))
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        // No component may take more than the share of a slot.
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
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

/// What guests may use: the parts of WebAssembly 2.0, which `CPython` and native extensions are compiled to; constants that
/// add an address to a base, which is how those are linked; and components.
const NEEDED: WasmFeatures =
    WasmFeatures::WASM2.union(WasmFeatures::EXTENDED_CONST).union(WasmFeatures::COMPONENT_MODEL);

/// Everything that the compiled code depends on: both engines must agree on it.
fn common() -> Config {
    let mut config = Config::new();
    config
        // Sync exports only: faster calls, and less code that a guest can reach.
        .concurrency_support(false)
        .wasm_component_model(true)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        // A list of what there is, so that nothing joins it with a new version: threads, shared memories, garbage
        // collection, exceptions, tail calls, 64-bit or several memories, async components and all the rest are off.
        .wasm_features(WasmFeatures::all().difference(NEEDED), false)
        .shared_memory(false)
        .gc_support(false)
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
    /// Starts the thread. Guests that loop would never be stopped without it, so its end by a bug raises the alarm.
    pub(super) fn start(engine: &Engine, alarm: Alarm) -> std::io::Result<Self> {
        let engine = engine.weak();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("subcast-ticker".to_owned()).spawn(move || {
            pace::prompt();
            alarm.guard_thread("the ticker", || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    match engine.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => break,
                    }
                }
            });
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

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Module;
    use wasmtime::component::Component;

    /// A module with one function of this body, locals included.
    fn function(body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).unwrap();
        let mut module = vec![1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, length + 2, 1, length];
        module.extend(body);
        module
    }

    fn core(engine: &Engine, sections: &[u8]) -> wasmtime::Result<()> {
        Module::validate(engine, &[b"\0asm\x01\0\0\0", sections].concat())
    }

    #[test]
    fn what_python_components_do_not_need_is_refused() {
        let engine = compiler(Arc::default()).unwrap();
        core(&engine, &function(&[0, 0x0b])).unwrap();
        core(&engine, &[5, 3, 1, 0, 1]).unwrap();
        core(&engine, &[6, 9, 1, 0x7f, 0, 0x41, 1, 0x41, 1, 0x6a, 0x0b]).unwrap();
        let zero = [&[0xfd, 0x0c][..], &[0; 16]].concat();
        let relaxed = [&[0][..], &zero, &zero, &[0xfd, 0x80, 0x02, 0x1a, 0x0b]].concat();
        let features: [(&str, Vec<u8>); 12] = [
            ("memory64", vec![5, 3, 1, 4, 0]),
            ("shared memory", vec![5, 4, 1, 3, 0, 1]),
            ("custom page sizes", vec![5, 4, 1, 8, 0, 0]),
            ("several memories", vec![5, 5, 2, 0, 0, 0, 0]),
            ("structs", vec![1, 3, 1, 0x5f, 0]),
            ("typed function references", vec![1, 9, 2, 0x60, 0, 0, 0x60, 1, 0x64, 0, 0]),
            ("tags", vec![1, 4, 1, 0x60, 0, 0, 13, 3, 1, 0, 0]),
            ("legacy exceptions", function(&[0, 0x06, 0x40, 0x19, 0x0b, 0x0b])),
            ("atomics", function(&[0, 0xfe, 3, 0, 0x0b])),
            ("tail calls", function(&[0, 0x12, 0, 0x0b])),
            ("wide arithmetic", function(&[0, 0x42, 0, 0x42, 0, 0x42, 0, 0x42, 0, 0xfc, 0x13, 0x1a, 0x1a, 0x0b])),
            ("relaxed SIMD", function(&relaxed)),
        ];
        for (feature, sections) in features {
            let refused = core(&engine, &sections).expect_err(feature);
            // Because of the feature, and not because the test's bytes are none.
            let refused = format!("{refused:#}");
            assert!(
                ["enabled", "support", "required", "multiple"].iter().any(|why| refused.contains(why)),
                "{feature}: {refused}"
            );
        }
        let component = |sections: &[u8]| Component::new(&engine, [b"\0asm\x0d\0\x01\0", sections].concat());
        assert!(component(&[7, 3, 1, 0x70, 0x7d]).is_ok());
        let types: [(&str, &[u8]); 5] = [
            ("streams", &[7, 3, 1, 0x66, 0]),
            ("futures", &[7, 3, 1, 0x65, 0]),
            ("error contexts", &[7, 2, 1, 0x64]),
            ("lists of fixed length", &[7, 4, 1, 0x67, 0x7d, 2]),
            ("maps", &[7, 4, 1, 0x63, 0x73, 0x7d]),
        ];
        for (feature, sections) in types {
            let refused = component(sections).err().map(|error| format!("{error:#}")).expect(feature);
            assert!(refused.contains("feature"), "{feature}: {refused}");
        }
    }
}
