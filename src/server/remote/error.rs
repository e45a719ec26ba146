//! Why a host did not do what was asked.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

use super::ConnectError;
use super::exchange::ExchangeError;

/// Why events were not published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The token is missing or wrong, or one is needed.
    #[error("the host refused to publish: {0}")]
    Forbidden(String),
    /// The request is larger than the host allows; a smaller one may pass.
    #[error("the host refused the events: {0}")]
    TooLarge(String),
    /// The host says what is wrong with the events.
    #[error("the host refused the events: {0}")]
    Refused(String),
    /// An answer that no Subcast host gives.
    #[error("unexpected answer {status} of {url}; is this a Subcast host?")]
    Unexpected {
        /// HTTP status.
        status: u16,
        /// What was asked.
        url: String,
    },
    /// The connection broke.
    #[error("the connection broke before the host answered, so it is not known whether the events were published: {0}")]
    Broken(String),
}

impl From<ExchangeError> for PublishError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Connect(error) => Self::Connect(error),
            ExchangeError::Broken(reason) => Self::Broken(reason),
            ExchangeError::Token => Self::Forbidden(error.to_string()),
        }
    }
}

/// Why a host did not do what an operator asked.
#[derive(Debug, Error)]
pub enum AdminError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The host says why not.
    #[error("{0}")]
    Refused(String),
    /// An answer that no Subcast host gives.
    #[error("unexpected answer {status} of {url}; is this a Subcast host?")]
    Unexpected {
        /// HTTP status.
        status: u16,
        /// What was asked.
        url: String,
    },
    /// The connection broke.
    #[error("the connection broke before the host answered; `subcast modules` tells what is live: {0}")]
    Broken(String),
}

impl From<ExchangeError> for AdminError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Connect(error) => Self::Connect(error),
            ExchangeError::Broken(reason) => Self::Broken(reason),
            ExchangeError::Token => Self::Refused(error.to_string()),
        }
    }
}

/// Why a subscription did not begin, or why it ended.
#[derive(Debug, Error)]
pub enum SubscribeError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The host answers, but does not take a WebSocket.
    #[error("{url} does not take a WebSocket: {reason}")]
    Handshake {
        /// What was asked.
        url: String,
        /// Why.
        reason: String,
    },
    /// The host does not say what the protocol wants it to say.
    #[error("the host does not speak graphql-transport-ws: {0}")]
    Protocol(String),
    /// The operation is wrong, or it failed as a whole.
    #[error(transparent)]
    Operation(GraphqlErrors),
    /// The host closed the connection.
    #[error("the host closed the connection ({code}{}): {}", colon(.reason), meaning(*.code))]
    Closed {
        /// Close code.
        code: u16,
        /// Its reason; may be empty.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection to the host was lost: {0}")]
    Lost(String),
}

/// GraphQL errors, at least one.
#[derive(Debug)]
pub struct GraphqlErrors(pub(super) Vec<GraphqlError>);

#[derive(Debug, Deserialize)]
pub(super) struct GraphqlError {
    message: String,
    #[serde(default)]
    locations: Vec<Location>,
}

#[derive(Debug, Deserialize)]
struct Location {
    line: u32,
    column: u32,
}

impl std::error::Error for GraphqlErrors {}

impl fmt::Display for GraphqlErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            f.write_str(&error.message)?;
            if let Some(Location { line, column }) = error.locations.first() {
                write!(f, " (line {line}, column {column})")?;
            }
        }
        Ok(())
    }
}

fn colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// What a close code means for whoever subscribed, and what to do.
fn meaning(code: u16) -> &'static str {
    match code {
        1000 => "it is done",
        1001 => "it goes away",
        1009 => "the operation is larger than [server] max_message",
        1012 => "it restarts; subscribe again",
        1013 => "it is overloaded, or results were not read fast enough; subscribe again",
        3008 => "it did not hear from this client in time",
        4400 => "it did not understand this client",
        4401 => "the operation came before the acknowledgement",
        4403 => "the token is missing, wrong or expired; show a valid one",
        4406 => "it does not speak graphql-transport-ws",
        4408 => "this client was too slow to introduce itself",
        _ => "see its log",
    }
}
