//! Is this file a module of ours? Asked before it costs minutes to find out otherwise; its code is validated when it is
//! compiled.

use thiserror::Error;
use wasmparser::{ComponentExternalKind, Parser, Payload};

use super::outline::Outline;
use crate::text::quoted;

/// What every module exports, without the version.
const RESOLVERS: &str = "subcast:resolver/resolvers";
/// The version of the contract that this host speaks.
pub const CONTRACT: &str = "0.1.0";
/// Counts the changes of what [`check`] demands: what was compiled before is not checked again.
pub(super) const RULES: u32 = 2;
/// Imports from the contract that this host knows, all in its version.
const CONTRACT_IMPORTS: [&str; 5] = ["types", "log", "fetch", "kv", "settings"];
/// Bytes of a name that a message quotes.
const QUOTED: usize = 200;
/// Nobody compiles more than this.
pub(super) const MOST_BYTES: u64 = 256 << 20;
/// Components and core modules within each other. What `componentize-py` makes has two.
const MOST_LEVELS: usize = 8;

/// Why a file is not a module that can be loaded.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ComponentError {
    /// Not WebAssembly at all.
    #[error("it is not a WebAssembly component; build one from Python with `subcast build resolvers.py -o m.wasm`")]
    NotWasm,
    /// A core module.
    #[error("it is a core WebAssembly module, not a component; build one with `subcast build resolvers.py -o m.wasm`")]
    CoreModule,
    /// Cut off, or damaged.
    #[error("it is damaged ({0}); build it again")]
    Damaged(String),
    /// A component of another kind.
    #[error("it is a component, but not of resolvers: it does not export {RESOLVERS}; build one with `subcast build`")]
    NotResolvers,
    /// Another version of the contract.
    #[error(
        "it speaks version {found} of {RESOLVERS}, this host version {CONTRACT}; build it again with this version of subcast"
    )]
    OtherVersion {
        /// Its version.
        found: String,
    },
    /// Something that no host grants.
    #[error("it imports {0}, which this host does not know; build it with `subcast build`")]
    UnknownImport(String),
    /// Components that call each other: wasmtime joins them by code that copies between two memories, and several memories are
    /// off.
    #[error("it is composed of several components, which this host does not run; build it as one with `subcast build`")]
    Composed,
    /// More of a pooled resource than a slot of the engine has.
    #[error(
        "each of its instances takes {wanted} {what}, and a slot has {share}; build it with fewer native extensions"
    )]
    Share {
        /// The resource, in the plural.
        what: &'static str,
        /// How many of it an instance takes.
        wanted: u64,
        /// How many a slot has.
        share: u32,
    },
    /// A table that no place of the engine holds.
    #[error("a table of it begins with {wanted} elements, and {most} fit; build it with fewer native extensions")]
    Table {
        /// Its elements.
        wanted: u64,
        /// The limit.
        most: usize,
    },
    /// More memory at the start than the module may have at all.
    #[error(
        "each of its instances begins with {wanted} bytes of memory, and may have {limit} (`memory` of its module): raise that, or import less"
    )]
    Memory {
        /// Bytes at the start.
        wanted: u64,
        /// The limit.
        limit: usize,
    },
}

/// Checks what the component exports and imports, how it is put together, and what each of its instances takes at least.
/// Nothing is kept of it but a few words per core module, function and instance of the outermost component.
pub(super) fn check(bytes: &[u8], memory: usize) -> Result<(), ComponentError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(ComponentError::NotWasm);
    }
    if !Parser::is_component(bytes) {
        return Err(ComponentError::CoreModule);
    }
    let (mut resolvers, mut outline) = (Resolvers::default(), Outline::default());
    let mut depth = 0_usize;
    let damaged = |error: wasmparser::BinaryReaderError| ComponentError::Damaged(error.message().to_owned());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(damaged)?;
        match payload {
            Payload::Version { .. } => {
                depth += 1;
                // The parser keeps something for each level.
                if depth > MOST_LEVELS {
                    return Err(ComponentError::Composed);
                }
                continue;
            }
            Payload::End(_) => {
                depth = depth.saturating_sub(1);
                continue;
            }
            Payload::ComponentExportSection(ref section) if depth == 1 => {
                for export in section.clone() {
                    let export = export.map_err(damaged)?;
                    if export.kind == ComponentExternalKind::Instance {
                        resolvers.exported(export.name.name);
                    }
                }
            }
            Payload::ComponentImportSection(ref section) if depth == 1 => {
                for import in section.clone() {
                    let name = import.map_err(damaged)?.name.name;
                    if !is_known(name) {
                        return Err(ComponentError::UnknownImport(quoted(name, QUOTED)));
                    }
                }
            }
            _ => {}
        }
        outline.read(&payload, depth).map_err(damaged)?;
    }
    resolvers.check()?;
    outline.check(memory)
}

/// What is exported under the name of the contract.
#[derive(Default)]
struct Resolvers {
    ours: bool,
    /// The first other version.
    other: Option<String>,
}

impl Resolvers {
    fn exported(&mut self, name: &str) {
        match name.strip_prefix(RESOLVERS).and_then(|rest| rest.strip_prefix('@')) {
            None => {}
            Some(CONTRACT) => self.ours = true,
            Some(other) => {
                self.other.get_or_insert_with(|| quoted(other, QUOTED));
            }
        }
    }

    fn check(self) -> Result<(), ComponentError> {
        match self.other {
            _ if self.ours => Ok(()),
            None => Err(ComponentError::NotResolvers),
            Some(found) => Err(ComponentError::OtherVersion { found }),
        }
    }
}

fn is_known(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    let ours = interface.strip_prefix("subcast:resolver/").is_some_and(|name| CONTRACT_IMPORTS.contains(&name));
    // Every component of Python imports files and sockets; it gets clocks, randomness and output.
    let wasi = interface.starts_with("wasi:") && version.starts_with("0.2.");
    (ours && version == CONTRACT) || wasi
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_refused_with_what_to_do() {
        let check = |bytes: &[u8]| check(bytes, 1 << 20);
        assert_eq!(check(b"print('hello')"), Err(ComponentError::NotWasm));
        assert_eq!(check(b"\0asm\x01\0\0\0"), Err(ComponentError::CoreModule));
        assert_eq!(check(b"\0asm\x0d\0\x01\0"), Err(ComponentError::NotResolvers));
        assert!(matches!(check(b"\0asm\x0d\0\x01\0\x07\x99\x99"), Err(ComponentError::Damaged(_))));
    }

    #[test]
    fn components_within_components_end_somewhere() {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for _ in 0..10_000 {
            let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
            wasm_encoder::Section::append_to(&wasm_encoder::RawSection { id: 4, data: &bytes }, &mut outer);
            bytes = outer;
        }
        assert_eq!(check(&bytes, 1 << 20), Err(ComponentError::Composed));
    }

    #[test]
    fn the_version_of_the_contract_must_be_ours() {
        let check = |names: &[&str]| {
            let mut resolvers = Resolvers::default();
            for name in names {
                resolvers.exported(name);
            }
            resolvers.check()
        };
        assert_eq!(check(&["subcast:resolver/resolvers@0.1.0"]), Ok(()));
        assert_eq!(check(&["subcast:resolver/resolvers@0.9.0", "subcast:resolver/resolvers@0.1.0"]), Ok(()));
        let other = check(&["subcast:resolver/resolvers@0.9.0", "subcast:resolver/resolvers@0.8.0"]).unwrap_err();
        assert_eq!(other, ComponentError::OtherVersion { found: "0.9.0".to_owned() });
        assert_eq!(check(&["wasi:cli/run@0.2.0"]), Err(ComponentError::NotResolvers));
    }

    #[test]
    fn only_imports_that_the_host_knows_are_accepted() {
        for known in ["wasi:io/streams@0.2.0", "wasi:sockets/tcp@0.2.6", "subcast:resolver/kv@0.1.0"] {
            assert!(is_known(known), "{known}");
        }
        for unknown in
            ["wasi:http/types@0.3.0", "subcast:resolver/kv@0.2.0", "subcast:resolver/root@0.1.0", "evil:x/y@1.0.0", "f"]
        {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
