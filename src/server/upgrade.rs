//! From an HTTP request to a WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::pages::Told;
use super::response::{Reply, refusal};
use super::{Shared, access, socket};
use crate::protocol::{CloseCode, CloseReason, Subprotocol, negotiate};
use crate::runtime::Seat;
use crate::session::Session;

const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
const PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// Per connection, and much of what an idle one costs. What clients send is mostly smaller.
const READ_BUFFER: usize = 2 * 1024;
/// Frames are collected up to this size before the socket is written to.
const WRITE_BUFFER: usize = 64 * 1024;

/// Where a request leaves the socket that it wants upgraded.
pub(super) type Slot = Mutex<Option<oneshot::Sender<Pending>>>;

/// An agreed upgrade, before its socket is handed over.
pub(super) struct Pending {
    upgrade: OnUpgrade,
    subprotocol: Option<Subprotocol>,
    shown: Vec<(String, String)>,
    seat: Seat,
}

/// Whether the request asks for a WebSocket.
pub(super) fn is_requested(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Agrees to the upgrade, or says why not.
pub(super) fn accept(shared: &Shared, mut request: Request<Incoming>, peer: SocketAddr, slot: &Slot) -> Reply {
    let headers = request.headers();
    if let Err(foreign) = shared.check_page(headers, peer, Told::Origin) {
        return refusal(StatusCode::FORBIDDEN, foreign.message());
    }
    if headers.get(&VERSION).is_none_or(|version| version.as_bytes() != b"13") {
        let mut reply = refusal(StatusCode::UPGRADE_REQUIRED, "only version 13 of WebSocket is supported");
        reply.headers_mut().insert(VERSION, HeaderValue::from_static("13"));
        return reply;
    }
    let Some(accept) = headers.get(&KEY).map(|key| derive_accept_key(key.as_bytes())) else {
        return refusal(StatusCode::BAD_REQUEST, "the header Sec-WebSocket-Key is missing");
    };
    let Some(seat) = shared.runtime.connections().admit() else {
        let mut reply = refusal(StatusCode::SERVICE_UNAVAILABLE, "too many connections; try again later");
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return reply;
    };
    let offered: Vec<&str> = headers.get_all(&PROTOCOL).iter().filter_map(|value| value.to_str().ok()).collect();
    let subprotocol = negotiate(&offered.join(","));
    let shown = access::shown(headers, &shared.runtime.services().authenticator);

    let mut reply = Response::new(Full::new(Bytes::new()));
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    reply.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        reply.headers_mut().insert(ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        reply.headers_mut().insert(PROTOCOL, HeaderValue::from_static(subprotocol.as_str()));
    }
    let pending = Pending { upgrade: hyper::upgrade::on(&mut request), subprotocol, shown, seat };
    // With them go the spellings of the request's header names: `gql` finds its subprotocol only as it spelt it itself.
    *reply.extensions_mut() = std::mem::take(request.extensions_mut());
    if let Some(slot) = slot.lock().take() {
        let _ = slot.send(pending);
    }
    reply
}

/// Runs the WebSocket until it ends.
pub(super) async fn run(shared: Arc<Shared>, pending: Pending, peer: SocketAddr) {
    let Pending { upgrade, subprotocol, shown, seat } = pending;
    let Ok(upgraded) = upgrade.await else {
        tracing::debug!(%peer, "the client went away during the upgrade");
        return;
    };
    let Some(mut websocket) = websocket(upgraded, shared.config.max_message).await else { return };
    if subprotocol.is_none() {
        let reason = CloseReason::new("Subprotocol not acceptable");
        socket::close(&mut websocket, CloseCode::SubprotocolNotAcceptable, &reason).await;
        return;
    }
    let seat = seat.taken();
    let session = Session::new(Arc::clone(shared.runtime.services()), shown, Instant::now());
    let stopping = shared.runtime.tasks().stopping().clone();
    let connections = shared.runtime.connections().clone();
    socket::drive(websocket, session, stopping, move || connections.open()).await;
    drop(seat);
}

async fn websocket(upgraded: Upgraded, max_message: usize) -> Option<WebSocketStream<TcpStream>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    // Hyper's read buffer is 8 KB; letting go of it halves what an idle connection costs.
    let early = parts.read_buf.to_vec();
    drop(parts.read_buf);
    let stream = parts.io.into_inner();
    Some(WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await)
}
