//! `POST /graphql`: GraphQL over HTTP, for what needs no stream: introspection and `__typename`.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::{HeaderMap, Request, StatusCode};

use super::Shared;
use super::access::shown;
use super::pages::Told;
use super::response::{Reply, refusal, with_type};
use super::routes::{Body, media_type, read_body};
use crate::auth::Shown;
use crate::budget::Charge;
use crate::graphql::GraphqlError;
use crate::modules::Request as Prepared;
use crate::protocol::{Request as GraphqlRequest, Unreadable};
use crate::session;

const GRAPHQL_JSON: &str = "application/graphql-response+json";

pub(super) async fn handle(shared: &Arc<Shared>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
    if let Err(foreign) = shared.check_page(request.headers(), peer, Told::Origin) {
        return refusal(StatusCode::FORBIDDEN, foreign.message());
    }
    let authenticator = &shared.runtime.services().authenticator;
    let shown = Shown { payload: None, headers: shown(request.headers(), authenticator) };
    if let Err(refused) = authenticator.decide(shown).await {
        authenticator.refusals().report(&refused, None);
        return refusal(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    if media_type(request.headers()).as_deref() != Some("application/json") {
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the operation as `Content-Type: application/json`");
    }
    let read = read_body(
        request,
        shared.config.max_message,
        shared.runtime.query_bodies(),
        "the host (64 MiB for bodies of POST /graphql)",
    )
    .await;
    let Body { headers, content, charge } = match read {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let services = shared.runtime.services();
    let generation = services.registry.generation();
    let most = shared.runtime.config().limits.arguments;
    let parse = |content: &[u8]| match std::str::from_utf8(content) {
        Ok(text) => GraphqlRequest::parse(text, most),
        Err(_) => Err(Unreadable::Malformed),
    };
    let request = match parse(&content) {
        Ok(request) => request,
        Err(error @ Unreadable::Malformed) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error @ Unreadable::TooLarge { .. }) => return failed(&headers, &[GraphqlError::new(error.to_string())]),
    };
    drop(content);
    let GraphqlRequest { query, operation_name, variables, .. } = &request;
    let prepared = if generation.documents.is_quick(query, operation_name.as_deref(), variables) {
        generation.documents.prepare(query, operation_name.as_deref(), variables)
    } else {
        let prepare = move || {
            let GraphqlRequest { query, operation_name, variables, .. } = &request;
            generation.documents.prepare(query, operation_name.as_deref(), variables)
        };
        match services.aside.run(prepare).await {
            Ok(prepared) => prepared,
            Err(panicked) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, &panicked.to_string()),
        }
    };
    drop(charge);
    match prepared {
        Ok(Prepared::Response(response)) => match services.answers.charge(response.len()) {
            Some(charge) => answer(&headers, StatusCode::OK, Bytes::from_owner(Answer { response, _charge: charge })),
            None => failed(&headers, &[session::busy()]),
        },
        Ok(Prepared::Subscription(_)) => failed(
            &headers,
            &[GraphqlError::new(
                "subscriptions are served over WebSocket: connect to this path with the subprotocol graphql-transport-ws",
            )],
        ),
        Err(errors) => failed(&headers, &errors),
    }
}

/// An answer that is charged until the client has taken it.
struct Answer {
    response: Arc<str>,
    _charge: Charge,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        self.response.as_bytes()
    }
}

fn failed(headers: &HeaderMap, errors: &[GraphqlError]) -> Reply {
    // GraphQL over HTTP: a request error has its own status only in the newer media type.
    let status = if accepts_graphql_json(headers) { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    answer(headers, status, serde_json::json!({ "errors": errors }).to_string())
}

fn answer(headers: &HeaderMap, status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let content_type = if accepts_graphql_json(headers) { GRAPHQL_JSON } else { "application/json" };
    with_type(status, content_type, body)
}

fn accepts_graphql_json(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|value| value.to_str().is_ok_and(|value| value.contains(GRAPHQL_JSON)))
}
