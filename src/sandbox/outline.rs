//! How a component is put together, read before it is compiled: what each of its instances takes of the engine's pools, and
//! whether functions of it call each other across components.
//!
//! The counts are exact, because core modules, core instances and canonical functions are refused in inner components. What
//! remains unknown (core modules that come from an import) does not link.

use wasmparser::{
    BinaryReaderError, CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentTypeRef, ElementItems,
    Instance, Payload,
};

use super::component::ComponentError;
use super::engine::{CORE_INSTANCES, MEMORIES, SEGMENT_ELEMENTS, TABLE_ELEMENTS, TABLES};

/// Bytes of one page of a memory.
const PAGE: u64 = 64 << 10;

/// Core modules of a valid component (`wasmparser`'s limit).
const MOST_MODULES: usize = 1_000;
/// Functions and instances of a valid component (`wasmparser`'s limit), a byte each.
const MOST_NAMED: usize = 1_000_000;

/// What a core module takes each time it is instantiated.
#[derive(Clone, Copy, Default)]
struct Needs {
    memories: u64,
    tables: u64,
    /// Bytes that its memories have at the start.
    bytes: u64,
    /// Elements of its segments. The engine keeps 16 bytes for each, in the host's memory, until they are dropped.
    elements: u64,
}

/// Where a function or an instance of a component comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The host.
    Import,
    /// The component itself, or one inside.
    Own,
}

/// See the module.
#[derive(Default)]
pub(super) struct Outline {
    /// The index space of core modules; `None` for those that are not in the file.
    modules: Vec<Option<Needs>>,
    functions: Vec<Origin>,
    instances: Vec<Origin>,
    /// Core instances that are made of modules.
    core_instances: u64,
    /// What these take together.
    taken: Needs,
    /// Elements of the largest table at the start.
    largest_table: u64,
    is_composed: bool,
}

impl Outline {
    /// Reads a part of the file. `depth` counts the components and core modules around it; the outermost component is 1.
    pub(super) fn read(&mut self, payload: &Payload<'_>, depth: usize) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    let bytes = memory?.initial.saturating_mul(PAGE);
                    if let Some(needs) = self.defined() {
                        needs.memories += 1;
                        needs.bytes = needs.bytes.saturating_add(bytes);
                    }
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.largest_table = self.largest_table.max(table?.ty.initial);
                    if let Some(needs) = self.defined() {
                        needs.tables += 1;
                    }
                }
            }
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    let count = match element?.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    };
                    if let Some(needs) = self.defined() {
                        needs.elements += u64::from(count);
                    }
                }
            }
            Payload::ModuleSection { .. } if depth == 1 => {
                push(&mut self.modules, Some(Needs::default()), MOST_MODULES);
            }
            Payload::ModuleSection { .. } | Payload::InstanceSection(_) | Payload::ComponentCanonicalSection(_)
                if depth > 1 =>
            {
                self.is_composed = true;
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        self.instantiate(module_index);
                    }
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section.clone() {
                    match function? {
                        CanonicalFunction::Lift { .. } => push(&mut self.functions, Origin::Own, MOST_NAMED),
                        CanonicalFunction::Lower { func_index, .. } => {
                            self.is_composed |= origin(&self.functions, func_index) == Origin::Own;
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section.clone() {
                    let kind = match import?.ty {
                        ComponentTypeRef::Module(_) => ComponentExternalKind::Module,
                        ComponentTypeRef::Func(_) => ComponentExternalKind::Func,
                        ComponentTypeRef::Instance(_) => ComponentExternalKind::Instance,
                        _ => continue,
                    };
                    self.named(kind, Origin::Import);
                }
            }
            Payload::ComponentInstanceSection(section) if depth == 1 => {
                for instance in section.clone() {
                    instance?;
                    self.named(ComponentExternalKind::Instance, Origin::Own);
                }
            }
            Payload::ComponentAliasSection(section) if depth == 1 => {
                for alias in section.clone() {
                    if let ComponentAlias::InstanceExport { kind, instance_index, .. } = alias? {
                        self.named(kind, origin(&self.instances, instance_index));
                    }
                }
            }
            // What is exported has another index from then on.
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section.clone() {
                    let export = export?;
                    match export.kind {
                        ComponentExternalKind::Module => {
                            let module = self.modules.get(export.index as usize).copied().flatten();
                            push(&mut self.modules, module, MOST_MODULES);
                        }
                        kind @ ComponentExternalKind::Func => self.named(kind, origin(&self.functions, export.index)),
                        kind => self.named(kind, origin(&self.instances, export.index)),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether an instance of it fits in a slot, and in this many bytes of memory.
    pub(super) fn check(&self, memory: usize) -> Result<(), ComponentError> {
        if self.is_composed {
            return Err(ComponentError::Composed);
        }
        for (what, wanted, share) in [
            ("core instances", self.core_instances, CORE_INSTANCES),
            ("tables", self.taken.tables, TABLES),
            ("memories", self.taken.memories, MEMORIES),
            ("elements of segments", self.taken.elements, SEGMENT_ELEMENTS),
        ] {
            if wanted > u64::from(share) {
                return Err(ComponentError::Share { what, wanted, share });
            }
        }
        if self.largest_table > TABLE_ELEMENTS as u64 {
            return Err(ComponentError::Table { wanted: self.largest_table, most: TABLE_ELEMENTS });
        }
        // The compiled form holds what every memory begins with, whether its module is instantiated or not.
        let defined = self.modules.iter().flatten().fold(0, |sum: u64, needs| sum.saturating_add(needs.bytes));
        let wanted = self.taken.bytes.max(defined);
        if wanted > memory as u64 {
            return Err(ComponentError::Memory { wanted, limit: memory });
        }
        Ok(())
    }

    /// The core module that is being read. Modules are read where they are defined, so that is the last one.
    fn defined(&mut self) -> Option<&mut Needs> {
        self.modules.last_mut()?.as_mut()
    }

    fn instantiate(&mut self, module: u32) {
        self.core_instances += 1;
        let Some(needs) = self.modules.get(module as usize).copied().flatten() else { return };
        self.taken.memories += needs.memories;
        self.taken.tables += needs.tables;
        self.taken.elements = self.taken.elements.saturating_add(needs.elements);
        self.taken.bytes = self.taken.bytes.saturating_add(needs.bytes);
    }

    fn named(&mut self, kind: ComponentExternalKind, origin: Origin) {
        match kind {
            ComponentExternalKind::Module => push(&mut self.modules, None, MOST_MODULES),
            ComponentExternalKind::Func => push(&mut self.functions, origin, MOST_NAMED),
            ComponentExternalKind::Instance => push(&mut self.instances, origin, MOST_NAMED),
            _ => {}
        }
    }
}

/// Adds to an index space. A component that has more is not valid, and the compiler says so.
fn push<T>(space: &mut Vec<T>, item: T, most: usize) {
    if space.len() < most {
        space.push(item);
    }
}

/// What has no origin is not valid, and the compiler says so.
fn origin(space: &[Origin], index: u32) -> Origin {
    space.get(index as usize).copied().unwrap_or(Origin::Import)
}
