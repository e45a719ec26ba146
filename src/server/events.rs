//! `POST /events`: publish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use uuid::Uuid;

use super::response::{Reply, json, refusal};
use super::routes::read_body;
use super::{Shared, access};
use crate::bus::Accepted;
use crate::protocol::publish::{self, Kind, Published, Stamp};

/// Between so many events of one request the publisher waits for room in the sandbox.
const BATCH: usize = 256;

/// Parses the whole body, then publishes all of it or nothing.
pub(super) async fn handle(shared: &Arc<Shared>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
    if let Some(reason) = shared.config.publish_access.refuse(&request, peer, &access::PUBLISH) {
        return refusal(StatusCode::FORBIDDEN, reason);
    }
    let (headers, body) = match read_body(request, shared.config.max_publish).await {
        Ok(read) => read,
        Err(reply) => return reply,
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let parsed = publish::parse(&content_type, &header, &body, &mut stamp, &shared.config.publish_limits);
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
            publish(shared, events).await;
            json(StatusCode::ACCEPTED, &serde_json::json!({ "accepted": count }))
        }
    }
}

async fn publish(shared: &Arc<Shared>, mut events: Vec<Published>) -> Accepted {
    shared.runtime.delivery().ready().await;
    if events.len() <= BATCH {
        return publish_batch(shared, events);
    }
    // In a task of its own: were the client to hang up between two batches, the request would be published in part.
    let owner = Arc::clone(shared);
    let all = shared.runtime.tasks().spawn(async move {
        let mut accepted = Accepted::default();
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(BATCH));
            let batch = publish_batch(&owner, std::mem::replace(&mut events, rest));
            accepted.published += batch.published;
            accepted.duplicates += batch.duplicates;
            owner.runtime.delivery().ready().await;
        }
        accepted
    });
    all.await.unwrap_or_default()
}

fn publish_batch(shared: &Shared, events: Vec<Published>) -> Accepted {
    shared
        .runtime
        .services()
        .bus
        .publish(events, Instant::now(), |sequenced| shared.runtime.delivery().deliver(&sequenced))
}

/// What an event gets that came without id or time.
fn stamp() -> Stamp {
    Stamp { id: Uuid::now_v7().to_string(), time: humantime::format_rfc3339_millis(SystemTime::now()).to_string() }
}
