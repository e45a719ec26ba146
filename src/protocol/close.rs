//! How a WebSocket ends: the code decides whether a client comes back, the reason tells a human why.

use std::fmt;

/// The close codes that this server uses. Clients retry after some and give up after others, so the choice matters:
/// what a client should retry never gets a code that the reference client takes for fatal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum CloseCode {
    /// The client is done. Nobody retries.
    NormalClosure = 1000,
    /// This server goes away for good. Clients retry, perhaps elsewhere.
    GoingAway = 1001,
    /// A frame that RFC 6455 does not allow. Fatal.
    ProtocolError = 1002,
    /// A text frame that is not UTF-8. Fatal.
    InvalidPayload = 1007,
    /// A message was larger than the server reads. Fatal: the same message would be as large again.
    MessageTooBig = 1009,
    /// Drain before a restart. Clients retry.
    ServiceRestart = 1012,
    /// Overload, or a client too slow for its subscriptions. Clients retry.
    TryAgainLater = 1013,
    /// No sign of life within the pong timeout. Clients retry; the code is the registered one for time-outs.
    Timeout = 3008,
    /// A message that the protocol does not allow. Fatal.
    BadRequest = 4400,
    /// An operation before the acknowledgement. Fatal.
    Unauthorized = 4401,
    /// The credential was refused, has expired or was revoked. Clients retry with a fresh one.
    Forbidden = 4403,
    /// The client offered no subprotocol that is served. Fatal.
    SubprotocolNotAcceptable = 4406,
    /// No `connection_init` in time. Clients retry.
    InitialisationTimeout = 4408,
    /// The id of a new operation is in use. Fatal.
    SubscriberAlreadyExists = 4409,
    /// A second `connection_init`. Fatal.
    TooManyInitialisationRequests = 4429,
    /// A bug of ours. Fatal.
    InternalServerError = 4500,
}

impl CloseCode {
    /// The number in the close frame.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self as u16
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.as_u16()
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_u16().fmt(f)
    }
}

/// The text in a close frame: always short enough for one (RFC 6455 §5.5 leaves 123 bytes beside the code).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CloseReason(Box<str>);

impl CloseReason {
    /// Bytes that a reason may have.
    pub const MAX_BYTES: usize = 123;

    /// The text, cut at the last character that fits.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Box::from(&text[..text.floor_char_boundary(Self::MAX_BYTES)]))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
