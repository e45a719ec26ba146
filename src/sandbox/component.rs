//! Is this file a module of ours? Asked before it costs minutes to find out otherwise; its code is validated when it is
//! compiled.

use std::collections::BTreeSet;

use thiserror::Error;
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

use crate::text::quoted;

/// What every module exports, without the version.
const RESOLVERS: &str = "subcast:resolver/resolvers";
/// The version of the contract that this host speaks.
pub const CONTRACT: &str = "0.1.0";
/// Imports from the contract that this host knows, all in its version.
/// Counts the changes of what [`check`] demands: what was compiled before is not checked again.
pub(super) const RULES: u32 = 1;
const CONTRACT_IMPORTS: [&str; 5] = ["types", "log", "fetch", "kv", "settings"];
/// Bytes of a name that a message quotes.
const QUOTED: usize = 200;
/// Nobody compiles more than this.
pub(super) const MOST_BYTES: u64 = 256 << 20;

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
}

/// Checks what the component exports and imports.
pub(super) fn check(bytes: &[u8]) -> Result<(), ComponentError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(ComponentError::NotWasm);
    }
    if !Parser::is_component(bytes) {
        return Err(ComponentError::CoreModule);
    }
    let (mut exports, mut imports) = (BTreeSet::new(), BTreeSet::new());
    let mut depth = 0_u32;
    let damaged = |error: wasmparser::BinaryReaderError| ComponentError::Damaged(error.message().to_owned());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::Version { encoding: Encoding::Component, .. } if depth == 0 => depth = 1,
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    let export = export.map_err(damaged)?;
                    if export.kind == ComponentExternalKind::Instance {
                        exports.insert(export.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.insert(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    check_export(&exports)?;
    match imports.into_iter().find(|name| !is_known(name)) {
        Some(unknown) => Err(ComponentError::UnknownImport(quoted(&unknown, QUOTED))),
        None => Ok(()),
    }
}

fn check_export(exports: &BTreeSet<String>) -> Result<(), ComponentError> {
    let versions: Vec<_> = exports.iter().filter_map(|name| name.strip_prefix(RESOLVERS)?.strip_prefix('@')).collect();
    match versions.first() {
        None => Err(ComponentError::NotResolvers),
        Some(_) if versions.contains(&CONTRACT) => Ok(()),
        Some(found) => Err(ComponentError::OtherVersion { found: quoted(found, QUOTED) }),
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
        assert_eq!(check(b"print('hello')"), Err(ComponentError::NotWasm));
        assert_eq!(check(b"\0asm\x01\0\0\0"), Err(ComponentError::CoreModule));
        assert_eq!(check(b"\0asm\x0d\0\x01\0"), Err(ComponentError::NotResolvers));
        assert!(matches!(check(b"\0asm\x0d\0\x01\0\x07\x99\x99"), Err(ComponentError::Damaged(_))));
    }

    #[test]
    fn the_version_of_the_contract_must_be_ours() {
        let exports = |name: &str| BTreeSet::from([name.to_owned()]);
        assert_eq!(check_export(&exports("subcast:resolver/resolvers@0.1.0")), Ok(()));
        let other = check_export(&exports("subcast:resolver/resolvers@0.9.0")).unwrap_err();
        assert_eq!(other, ComponentError::OtherVersion { found: "0.9.0".to_owned() });
        assert_eq!(check_export(&exports("wasi:cli/run@0.2.0")), Err(ComponentError::NotResolvers));
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
