//! `POST /events`: publish.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};

use super::Config;
use super::Shared;
use super::pages::Told;
use super::response::{Reply, json, refusal};
use super::routes::{Body, busy, read_body};
use crate::event::EventCharge;
use crate::footprint;
use crate::protocol::publish::{self, Kind, Published};
use crate::runtime;

/// What bounds the memory of requests.
const MEMORY: &str = "[publish] memory";
/// Bytes of a body that is parsed within a fraction of a millisecond, where it was read.
const QUICK: usize = 16 << 10;

/// Parses the whole body, then publishes all of it or nothing.
pub(super) async fn handle(shared: &Arc<Shared>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
    if let Err(foreign) = shared.check_page(request.headers(), peer, Told::Origin) {
        return refusal(StatusCode::FORBIDDEN, foreign.message());
    }
    if let Some(refused) = shared.config.publish_access.refuse(request.headers(), peer) {
        return refused;
    }
    let publishing = shared.runtime.publishing();
    let read = read_body(request, shared.config.max_publish, &publishing.memory, MEMORY).await;
    let body = match read {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let parsed = if body.content.len() <= QUICK {
        parse(&shared.config, body)
    } else {
        let shared = Arc::clone(shared);
        match publishing.aside.run(move || parse(&shared.config, body)).await {
            Ok(parsed) => parsed,
            Err(error) => Err(Refusal::Status(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        }
    };
    match parsed {
        Err(Refusal::Busy) => busy(MEMORY),
        Err(Refusal::Status(status, message)) => refusal(status, &message),
        Ok(events) => {
            let count = events.len();
            match shared.runtime.publish(events).await {
                Ok(_) => json(StatusCode::ACCEPTED, &serde_json::json!({ "accepted": count })),
                Err(unfinished) => refusal(StatusCode::SERVICE_UNAVAILABLE, &unfinished.to_string()),
            }
        }
    }
}

/// Why a body is not published.
enum Refusal {
    Status(StatusCode, String),
    /// Other requests have taken the memory.
    Busy,
}

/// The events of a body, charged for what they take until they are delivered.
fn parse(config: &Config, body: Body) -> Result<Vec<Published>, Refusal> {
    let Body { headers, content, mut charge } = body;
    // A value for each event, and the text of its data.
    let footprint = footprint::of_bytes(&content) + content.len();
    if !charge.grow(footprint) {
        return Err(if charge.bytes() + footprint > charge.most() { never(charge.most()) } else { Refusal::Busy });
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let parsed = publish::parse(&content_type, &header, &content, &mut runtime::stamp, &config.publish_limits);
    drop(content);
    let mut events = parsed.map_err(|error| {
        let status = match error.kind() {
            Kind::BadRequest => StatusCode::BAD_REQUEST,
            Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Refusal::Status(status, error.to_string())
    })?;
    charge.give_back(charge.bytes() - footprint);
    let charge = EventCharge::new(Arc::new(charge));
    for published in &mut events {
        published.event.charge = charge.clone();
    }
    Ok(events)
}

fn never(most: usize) -> Refusal {
    let message = format!(
        "the events would take more than {most} bytes of memory, the limit of {MEMORY}: send them in several requests, or fewer values in one event"
    );
    Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE, message)
}
