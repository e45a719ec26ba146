//! The host's side of `wit/resolver.wit`, generated, and the way between its records and our words.

#![allow(missing_docs, clippy::pedantic, reason = "generated; the contract itself is documented in wit/")]

wasmtime::component::bindgen!({
    path: "wit",
    world: "resolver",
    exports: { default: async },
    ownership: Borrowing { duplicate_if_necessary: true },
});
