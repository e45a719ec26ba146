//! Chunks instead of instructions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use wasm_encoder::{
    ConstExpr, DataSection, ExportKind, ExportSection, FunctionSection, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};
use wasmtime::{Engine, Instance, Store, UpdateDeadline};

use super::super::engine;
use super::*;

const BYTES: u32 = 16 << 16;
const MANY: u32 = CHUNK.cast_unsigned();

/// A module with one memory and a function for each of the instructions.
fn plain() -> Vec<u8> {
    let (mut types, mut functions, mut memories) = (TypeSection::new(), FunctionSection::new(), MemorySection::new());
    types.ty().function([ValType::I32; 3], []);
    let size = Some(u64::from(BYTES >> 16));
    memories.memory(MemoryType {
        minimum: u64::from(BYTES >> 16),
        maximum: size,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let (mut exports, mut code, mut data) = (ExportSection::new(), CodeSection::new(), DataSection::new());
    exports.export("memory", ExportKind::Memory, 0);
    for (number, (name, bulk)) in (0..).zip([("fill", Bulk::Fill), ("copy", Bulk::Copy), ("init", Bulk::Init(1))]) {
        functions.function(0);
        exports.export(name, ExportKind::Func, number);
        let mut function = Function::new([]);
        once(function.instructions().local_get(DST).local_get(SRC).local_get(LEN), bulk).end();
        code.function(&function);
    }
    data.active(0, &ConstExpr::i32_const(0), *b"begin");
    data.passive(segment());
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&exports);
    module.section(&wasm_encoder::DataCountSection { count: 2 }).section(&code).section(&data);
    module.finish()
}

fn segment() -> Vec<u8> {
    (0..4 * MANY).map(|at| u8::try_from(at / 3 % 251).unwrap()).collect()
}

struct Run {
    store: Store<()>,
    instance: Instance,
}

impl Run {
    fn new(engine: &Engine, module: &[u8]) -> Self {
        let module = wasmtime::Module::new(engine, module).unwrap();
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let mut run = Self { store, instance };
        let varied: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at * 7 / 5 % 253).unwrap()).collect();
        run.memory().copy_from_slice(&varied);
        run
    }

    fn memory(&mut self) -> &mut [u8] {
        self.instance.get_memory(&mut self.store, "memory").unwrap().data_mut(&mut self.store)
    }

    fn call(&mut self, name: &str, dst: u32, src: u32, len: u32) -> bool {
        let function = self.instance.get_typed_func::<(u32, u32, u32), ()>(&mut self.store, name).unwrap();
        function.call(&mut self.store, (dst, src, len)).is_ok()
    }
}

fn engine() -> Engine {
    engine::compiler(Arc::default()).unwrap()
}

/// Places and lengths about the borders of chunks and of the memory, and elsewhere.
fn number() -> impl Strategy<Value = u32> {
    let near = (0..=8_u32, 0..5_u32).prop_map(|(chunks, more)| (chunks * MANY + more).saturating_sub(2));
    prop_oneof![4 => near, 2 => 0..BYTES + 10, 1 => (u32::MAX - 300_000)..=u32::MAX]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn chunks_do_what_the_instruction_does(
        name in prop_oneof![Just("fill"), Just("copy"), Just("init")], dst in number(), src in number(), len in number()
    ) {
        let engine = engine();
        let (mut one, mut many) = (Run::new(&engine, &plain()), Run::new(&engine, &module(&plain()).unwrap()));
        let outcome = one.call(name, dst, src, len);
        prop_assert_eq!(outcome, many.call(name, dst, src, len));
        // A trap ends the instance; a segment that is too short is found out at the chunk that it lacks.
        if outcome || name != "init" {
            prop_assert!(one.memory() == many.memory());
        }
    }
}

#[test]
fn whoever_writes_much_is_interrupted_meanwhile() {
    let engine = engine();
    let looks = |module: &[u8], name: &str| {
        let mut run = Run::new(&engine, module);
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        // The time is always up.
        run.store.epoch_deadline_callback(move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            Ok(UpdateDeadline::Continue(0))
        });
        run.store.set_epoch_deadline(0);
        assert!(run.call(name, 10, 5, 4 * MANY - 5) && count.load(Ordering::Relaxed) > 0);
        count.load(Ordering::Relaxed)
    };
    for name in ["fill", "copy", "init"] {
        let (one, many) = (looks(&plain(), name), looks(&module(&plain()).unwrap(), name));
        assert!(many >= one + 3, "{name}: {many} looks at the epoch, and {one} before");
    }
}

#[test]
fn modules_inside_of_components_are_changed_and_all_else_stays() {
    let in_component = |id: ComponentSectionId, content: &[u8]| {
        let mut component = wasm_encoder::Component::HEADER.to_vec();
        section(0, b"\x04nameDATA", &mut component);
        section(id as u8, content, &mut component);
        section(0, b"\x04lastDATA", &mut component);
        component
    };
    let nested = |module: &[u8]| {
        in_component(ComponentSectionId::Component, &in_component(ComponentSectionId::CoreModule, module))
    };
    let made = interruptible(&nested(&plain())).unwrap();
    assert_eq!(made, nested(&module(&plain()).unwrap()));
    let features = wasmparser::WasmFeatures::default();
    wasmparser::Validator::new_with_features(features).validate_all(&module(&plain()).unwrap()).unwrap();
    // Nothing to change: byte for byte the same.
    let empty = nested(&Module::new().finish());
    assert_eq!(interruptible(&empty).unwrap(), empty);
}

#[test]
fn what_is_no_component_is_an_error_and_no_panic() {
    let made = interruptible(&plain()).unwrap();
    assert_eq!(made, plain());
    for length in 0..plain().len().min(400) {
        let _ = interruptible(&plain()[..length]);
        let _ = module(&plain()[..length]);
    }
}
