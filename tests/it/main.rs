//! Integration tests: one binary, because linking the sandbox into several costs minutes.
#![allow(missing_docs, unreachable_pub, reason = "tests are read, not called")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "what tests spawn ends with them")]

#[path = "../projection/mod.rs"]
mod projection;

mod access;
mod bad_input;
mod budgets;
mod command_line;
mod completions;
mod costs;
mod damage;
mod decisions;
mod hostile;
mod hostile_components;
mod hostile_guests;
mod hostile_loads;
mod isolation;
mod layers;
mod leftovers;
mod limits;
mod local_credential;
mod log;
mod order;
mod publish;
mod registry_model;
mod slots;
mod subscribe;
mod supervision;
mod support;
mod swap;
mod swap_ends;
mod swap_refusals;
mod turns;
mod values;
mod versions;
