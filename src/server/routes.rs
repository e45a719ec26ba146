//! Which request goes where.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, StatusCode};

use super::pages::Told;
use super::response::{Reply, refusal, text, with_type};
use super::upgrade::{self, Slot};
use super::{Shared, admin, events, graphql};
use crate::budget::{Budget, Charge};

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
    if shared.runtime.alarm().is_raised() {
        text(StatusCode::SERVICE_UNAVAILABLE, "failed\n")
    } else if shared.ready.load(Ordering::Acquire) && !shared.runtime.tasks().stopping().is_cancelled() {
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

/// A body, and what its memory is charged to.
pub(super) struct Body {
    pub(super) headers: HeaderMap,
    pub(super) content: Vec<u8>,
    /// Twice the body while it arrives: what it is copied into may have room for as much again.
    pub(super) charge: Charge,
}

/// Reads a body of at most `limit` bytes, each charged when it arrives. `key` names the bound of the budget.
pub(super) async fn read_body(
    request: Request<Incoming>,
    limit: usize,
    budget: &Budget,
    key: &str,
) -> Result<Body, Reply> {
    let (head, body) = request.into_parts();
    let read = async {
        let Some(mut charge) = budget.charge(0) else { return Err(busy(key)) };
        let (mut body, mut content) = (Limited::new(body, limit), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    refusal(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {limit} bytes"))
                } else {
                    refusal(StatusCode::BAD_REQUEST, "the body could not be read")
                }
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if !charge.grow(2 * data.len()) {
                return Err(busy(key));
            }
            content.extend_from_slice(&data);
        }
        Ok((content, charge))
    };
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(read) => read.map(|(content, charge)| Body { headers: head.headers, content, charge }),
        Err(_) => Err(refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

/// The answer where other requests have taken all memory of this bound.
pub(super) fn busy(key: &str) -> Reply {
    let message = format!("requests take all memory that {key} allows; send it again later");
    let mut reply = refusal(StatusCode::SERVICE_UNAVAILABLE, &message);
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

/// The media type of the body, without parameters, in lower case.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(hyper::header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}
