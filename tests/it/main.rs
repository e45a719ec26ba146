//! Integration tests: one binary, because linking the sandbox into several costs minutes.
#![allow(missing_docs, unreachable_pub, clippy::missing_panics_doc)]

#[path = "../projection/mod.rs"]
mod projection;

mod bad_input;
mod hostile;
mod layers;
mod leftovers;
mod order;
mod publish;
mod subscribe;
mod support;
