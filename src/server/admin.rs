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
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::pages::Told;
use super::response::{Reply, json as json_reply, refusal};
use super::routes::{media_type, not_allowed};
use crate::deploy::{DIGEST_START, DeployError, Deployer, MOST_BYTES, Permission, Report, Upload, is_digest_start};
use crate::registry::Unfit;
use crate::sandbox::LoadError;
use crate::text::foreign_error;

/// Components that may arrive at the same time, each into a file of its own.
pub(super) const UPLOADS: usize = 4;
/// How long an upload may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes per second that an upload must have on average, after [`GRACE`]: few uploads at a time are taken, and one that drips
/// must not keep the others out. 18 MB, a Python component, take 4.6 minutes at that pace.
const RATE: u64 = 64 << 10;
/// How long an upload may take to come up to speed.
const GRACE: Duration = Duration::from_secs(15);
/// How much of a request that was refused is read and thrown away, at most for so long: as much as a component may have.
const DISCARD_BYTES: usize = 256 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
const MEDIA_TYPE: &str = "application/wasm";
/// The header that carries a signature.
const SIGNATURE: &str = "subcast-signature";

/// Answers. What the client still sends is read after that, in a task of its own: the client of a connection that ends while it
/// sends may never see the answer. The task ends with the body, the host, or its bounds.
pub(super) async fn handle(shared: &Arc<Shared>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
    let (request, mut body) = request.into_parts();
    let reply = answer(shared, Request::from_parts(request, ()), &mut body, peer).await;
    if !body.is_end_stream() {
        let tasks = shared.runtime.tasks();
        let stopping = tasks.stopping().clone();
        tasks.spawn(async move {
            let rest = tokio::time::timeout(DISCARD_TIMEOUT, discard(&mut body));
            let _ = stopping.run_until_cancelled(rest).await;
        });
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
    // Before a byte of it has arrived, if its length is told.
    if body.size_hint().lower() > MOST_BYTES {
        return Err(DeployError::TooLarge { most: MOST_BYTES }.into());
    }
    let Ok(permit) = Arc::clone(&shared.uploads).try_acquire_owned() else {
        let reason = "several components are arriving already; try again in a moment";
        return Err(not_a_deployment(StatusCode::TOO_MANY_REQUESTS, reason));
    };
    let signature = headers.get(SIGNATURE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let upload = shared.runtime.deployer().receive(&name).await?;
    let patience = Patience { silence: SILENCE, grace: GRACE, rate: RATE, whole: shared.config.upload_timeout };
    let upload = receive(body, &patience, upload, Upload::append).await?;
    // Cancelled when this future is dropped, because the client has gone.
    let gone = CancellationToken::new();
    let _here = gone.clone().drop_guard();
    run(shared, async move |deployer| {
        let deployed = gone.run_until_cancelled(deployer.deploy(&name, upload, signature, permission)).await;
        // Kept until the upload is gone: whoever hangs up does not make room for another one.
        drop(permit);
        if let Some(deployed) = deployed {
            return deployed;
        }
        tracing::info!(module = name, "the deployment was given up, since its client has gone");
        deployer.sweep().await?;
        Err(DeployError::GivenUp)
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
    /// Between two parts.
    silence: Duration,
    /// Before the rate counts.
    grace: Duration,
    /// Bytes per second.
    rate: u64,
    /// For all of it.
    whole: Duration,
}

impl Patience {
    /// When the next part must have come, if so many bytes have come until now; and what to say if it has not.
    fn until(&self, began: Instant, received: u64) -> (Instant, String) {
        let Self { silence, grace, rate, whole } = *self;
        let slow = grace + Duration::from_secs(received / rate);
        let seconds = |duration: Duration| duration.as_secs();
        [
            (Instant::now() + silence, format!("nothing of the component arrived for {} s; send it again", seconds(silence))),
            (began + slow, format!("the component arrives at less than {rate} bytes per second; use a faster connection")),
            (
                began + whole,
                format!(
                    "the component did not arrive within {} s ([admin] upload_timeout); raise that, or use a faster connection",
                    seconds(whole)
                ),
            ),
        ]
        .into_iter()
        .min_by_key(|(until, _)| *until)
        .expect("there are three")
    }
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
    let began = Instant::now();
    let (mut received, mut bytes) = (first, 0);
    loop {
        let (until, late) = patience.until(began, bytes);
        match tokio::time::timeout_at(until, body.frame()).await {
            Err(_) => return Err(cut_off(&late)),
            Ok(Some(Err(_))) => return Err(cut_off("the component did not arrive completely")),
            Ok(Some(Ok(frame))) => {
                if let Ok(part) = frame.into_data() {
                    bytes += part.len() as u64;
                    received = append(received, part).await?;
                }
            }
            Ok(None) => return Ok(received),
        }
    }
}

/// Does this in a task of its own, to the end: a client that hangs up does not leave half of it done. A host that is told to
/// stop gives up what is not live yet.
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
        DeployError::TooMany { .. } => (StatusCode::CONFLICT, "TOO_MANY_MODULES"),
        DeployError::NoPrevious(_) => (StatusCode::CONFLICT, "NO_PREVIOUS_VERSION"),
        DeployError::Unfit(_) => (StatusCode::CONFLICT, "SUBSCRIPTIONS_DO_NOT_FIT"),
        DeployError::Widening(_) => (StatusCode::CONFLICT, "WIDENS_ACCESS"),
        DeployError::Load(LoadError::Full | LoadError::NotNow(_) | LoadError::Stopping) | DeployError::Stopping => {
            (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE")
        }
        // Nobody is left to read it.
        DeployError::GivenUp => (StatusCode::BAD_REQUEST, "GIVEN_UP"),
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
    tracing::warn!(stage = error.stage().name(), error = %foreign_error(error), "a deployment was refused; what was live goes on");
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
        let patient = Patience { silence: long, grace: long, rate: 1, whole: long };
        assert_eq!(said(3, patient).await, Ok(3));
        for impatient in [
            Patience { silence: long, grace: long, rate: 1, whole: short },
            // 200 bytes per second come at most.
            Patience { silence: long, grace: short, rate: 1_000_000, whole: long },
        ] {
            assert_eq!(said(usize::MAX, impatient).await, Err(StatusCode::BAD_REQUEST));
        }
        let impatient = Patience { silence: Duration::ZERO, grace: long, rate: 1, whole: long };
        assert_eq!(said(3, impatient).await, Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn an_upload_has_the_time_that_its_bytes_take_at_the_least_rate() {
        let (second, began) = (Duration::from_secs(1), Instant::now());
        let patience = Patience { silence: 1_000 * second, grace: 15 * second, rate: 100, whole: 60 * second };
        let until = |received| patience.until(began, received).0 - began;
        assert_eq!((until(0), until(1_000), until(1_000_000)), (15 * second, 25 * second, 60 * second));
    }
}
