//! Hosts: inside the test for most, a process of its own where its memory and descriptors are looked at.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use subcast::runtime::Runtime;
use subcast::runtime::config::{Config, Overrides};
use subcast::server::{Port, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, credential, guests};

/// A host inside the test.
pub struct Host {
    pub runtime: Arc<Runtime>,
    pub address: SocketAddr,
}

impl Host {
    /// Serves the given guests with additional configuration, which may be empty.
    pub async fn start(modules: &[&str], extra: &str) -> Self {
        Self::start_in(modules, extra, Vec::new()).await
    }

    /// The same, with `SUBCAST_TEST_SECRET` in the environment.
    pub async fn start_with_secret(modules: &[&str], extra: &str, secret: &str) -> Self {
        Self::start_in(modules, extra, vec![("SUBCAST_TEST_SECRET".to_owned(), secret.to_owned())]).await
    }

    /// Without modules, with a script of the shell in the place of the compiler.
    pub async fn start_compiling_by(script: &str, extra: &str) -> Self {
        let mut config = Self::configured(&[], extra, Vec::new()).await;
        config.sandbox.compiler = Some(["sh", "-c", script].map(Into::into).to_vec());
        Self::run(config).await
    }

    async fn start_in(modules: &[&str], extra: &str, environment: Vec<(String, String)>) -> Self {
        Self::run(Self::configured(modules, extra, environment).await).await
    }

    async fn configured(modules: &[&str], extra: &str, environment: Vec<(String, String)>) -> Config {
        let mut text = extra.to_owned();
        for name in modules {
            let path = guests::built(name).await;
            if !extra.contains(&format!("name = \"{name}\"")) {
                // A long `wall`, for tests that are not about it: it passes while others compute, too.
                let _ =
                    write!(text, "\n[[module]]\nname = \"{name}\"\npath = \"{}\"\nwall = \"60s\"\n", path.display());
            }
        }
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut config = Config::load(Some(file.path()), environment, Overrides::default()).unwrap();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        guests::share_cache(&mut config);
        config.server.runtime_dir.get_or_insert_with(credential::folder);
        if !extra.contains("store = ") {
            config.admin.store = None;
        }
        config
    }

    async fn run(config: Config) -> Self {
        let port = Port::take(config.server.listen).unwrap();
        let runtime = Arc::new(Runtime::start(config).await.unwrap());
        let server = Server::listen(port, Arc::clone(&runtime)).unwrap();
        let address = server.local_addr().unwrap();
        if let Some(file) = server.credential() {
            credential::learn(address, file);
        }
        runtime.tasks().spawn(server.run());
        Self { runtime, address }
    }

    /// Publishes events that must be accepted.
    pub async fn publish(&self, events: &[Value]) {
        let lines: Vec<_> = events.iter().map(Value::to_string).collect();
        let (status, body) =
            self.post("/events", &[("content-type", "application/x-ndjson")], lines.join("\n").as_bytes()).await;
        assert_eq!((status, body), (202, json!({"accepted": events.len()}).to_string()));
    }

    /// Publishes one event to a channel.
    pub async fn emit(&self, channel: &str, kind: &str, data: Value) {
        self.publish(&[json!({"channel": channel, "type": kind, "data": data})]).await;
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        request(self.address, "POST", path, headers, body).await
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        request(self.address, "GET", path, &[], b"").await
    }

    /// Asks for a module to be deployed: status, and the answer.
    pub async fn put(&self, name: &str, component: &std::path::Path, query: &str) -> (u16, Value) {
        deploy(self.address, name, &std::fs::read(component).unwrap(), query, &[]).await
    }

    /// Deploys a module, which must work.
    pub async fn deploy(&self, name: &str, component: &std::path::Path) -> Value {
        let (status, report) = self.put(name, component, "").await;
        assert_eq!(status, 200, "{report}");
        report
    }

    /// Live subscriptions.
    pub fn subscriptions(&self) -> usize {
        self.runtime.services().registry.count()
    }

    pub async fn stop(self) {
        assert!(self.runtime.drain().await, "everything ends by itself");
    }
}

/// One HTTP/1.1 request by hand, so that tests can send what no library would: status and body of the answer. To the routes
/// that want it, the host's credential is shown unless `authorization` is among the headers.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String) {
    let (head, body) = exchange(address, method, path, headers, body).await;
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {head:?}"));
    (status, body)
}

/// The same: head and body of the answer.
pub async fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (String, String) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        let _ = write!(head, "host: {address}\r\n");
    }
    let is_shown = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    if !is_shown && (path == "/events" || path.starts_with("/admin")) {
        head.push_str(&credential::line(address));
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server may answer and close before it has read all of a body that it refuses.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let answer = timeout(PATIENCE, exchange).await.expect("an answer in time");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

/// `PUT /admin/modules/NAME`: status, and the answer.
pub async fn deploy(
    address: SocketAddr,
    name: &str,
    component: &[u8],
    query: &str,
    more: &[(&str, &str)],
) -> (u16, Value) {
    let mut headers = vec![("content-type", "application/wasm")];
    headers.extend_from_slice(more);
    let path = format!("/admin/modules/{name}{query}");
    let (status, body) = request(address, "PUT", &path, &headers, component).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}")))
}

/// The value of a header in the head of an answer.
pub fn header(head: &str, name: &str) -> Option<String> {
    let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}
