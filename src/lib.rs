//! Subcast: real-time GraphQL subscriptions whose resolvers are Python, compiled to WebAssembly and run in a sandbox.
//!
//! The modules form layers; each imports only from lower ones (`tests/it/layers.rs` checks it). `docs/architecture.md`
//! tells the whole story.
//!
//! | layer | modules |
//! |---|---|
//! | words | [`ids`] [`event`] [`position`] [`principal`] [`outcome`] [`manifest`] [`text`] [`number`] [`digest`] [`pace`] [`budget`] [`footprint`] |
//! | pure | [`graphql`] [`protocol`] [`policy`] |
//! | mechanisms | [`sandbox`] [`bus`] [`outbox`] [`auth`] [`componentize`] [`tasks`] [`throttle`] [`aside`] [`supervision`] |
//! | meeting | [`modules`] [`registry`] |
//! | paths | [`delivery`] [`session`] |
//! | renewal | [`deploy`] |
//! | assembly | [`runtime`] |
//! | adapters | [`server`] [`cli`] `python` (with the feature of that name) |

pub mod aside;
pub mod auth;
pub mod budget;
pub mod bus;
pub mod cli;
pub mod componentize;
pub mod delivery;
pub mod deploy;
pub mod digest;
pub mod event;
#[doc(hidden)]
pub mod fault;
pub mod footprint;
pub mod graphql;
pub mod ids;
pub mod manifest;
pub mod modules;
pub mod number;
pub mod outbox;
pub mod outcome;
pub mod pace;
pub mod policy;
pub mod position;
pub mod principal;
pub mod protocol;
#[cfg(feature = "python")]
mod python;
pub mod registry;
pub mod runtime;
pub mod sandbox;
pub mod server;
pub mod session;
pub mod supervision;
pub mod tasks;
pub mod text;
pub mod throttle;
