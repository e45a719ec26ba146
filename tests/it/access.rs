//! Access as an attacker or a careless proxy sees it: raw requests to a host that listens on loopback.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::host::{Host, header};
use crate::support::process::Process;
use crate::support::{PATIENCE, credential, eventually};

/// Hosts and origins that only begin like a name of this machine, or that are no authority at all.
const FOREIGN: [&str; 16] = [
    "[::1].evil.example",
    "[::1]evil.example",
    "[::1]:80.evil.example",
    "127.0.0.1:80.evil.example",
    "127.0.0.1:80:80",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "localhost:80@evil.example",
    "evil.example",
    "evil.example:80",
    "127.0.0.1:",
    "127.0.0.1:+80",
    "127.0.0.1:99999",
    "localhost/evil.example",
    "[127.0.0.1]",
    "[::1",
];

const JSON: (&str, &str) = ("content-type", "application/json");
const SCHEMA: &[u8] = br#"{"query": "{ __typename }"}"#;
const EVENT: &[u8] = br#"{"channel": "counts", "type": "counted", "data": {"seq": 1}}"#;
const UPGRADE: [(&str, &str); 5] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "graphql-transport-ws"),
];

/// Head of the answer to a request with exactly these headers and a length.
async fn answered(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[request.as_bytes(), body].concat()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a whole head"));
        }
        String::from_utf8(head).unwrap()
    };
    timeout(PATIENCE, exchange).await.expect("an answer in time")
}

/// Status of the same answer.
async fn status(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let head = answered(address, method, path, headers, body).await;
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {head:?}"))
}

/// As a proxy without further configuration sends it (nginx: `proxy_pass` and `proxy_http_version 1.1`): the host is that of
/// `proxy_pass`, and nothing tells of the client.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_through_a_plain_proxy_neither_administers_nor_publishes() {
    let host = Host::start(&["engine"], "").await;
    let own = host.address.to_string();
    for via in
        [vec![("host", own.as_str())], vec![("host", "localhost")], vec![("host", own.as_str()), ("via", "1.1 x")]]
    {
        let with = |more: &[(&'static str, &'static str)]| [via.clone(), more.to_vec()].concat();
        let wasm = with(&[("content-type", "application/wasm")]);
        for (method, path, headers, body) in [
            ("GET", "/admin/modules", with(&[]), &b""[..]),
            ("GET", "/admin/modules/engine", with(&[]), b""),
            ("PUT", "/admin/modules/engine", wasm, b"\0asm"),
            ("DELETE", "/admin/modules/engine", with(&[]), b""),
            ("POST", "/admin/modules/engine/rollback", with(&[]), b""),
            ("POST", "/events", with(&[JSON]), EVENT),
        ] {
            let status = status(host.address, method, path, &headers, body).await;
            assert_eq!(status, 401, "{method} {path} {headers:?}");
        }
    }
    assert_eq!(host.runtime.generation().number, 1);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_name_that_is_not_this_machine_reads_and_connects_nowhere() {
    let host = Host::start(&["engine"], "").await;
    let own = host.address.to_string();
    for foreign in FOREIGN {
        let origin = format!("http://{foreign}");
        for host_header in [own.as_str(), foreign] {
            let page = [("host", host_header), ("origin", origin.as_str())];
            // Scripts of a page set whatever else they like; headers of a proxy among them.
            for more in [&[][..], &[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1"), ("via", "1.1 x")]]
            {
                let with = |extra: &[(&'static str, &'static str)]| [&page[..], more, extra].concat();
                let context = format!("host {host_header}, origin {origin}, {more:?}");
                let schema = status(host.address, "POST", "/graphql", &with(&[JSON]), SCHEMA).await;
                assert!([400, 403].contains(&schema), "schema: {schema} {context}");
                let metrics = status(host.address, "GET", "/metrics", &with(&[]), b"").await;
                assert!([400, 403].contains(&metrics), "metrics: {metrics} {context}");
                let socket = status(host.address, "GET", "/graphql", &with(&UPGRADE), b"").await;
                assert!([400, 403].contains(&socket), "socket: {socket} {context}");
            }
        }
    }
    host.stop().await;
}

/// Browsers name no origin when a page reads from its own, and a rebound name makes the host the page's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_rebound_name_reads_no_metrics() {
    let host = Host::start(&["engine"], "").await;
    for foreign in FOREIGN {
        for more in [&[][..], &[("x-forwarded-for", "192.0.2.1")]] {
            let headers = [&[("host", foreign)], more].concat();
            let status = status(host.address, "GET", "/metrics", &headers, b"").await;
            assert!([400, 403].contains(&status), "{status} {headers:?}");
        }
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_pages_of_this_machine_read_and_connect() {
    let host = Host::start(&["engine"], "").await;
    let port = host.address.port();
    for name in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "127.0.0.2"] {
        for own in [name.to_owned(), format!("{name}:{port}")] {
            let origins = [None, Some(format!("http://{own}")), Some(format!("http://{name}:3000"))];
            for origin in origins.iter().map(Option::as_deref) {
                let mut page = vec![("host", own.as_str())];
                page.extend(origin.map(|origin| ("origin", origin)));
                let with = |extra: &[(&'static str, &'static str)]| [&page[..], extra].concat();
                assert_eq!(status(host.address, "POST", "/graphql", &with(&[JSON]), SCHEMA).await, 200, "{page:?}");
                assert_eq!(status(host.address, "GET", "/metrics", &page, b"").await, 200, "{page:?}");
                assert_eq!(status(host.address, "GET", "/graphql", &with(&UPGRADE), b"").await, 101, "{page:?}");
            }
        }
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_names_its_site_is_let_in_by_the_listed_origin() {
    let host = Host::start(&["engine"], "[server]\nallowed_origins = [\"https://app.example.com\"]\n").await;
    let proxied = [("host", "app.example.com"), ("x-forwarded-for", "192.0.2.1")];
    let page = [&proxied[..], &[("origin", "https://app.example.com")]].concat();
    let with =
        |headers: &[(&'static str, &'static str)], more: &[(&'static str, &'static str)]| [headers, more].concat();
    assert_eq!(status(host.address, "POST", "/graphql", &with(&page, &[JSON]), SCHEMA).await, 200);
    assert_eq!(status(host.address, "GET", "/graphql", &with(&page, &UPGRADE), b"").await, 101);
    assert_eq!(status(host.address, "GET", "/metrics", &proxied, b"").await, 200);
    // Programs that are no pages name no origin.
    assert_eq!(status(host.address, "GET", "/graphql", &with(&proxied, &UPGRADE), b"").await, 101);
    assert_eq!(status(host.address, "POST", "/events", &with(&page, &[JSON]), EVENT).await, 401);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_credential_opens_metrics_under_any_name() {
    let host = Host::start(&["engine"], "").await;
    let shown = format!("Bearer {}", credential::of(host.address).unwrap());
    let named = [("host", "metrics.example"), ("authorization", shown.as_str())];
    assert_eq!(status(host.address, "GET", "/metrics", &named, b"").await, 200);
    assert_eq!(status(host.address, "GET", "/metrics", &named[..1], b"").await, 403);
    host.stop().await;
}

/// Which token opens which routes, for each way to configure them. `D`: drawn.
#[tokio::test(flavor = "multi_thread")]
async fn each_token_opens_its_own_routes() {
    const CONFIGURED: &str = "a-configured-token";
    let publish = "[publish]\ntoken_env = \"SUBCAST_TEST_SECRET\"\n";
    let admin = "[admin]\ntoken_env = \"SUBCAST_TEST_SECRET\"\n";
    for (
        config,
        is_drawn,
        [publish_none, publish_drawn, publish_configured],
        [admin_none, admin_drawn, admin_configured],
    ) in [
        (String::new(), true, [401, 202, 401], [401, 200, 401]),
        (publish.to_owned(), true, [401, 401, 202], [401, 200, 401]),
        (admin.to_owned(), true, [401, 202, 401], [401, 401, 200]),
        (format!("{publish}{admin}"), false, [401, 401, 202], [401, 401, 200]),
        ("[publish]\nanonymous = true\n".to_owned(), true, [202, 202, 202], [401, 200, 401]),
        (format!("[publish]\nanonymous = true\n{admin}"), false, [202, 202, 202], [401, 401, 200]),
    ] {
        let host = Host::start_with_secret(&["engine"], &config, CONFIGURED).await;
        let drawn = credential::of(host.address);
        assert_eq!(drawn.is_some(), is_drawn, "{config}");
        let own = host.address.to_string();
        let drawn = format!("Bearer {}", drawn.as_deref().unwrap_or("0123456789abcdef"));
        let configured = format!("Bearer {CONFIGURED}");
        for (shown, publishes, administers) in [
            (None, publish_none, admin_none),
            (Some(&drawn), publish_drawn, admin_drawn),
            (Some(&configured), publish_configured, admin_configured),
        ] {
            let mut headers = vec![("host", own.as_str()), JSON];
            headers.extend(shown.map(|shown| ("authorization", shown.as_str())));
            let context = format!("{config} {shown:?}");
            assert_eq!(status(host.address, "POST", "/events", &headers, EVENT).await, publishes, "{context}");
            assert_eq!(status(host.address, "GET", "/admin/modules", &headers, b"").await, administers, "{context}");
        }
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_attempts_are_challenged_and_told_a_few_times_per_second() {
    let host = Process::serve("engine").await;
    let own = host.address.to_string();
    let began = Instant::now();
    for (shown, challenge) in [
        (None, "Bearer realm=\"subcast\""),
        (Some("Bearer guess"), "Bearer realm=\"subcast\", error=\"invalid_token\""),
    ] {
        let mut headers = vec![("host", own.as_str())];
        headers.extend(shown.map(|shown| ("authorization", shown)));
        for _ in 0..100 {
            let head = answered(host.address, "GET", "/admin/modules", &headers, b"").await;
            assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
            assert_eq!(header(&head, "www-authenticate").as_deref(), Some(challenge), "{head}");
        }
    }
    eventually("the log tells", || host.log().contains("refused a request")).await;
    let log = host.log();
    let told = log.lines().filter(|line| line.contains("refused a request")).count();
    assert!(told as u64 <= 5 * (began.elapsed().as_secs() + 1), "{told} lines");
    assert!(!log.contains("guess"), "{log}");
    assert_eq!(host.terminate().await, Some(0));
}
