//! The client side of the command line: subscribe over WebSocket, publish over HTTP. Small on purpose: one operation per
//! connection, no reconnecting, no TLS.

mod address;
mod connect;
mod error;
mod publish;
mod subscribe;
#[cfg(test)]
mod tests;

pub use address::{Address, AddressError};
pub use connect::ConnectError;
pub use error::{GraphqlErrors, PublishError, SubscribeError};
pub use publish::Publisher;
pub use subscribe::{Operation, Subscription};
