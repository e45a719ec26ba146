//! `graphql-transport-ws`, server side, without a socket and without a clock.
//!
//! ```text
//!             connection_init          accept()              subscribe        start(id)
//! AwaitingInit ─────────────► Authenticating ──► Acknowledged ────────► Preparing ─────► Active
//!      │ 4408 after init_timeout    │ reject(): 4403               error(id), complete(id), or
//!      ▼                            ▼                              the client's complete free the id
//!   Closed ◄── any violation, close(), reject(), no sign of life (3008)
//! ```
//!
//! A driver calls, for whatever happened: one `handle_*` or one command; then [`Connection::poll_output`] until it gives
//! `None`, performing each [`Output`](super::Output) in order; then [`Connection::poll_timeout`] to know when to call
//! [`Connection::handle_timeout`]. Every call queues at most one output, so what waits is bounded by what came in.
//!
//! A violation by the client is data (`Output::Close`), never an error or a panic. After `Output::Close` nothing follows.
//!
//! Choices that the specification leaves open:
//! - A message of a type that only servers send is closed with 4400, like an unknown one.
//! - A member that occurs twice in a message makes it malformed (4400): two readers could see two messages.
//! - Too many operations, or a `subscribe` nested too deep, is an `error` for that id: the other operations on the socket
//!   have done nothing wrong, and 4400 would end them. Any other message nested too deep is closed with 4400.
//! - An id may have 256 bytes, else 4400: the server keeps ids, so their size is bounded.
//! - Any frame counts as a sign of life and postpones the next ping.
//! - A `ping` whose payload carries `authorization` shows a new token. It is never echoed; before the acknowledgement it
//!   gets a bare `pong`, since every ping must be answered.

mod config;
mod connection;
mod keep_alive;
mod message;

pub use config::Config;
pub use connection::Connection;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transcript;
