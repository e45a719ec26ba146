//! What a protocol core asks its driver to do.

use serde_json::{Map, Value};

use super::{CloseCode, CloseReason, Request};
use crate::ids::OperationId;

/// One thing to do, in the order in which a core gives them.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Decide whether this client may connect, then answer with `accept` or `reject`.
    Authenticate {
        /// The `connection_init` payload; `None` if absent or `null`. Holds credentials: not for the log.
        payload: Option<Map<String, Value>>,
    },
    /// The client shows a new token on a live connection. Answer with `refreshed`, or `reject` if it does not hold.
    Refresh {
        /// `Bearer …`, as the client sent it. Not for the log.
        authorization: String,
    },
    /// Prepare an operation, then `start` it, or end it with `error`.
    Subscribe {
        /// The client's name for it. Free to be used again once the operation has ended.
        id: OperationId,
        /// What to execute.
        request: Request,
    },
    /// The client stopped an operation that was active or still being prepared: drop whatever works for it.
    Unsubscribe {
        /// Which one. It may come again in a later [`Output::Subscribe`], as an operation of its own.
        id: OperationId,
    },
    /// Send a text message.
    Send(String),
    /// Send a WebSocket ping frame.
    Ping,
    /// Send a close frame and leave. The last output: all operations have ended with it.
    Close {
        /// Tells the client whether to come back.
        code: CloseCode,
        /// Tells a human why.
        reason: CloseReason,
    },
}
