//! HTTP and WebSocket over hyper and tungstenite: a thin shell around sessions, dispatch and the bus.
//!
//! The only place that names these two crates. Also holds the small client side that the command line uses
//! ([`remote`]).

mod access;
mod admin;
mod authority;
pub mod credential;
mod error;
mod events;
mod graphql;
mod pages;
mod port;
pub mod remote;
mod response;
mod routes;
mod socket;
mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub use access::local_url;
pub use error::BindError;
pub use pages::allows_origin;
pub use port::Port;

use crate::protocol::publish;
use crate::runtime::{Runtime, config};
use crate::text::foreign_error;
use access::Access;
use credential::Left;
use pages::{Foreign, Told};

/// For how long a client may take to send the head of a request, and an idle connection may stay open.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Sockets beyond the WebSocket limit, for publishers, health checks and scrapers.
const SPARE_SOCKETS: usize = 256;

/// What the server needs to know.
#[derive(Debug)]
struct Config {
    /// Largest WebSocket message and GraphQL request body, in bytes.
    max_message: usize,
    /// Largest body of `POST /events`, in bytes.
    max_publish: usize,
    /// Most WebSocket connections.
    connections: usize,
    /// Origins of web pages that may connect; `None`: only pages of this very host.
    allowed_origins: Option<Vec<String>>,
    /// Who may publish.
    publish_access: Access,
    /// Who may administer.
    admin_access: Access,
    /// How long a component may take to arrive.
    upload_timeout: Duration,
    /// Bounds of published events.
    publish_limits: publish::Limits,
}

impl Config {
    fn new(config: &config::Config, publish_access: Access, admin_access: Access) -> Self {
        Self {
            max_message: config.server.max_message,
            max_publish: config.server.max_publish,
            connections: config.limits.connections,
            allowed_origins: config.server.allowed_origins.clone(),
            publish_access,
            admin_access,
            upload_timeout: config.admin.upload_timeout,
            publish_limits: publish::Limits::default(),
        }
    }
}

/// What all handlers share.
struct Shared {
    config: Config,
    runtime: Arc<Runtime>,
    /// Components that arrive at the same time.
    uploads: Arc<Semaphore>,
    ready: AtomicBool,
}

impl Shared {
    /// Refuses what a web page of a foreign origin sends.
    fn check_page(&self, headers: &HeaderMap, peer: SocketAddr, told: Told) -> Result<(), Foreign> {
        pages::check(headers, peer.ip(), self.config.allowed_origins.as_deref(), told)
    }
}

/// A server that listens and does not accept yet.
pub struct Server {
    // Before the listener: while the file goes, no other host can have the address.
    credential: Option<Left>,
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens, so that clients may connect; they are answered once the server runs. Draws a credential for routes without a
    /// configured token.
    pub fn listen(port: Port, runtime: Arc<Runtime>) -> Result<Self, BindError> {
        let wanted = port.address();
        let listener = port.listen()?;
        let address = listener.local_addr().map_err(|source| BindError::new(wanted, source))?;
        let (publish, admin, credential) = access::of_routes(runtime.config(), address)?;
        let config = Config::new(runtime.config(), publish, admin);
        let uploads = Arc::new(Semaphore::new(admin::UPLOADS));
        let shared = Shared { config, runtime, uploads, ready: AtomicBool::new(true) };
        Ok(Self { credential, listener, shared: Arc::new(shared) })
    }

    /// The file with the credential that was drawn, if one was; it goes when the server no longer listens.
    #[must_use]
    pub fn credential(&self) -> Option<&Path> {
        self.credential.as_ref().map(Left::path)
    }

    /// The address, with the port that was taken.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until the tasks are told to stop. What is accepted lives in tasks of its own, and may outlive the listener
    /// and the file with the credential.
    pub async fn run(self) {
        let sockets = Arc::new(Semaphore::new(self.shared.config.connections + SPARE_SOCKETS));
        let stopping = self.shared.runtime.tasks().stopping().clone();
        loop {
            // Waiting for a seat before accepting leaves surplus clients in the kernel's queue, which is bounded.
            let accepted = tokio::select! {
                () = stopping.cancelled() => break,
                accepted = async {
                    let seat = Arc::clone(&sockets).acquire_owned().await;
                    (seat, self.listener.accept().await)
                } => accepted,
            };
            match accepted {
                (Ok(seat), Ok((stream, peer))) => {
                    let shared = Arc::clone(&self.shared);
                    self.shared.runtime.tasks().spawn(async move {
                        serve(shared, stream, peer).await;
                        drop(seat);
                    });
                }
                (_, Err(error)) => {
                    // Out of descriptors, most likely: waiting lets some connections end.
                    tracing::warn!(error = %foreign_error(&error), "failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                (Err(_), _) => break,
            }
        }
        self.shared.ready.store(false, Ordering::Release);
    }
}

/// Serves one socket until it closes or the host stops. An upgraded socket goes on here as a WebSocket, so that one task
/// and one seat stand for one socket.
async fn serve(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    // A message is small and somebody waits for it.
    let _ = stream.set_nodelay(true);
    let (upgraded, on_upgrade) = tokio::sync::oneshot::channel();
    let slot = parking_lot::Mutex::new(Some(upgraded));
    {
        let service = service_fn(|request| {
            let (shared, slot) = (Arc::clone(&shared), &slot);
            async move { Ok::<_, std::convert::Infallible>(routes::route(shared, request, peer, slot).await) }
        });
        let mut builder = http1::Builder::new();
        builder
            .preserve_header_case(true)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(64 * 1024);
        // Boxed, so that what it needs is given back when the socket becomes a WebSocket.
        let mut connection = Box::pin(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, error = %foreign_error(&error), "HTTP connection ended");
                }
            }
            () = shared.runtime.tasks().stopping().cancelled() => {
                connection.as_mut().graceful_shutdown();
                if let Err(error) = connection.as_mut().await {
                    tracing::debug!(%peer, error = %foreign_error(&error), "HTTP connection ended");
                }
            }
        }
    }
    drop(slot);
    if let Ok(pending) = on_upgrade.await {
        Box::pin(upgrade::run(shared, pending, peer)).await;
    }
}
