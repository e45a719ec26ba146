//! What a client says: one text frame, read into a message or found malformed.
//!
//! Reading borrows from the frame and builds no tree: payloads stay raw until the connection knows that it wants them.
//! The parser skips them without recursion, so nesting costs no stack, however deep.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ids::OperationId;
use crate::protocol::nesting::{self, deeper_than};
use crate::protocol::request::{RawRequest, is_object};

/// Bytes that an operation id may have. Clients use numbers and UUIDs.
const MAX_ID_BYTES: usize = 256;

/// A well-formed message from a client.
pub(super) enum ClientMessage<'a> {
    ConnectionInit { payload: Option<&'a RawValue> },
    Ping { payload: Option<&'a RawValue> },
    Pong,
    Subscribe { id: OperationId, request: RawRequest<'a>, nesting: Nesting },
    Complete { id: OperationId },
}

/// Whether a message stays within [`super::Config::max_depth`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nesting {
    Fine,
    TooDeep,
}

/// Why a text is not a message. Displayed as the reason of close code 4400.
#[derive(thiserror::Error, Debug)]
pub(super) enum Malformed {
    /// The reference implementation's words.
    #[error("Invalid message received")]
    Invalid,
    #[error("Unexpected message of type {0} received")]
    Unexpected(&'static str),
    #[error("Operation id is longer than {MAX_ID_BYTES} bytes")]
    LongId,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    /// Raw, since messages without a meaning for `id` may carry anything there.
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

impl<'a> ClientMessage<'a> {
    /// Reads one text frame.
    pub(super) fn parse(text: &'a str, max_depth: usize) -> Result<Self, Malformed> {
        // `serde` would also take an array for a struct.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Malformed::Invalid);
        }
        let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|_| Malformed::Invalid)?;
        let nesting = if deeper_than(text, max_depth.min(nesting::DEEPEST)) { Nesting::TooDeep } else { Nesting::Fine };
        match (&*envelope.kind, nesting) {
            ("subscribe", nesting) => {
                let id = operation_id(envelope.id)?;
                let request = envelope.payload.and_then(RawRequest::parse).ok_or(Malformed::Invalid)?;
                Ok(Self::Subscribe { id, request, nesting })
            }
            (_, Nesting::TooDeep) => Err(Malformed::Invalid),
            ("complete", _) => Ok(Self::Complete { id: operation_id(envelope.id)? }),
            ("connection_init", _) => Ok(Self::ConnectionInit { payload: object(envelope.payload)? }),
            ("ping", _) => Ok(Self::Ping { payload: object(envelope.payload)? }),
            ("pong", _) => object(envelope.payload).map(|_| Self::Pong),
            ("connection_ack", _) => Err(Malformed::Unexpected("connection_ack")),
            ("next", _) => Err(Malformed::Unexpected("next")),
            ("error", _) => Err(Malformed::Unexpected("error")),
            _ => Err(Malformed::Invalid),
        }
    }
}

/// The token in a ping's payload, if that is what it carries.
pub(super) fn authorization(payload: &RawValue) -> Result<Option<String>, Malformed> {
    #[derive(Deserialize)]
    struct Refresh<'a> {
        #[serde(borrow, default)]
        authorization: Option<&'a RawValue>,
    }
    let refresh: Refresh<'_> = serde_json::from_str(payload.get()).map_err(|_| Malformed::Invalid)?;
    // Something else under that name is no token, and the ping is echoed like any other.
    Ok(refresh.authorization.and_then(|token| serde_json::from_str(token.get()).ok()))
}

fn operation_id(json: Option<&RawValue>) -> Result<OperationId, Malformed> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    let json = json.ok_or(Malformed::Invalid)?;
    let Text(id) = serde_json::from_str(json.get()).map_err(|_| Malformed::Invalid)?;
    match id.len() {
        0 => Err(Malformed::Invalid),
        1..=MAX_ID_BYTES => Ok(OperationId::new(&id)),
        _ => Err(Malformed::LongId),
    }
}

/// A payload that is an object, absent or `null`.
fn object(payload: Option<&RawValue>) -> Result<Option<&RawValue>, Malformed> {
    if payload.is_none_or(is_object) { Ok(payload) } else { Err(Malformed::Invalid) }
}
