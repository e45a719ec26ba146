//! `POST /graphql`: GraphQL over HTTP, for what needs no stream: introspection and `__typename`.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::{HeaderMap, Request, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Shared;
use super::access::shown;
use super::pages::Told;
use super::response::{Reply, refusal, with_type};
use super::routes::{media_type, read_body};
use crate::auth::Shown;
use crate::graphql::GraphqlError;
use crate::modules::Request as Prepared;

const GRAPHQL_JSON: &str = "application/graphql-response+json";

#[derive(Deserialize)]
struct Body {
    query: String,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<Map<String, Value>>,
}

pub(super) async fn handle(shared: &Arc<Shared>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
    if let Err(foreign) = shared.check_page(request.headers(), peer, Told::Origin) {
        return refusal(StatusCode::FORBIDDEN, foreign.message());
    }
    let authenticator = &shared.runtime.services().authenticator;
    let shown = Shown { payload: None, headers: shown(request.headers(), authenticator) };
    if let Err(refused) = authenticator.decide(shown).await {
        tracing::info!(%refused, "request refused");
        return refusal(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    if media_type(request.headers()).as_deref() != Some("application/json") {
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the operation as `Content-Type: application/json`");
    }
    let (headers, body) = match read_body(request, shared.config.max_message).await {
        Ok(read) => read,
        Err(reply) => return reply,
    };
    let Ok(body) = serde_json::from_slice::<Body>(&body) else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "the body is not a GraphQL request: send {\"query\": \"…\", \"operationName\"?: \"…\", \"variables\"?: {…}}",
        );
    };
    let variables = body.variables.unwrap_or_default();
    let generation = shared.runtime.services().registry.generation();
    match generation.documents.prepare(&body.query, body.operation_name.as_deref(), &variables) {
        Ok(Prepared::Response(response)) => answer(&headers, StatusCode::OK, response.to_string()),
        Ok(Prepared::Subscription(_)) => failed(
            &headers,
            &[GraphqlError::new(
                "subscriptions are served over WebSocket: connect to this path with the subprotocol graphql-transport-ws",
            )],
        ),
        Err(errors) => failed(&headers, &errors),
    }
}

fn failed(headers: &HeaderMap, errors: &[GraphqlError]) -> Reply {
    // GraphQL over HTTP: a request error has its own status only in the newer media type.
    let status = if accepts_graphql_json(headers) { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    answer(headers, status, serde_json::json!({ "errors": errors }).to_string())
}

fn answer(headers: &HeaderMap, status: StatusCode, body: String) -> Reply {
    let content_type = if accepts_graphql_json(headers) { GRAPHQL_JSON } else { "application/json" };
    with_type(status, content_type, body)
}

fn accepts_graphql_json(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|value| value.to_str().is_ok_and(|value| value.contains(GRAPHQL_JSON)))
}
