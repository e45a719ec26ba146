//! The client side of the command line: subscribe over WebSocket, publish and administer over HTTP. Small on purpose: one operation per
//! connection, no reconnecting, no TLS.

mod address;
mod admin;
mod connect;
mod error;
mod exchange;
mod local;
mod publish;
mod subscribe;
#[cfg(test)]
mod tests;

pub use address::{Address, AddressError};
pub use admin::{Admin, Permission};
pub use connect::ConnectError;
pub use error::{AdminError, GraphqlErrors, PublishError, SubscribeError};
pub use exchange::{Credential, ExchangeError};
pub use local::{LocalError, local_credential};
pub use publish::Publisher;
pub use subscribe::{Operation, Subscription};
