//! `POST /events`: publish.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};

use super::Shared;
use super::pages::Told;
use super::response::{Reply, json, refusal};
use super::routes::read_body;
use crate::protocol::publish::{self, Kind};
use crate::runtime;

/// Parses the whole body, then publishes all of it or nothing.
pub(super) async fn handle(shared: &Arc<Shared>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
    if let Err(foreign) = shared.check_page(request.headers(), peer, Told::Origin) {
        return refusal(StatusCode::FORBIDDEN, foreign.message());
    }
    if let Some(refused) = shared.config.publish_access.refuse(request.headers(), peer) {
        return refused;
    }
    let (headers, body) = match read_body(request, shared.config.max_publish).await {
        Ok(read) => read,
        Err(reply) => return reply,
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let parsed = publish::parse(&content_type, &header, &body, &mut runtime::stamp, &shared.config.publish_limits);
    drop(body);
    match parsed {
        Err(error) => {
            let status = match error.kind() {
                Kind::BadRequest => StatusCode::BAD_REQUEST,
                Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            };
            refusal(status, &error.to_string())
        }
        Ok(events) => {
            let count = events.len();
            shared.runtime.publish(events).await;
            json(StatusCode::ACCEPTED, &serde_json::json!({ "accepted": count }))
        }
    }
}
