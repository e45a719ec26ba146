//! Wire protocols, as pure functions and state machines.
//!
//! Nothing here owns a socket, reads a clock, takes a lock or waits: bytes and the time come in as arguments, decisions
//! come out as values. The WebSocket server, the ASGI adapter and the tests drive the very same cores.
//!
//! | module | speaks |
//! |---|---|
//! | [`transport_ws`] | `graphql-transport-ws`, server side |
//! | [`publish`] | bodies of `POST /events`: plain events, NDJSON, `CloudEvents` |
//!
//! What several protocols share lies beside them: the [`Request`] a client sends, the [`Output`] a core asks its driver
//! to perform, [`CloseCode`] and [`CloseReason`], the choice of a [`Subprotocol`], and the frames themselves.

mod close;
mod frame;
mod nesting;
mod output;
pub mod publish;
mod request;
mod subprotocol;
pub mod transport_ws;

pub use close::{CloseCode, CloseReason};
pub use frame::{FramePrefix, next_frame};
pub use output::Output;
pub use request::{Request, Unreadable};
pub use subprotocol::{Subprotocol, negotiate};

#[cfg(test)]
mod tests;
