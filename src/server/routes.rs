//! Which request goes where.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode};

use super::pages::Told;
use super::response::{Reply, refusal, text, with_type};
use super::upgrade::{self, Slot};
use super::{Shared, admin, events, graphql};

/// For how long a client may take to send the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers one request. A request to upgrade leaves its socket in `slot`.
pub(super) async fn route(shared: Arc<Shared>, request: Request<Incoming>, peer: SocketAddr, slot: &Slot) -> Reply {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::GET, "/graphql") if upgrade::is_requested(request.headers()) => {
            upgrade::accept(&shared, request, peer, slot)
        }
        (&Method::POST, "/graphql") => graphql::handle(&shared, request, peer).await,
        (&Method::POST, "/events") => events::handle(&shared, request, peer).await,
        (_, path) if path == "/admin/modules" || path.starts_with("/admin/modules/") => {
            admin::handle(&shared, request, peer).await
        }
        (&Method::GET, "/healthz") => text(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") => readiness(&shared),
        (&Method::GET, "/metrics") => metrics(&shared, request.headers(), peer),
        (_, "/graphql") => not_allowed("POST, or GET with a WebSocket upgrade", "GET, POST"),
        (_, "/events") => not_allowed("POST", "POST"),
        (_, "/healthz" | "/readyz" | "/metrics") => not_allowed("GET", "GET"),
        _ => refusal(
            StatusCode::NOT_FOUND,
            "no such route; there are /graphql, /events, /admin/modules, /healthz, /readyz and /metrics",
        ),
    }
}

/// For whoever is not a foreign page, and for whoever shows the admin credential.
fn metrics(shared: &Shared, headers: &HeaderMap, peer: SocketAddr) -> Reply {
    match shared.check_page(headers, peer, Told::Nothing) {
        Err(foreign) if !shared.config.admin_access.is_shown(headers) => {
            refusal(StatusCode::FORBIDDEN, foreign.message())
        }
        _ => with_type(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            shared.runtime.exposition(),
        ),
    }
}

fn readiness(shared: &Shared) -> Reply {
    if shared.ready.load(Ordering::Acquire) && !shared.runtime.tasks().stopping().is_cancelled() {
        text(StatusCode::OK, "ready\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    }
}

pub(super) fn not_allowed(use_instead: &str, allow: &'static str) -> Reply {
    let mut reply = refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("use {use_instead}"));
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read_body(request: Request<Incoming>, limit: usize) -> Result<(HeaderMap, Bytes), Reply> {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok((head.headers, body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {limit} bytes")))
        }
        Ok(Err(_)) => Err(refusal(StatusCode::BAD_REQUEST, "the body could not be read")),
        Err(_) => Err(refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

/// The media type of the body, without parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(hyper::header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}
