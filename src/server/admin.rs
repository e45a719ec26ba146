//! `/admin/modules`: which versions of modules are live, and new ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Shared;
use super::pages::Told;
use super::response::{Reply, json as json_reply, refusal};
use super::routes::{media_type, not_allowed};
use crate::deploy::{DIGEST_START, DeployError, Deployer, Permission, Report, Upload, is_digest_start};
use crate::registry::Unfit;
use crate::sandbox::LoadError;

/// Components that may arrive at the same time, each into a file of its own.
pub(super) const UPLOADS: usize = 4;
/// For how long a component may take to arrive.
const PATIENCE: Patience = Patience { part: Duration::from_secs(30), whole: Duration::from_mins(10) };
/// How much of a request that was refused is read and thrown away, at most for so long: as much as a component may have.
const DISCARD_BYTES: usize = 256 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
const MEDIA_TYPE: &str = "application/wasm";
/// The header that carries a signature.
const SIGNATURE: &str = "subcast-signature";

/// Answers, after all that was sent has been read: whoever is still sending when the connection ends may never see why.
pub(super) async fn handle(shared: &Arc<Shared>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
    let (request, mut body) = request.into_parts();
    let reply = answer(shared, Request::from_parts(request, ()), &mut body, peer).await;
    if !body.is_end_stream() {
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, discard(&mut body)).await;
    }
    reply
}

async fn discard(body: &mut Incoming) {
    let mut left = DISCARD_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<()>, body: &mut Incoming, peer: SocketAddr) -> Reply {
    if let Err(foreign) = shared.check_page(request.headers(), peer, Told::Origin) {
        return refusal(StatusCode::FORBIDDEN, foreign.message());
    }
    if let Some(refused) = shared.config.admin_access.refuse(request.headers(), peer) {
        return refused;
    }
    let path = request.uri().path().to_owned();
    let below = path.strip_prefix("/admin/modules").unwrap_or_default().trim_start_matches('/');
    let (name, action) = below.split_once('/').map_or((below, None), |(name, action)| (name, Some(action)));
    let query = match Query::parse(request.uri().query().unwrap_or_default(), action == Some("rollback")) {
        Ok(query) => query,
        Err(reason) => return refusal(StatusCode::BAD_REQUEST, reason),
    };
    let name = name.to_owned();
    let done = match (request.method(), name.as_str(), action) {
        (&Method::GET, name, None) => return list(shared, name).await,
        (_, "", _) => return not_allowed("GET, or the route of one module", "GET"),
        (&Method::PUT, _, None) => put(shared, name, request.headers(), body, query.permission).await,
        (&Method::DELETE, _, None) => {
            run(shared, async move |deployer| deployer.remove(&name, query.permission).await).await
        }
        (&Method::POST, _, Some("rollback")) => {
            run(shared, async move |deployer| deployer.rollback(&name, query.to.as_deref(), query.permission).await)
                .await
        }
        (_, _, None) => return not_allowed("GET, PUT or DELETE", "GET, PUT, DELETE"),
        (_, _, Some("rollback")) => return not_allowed("POST", "POST"),
        (_, _, Some(_)) => {
            return refusal(StatusCode::NOT_FOUND, "no such route; there is POST /admin/modules/NAME/rollback");
        }
    };
    match done {
        Ok(report) => json_reply(StatusCode::OK, &json!(report)),
        Err(Refused::Request(reply)) => *reply,
        Err(Refused::Deploy(error)) => refused(&error),
    }
}

/// Why there is no report.
enum Refused {
    /// The request is not one.
    Request(Box<Reply>),
    /// The deployment was refused.
    Deploy(DeployError),
}

impl From<DeployError> for Refused {
    fn from(error: DeployError) -> Self {
        Self::Deploy(error)
    }
}

/// What a request may say behind `?`.
struct Query {
    permission: Permission,
    to: Option<String>,
}

impl Query {
    /// Anything unknown is refused: a flag that is misspelt must not count as not given.
    fn parse(text: &str, is_rollback: bool) -> Result<Self, &'static str> {
        let mut query = Self { permission: Permission::default(), to: None };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let flag = match value {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err("a flag is true or false"),
            };
            match name {
                "force" => query.permission.force = flag?,
                "allow_widening" | "allow-widening" => query.permission.allow_widening = flag?,
                "to" if is_rollback && is_digest_start(value) => query.to = Some(value.to_owned()),
                "to" if is_rollback => return Err(DIGEST_START),
                _ => return Err("the parameters are force, allow_widening and (of a rollback) to"),
            }
        }
        Ok(query)
    }
}

async fn list(shared: &Arc<Shared>, name: &str) -> Reply {
    let modules = match shared.runtime.deployer().list().await {
        Ok(modules) => modules,
        Err(error) => return refused(&error),
    };
    if name.is_empty() {
        let generation = shared.runtime.generation().number;
        return json_reply(StatusCode::OK, &json!({ "generation": generation, "modules": modules }));
    }
    match modules.into_iter().find(|module| module.name == name) {
        Some(module) => json_reply(StatusCode::OK, &json!(module)),
        None => refused(&DeployError::Unknown(name.to_owned())),
    }
}

async fn put(
    shared: &Arc<Shared>,
    name: String,
    headers: &HeaderMap,
    body: &mut Incoming,
    permission: Permission,
) -> Result<Report, Refused> {
    if media_type(headers).as_deref() != Some(MEDIA_TYPE) {
        let reason = format!("send the component as `Content-Type: {MEDIA_TYPE}`");
        return Err(not_a_deployment(StatusCode::UNSUPPORTED_MEDIA_TYPE, &reason));
    }
    let Ok(permit) = Arc::clone(&shared.uploads).try_acquire_owned() else {
        let reason = "several components are arriving already; try again in a moment";
        return Err(not_a_deployment(StatusCode::TOO_MANY_REQUESTS, reason));
    };
    let signature = headers.get(SIGNATURE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let upload = shared.runtime.deployer().receive(&name).await?;
    let upload = receive(body, &PATIENCE, upload, Upload::append).await?;
    run(shared, async move |deployer| {
        // Kept until the upload is gone: whoever hangs up does not make room for another one.
        let _permit = permit;
        deployer.deploy(&name, upload, signature, permission).await
    })
    .await
}

fn not_a_deployment(status: StatusCode, reason: &str) -> Refused {
    Refused::Request(Box::new(refusal(status, reason)))
}

fn cut_off(reason: &str) -> Refused {
    not_a_deployment(StatusCode::BAD_REQUEST, reason)
}

/// For how long something that is sent in parts may take.
struct Patience {
    part: Duration,
    whole: Duration,
}

/// Appends all parts of a body to what is there at first.
async fn receive<B: Body<Data = Bytes> + Unpin, T, F>(
    body: &mut B,
    patience: &Patience,
    first: T,
    mut append: impl FnMut(T, Bytes) -> F,
) -> Result<T, Refused>
where
    F: Future<Output = Result<T, DeployError>>,
{
    let deadline = Instant::now() + patience.whole;
    let mut received = first;
    loop {
        let until = deadline.min(Instant::now() + patience.part);
        match tokio::time::timeout_at(until, body.frame()).await {
            Err(_) => return Err(cut_off("the component did not arrive in time")),
            Ok(Some(Err(_))) => return Err(cut_off("the component did not arrive completely")),
            Ok(Some(Ok(frame))) => {
                if let Ok(part) = frame.into_data() {
                    received = append(received, part).await?;
                }
            }
            Ok(None) => return Ok(received),
        }
    }
}

/// Deploys in a task of its own: a client that hangs up does not leave half of it done. Ends soon after the host is told to
/// stop: what is not live by then is given up.
async fn run<F>(shared: &Arc<Shared>, work: impl FnOnce(Arc<Deployer>) -> F + Send + 'static) -> Result<Report, Refused>
where
    F: Future<Output = Result<Report, DeployError>> + Send + 'static,
{
    let deployer = Arc::clone(shared.runtime.deployer());
    let done = shared.runtime.tasks().spawn(async move { work(deployer).await });
    Ok(done.await.unwrap_or(Err(DeployError::Stopping))?)
}

fn refused(error: &DeployError) -> Reply {
    let (status, code) = match error {
        DeployError::Name(_) | DeployError::Read(_) => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        DeployError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE"),
        DeployError::Signature(_) => (StatusCode::FORBIDDEN, "SIGNATURE"),
        DeployError::Capability { .. } | DeployError::Channel { .. } => (StatusCode::FORBIDDEN, "NOT_GRANTED"),
        DeployError::Unknown(_) | DeployError::NoVersion { .. } => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        DeployError::NoPrevious(_) => (StatusCode::CONFLICT, "NO_PREVIOUS_VERSION"),
        DeployError::Unfit(_) => (StatusCode::CONFLICT, "SUBSCRIPTIONS_DO_NOT_FIT"),
        DeployError::Widening(_) => (StatusCode::CONFLICT, "WIDENS_ACCESS"),
        DeployError::Load(LoadError::Full | LoadError::Stopping) | DeployError::Stopping => {
            (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE")
        }
        DeployError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "STORE"),
        DeployError::Load(_) | DeployError::SelfTest { .. } | DeployError::Assemble(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "INVALID_MODULE")
        }
    };
    let mut extensions = json!({ "code": code, "stage": error.stage().name() });
    match error {
        DeployError::Unfit(unfit) => extensions["fields"] = unfit.iter().map(field).collect(),
        DeployError::Widening(widened) => extensions["widened"] = json!(widened),
        _ => {}
    }
    tracing::warn!(stage = error.stage().name(), %error, "a deployment was refused; what was live goes on");
    json_reply(status, &json!({ "errors": [{ "message": error.to_string(), "extensions": extensions }] }))
}

fn field(Unfit { field, subscriptions, reason }: &Unfit) -> Value {
    json!({ "field": &**field, "subscriptions": subscriptions, "reason": reason })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    /// What is said to somebody who sends a byte every few milliseconds, so many times.
    async fn said(bytes: usize, patience: Patience) -> Result<usize, StatusCode> {
        let parts = stream::unfold(0, async |sent| {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a"))), sent + 1))
        });
        let mut body = StreamBody::new(Box::pin(futures_util::StreamExt::take(parts, bytes)));
        match receive(&mut body, &patience, 0, async |sum, part| Ok(sum + part.len())).await {
            Ok(received) => Ok(received),
            Err(Refused::Request(reply)) => Err(reply.status()),
            Err(Refused::Deploy(error)) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn whoever_sends_for_ever_is_told_when_the_time_is_up() {
        let (short, long) = (Duration::from_millis(200), Duration::from_mins(1));
        assert_eq!(said(3, Patience { part: long, whole: long }).await, Ok(3));
        assert_eq!(said(usize::MAX, Patience { part: long, whole: short }).await, Err(StatusCode::BAD_REQUEST));
        assert_eq!(said(3, Patience { part: Duration::ZERO, whole: long }).await, Err(StatusCode::BAD_REQUEST));
    }
}
