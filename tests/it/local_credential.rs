//! The credential that a host draws: left for the commands of the same user, and for nobody else. The real binary without a
//! flag, as on one machine.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::host::{header, request};
use crate::support::{PATIENCE, eventually, guests};

const EVENT: [&str; 6] = ["--channel", "counts", "--type", "counted", "--data", r#"{"seq": 1}"#];

/// A user's session: where hosts and commands meet.
struct Session {
    folder: tempfile::TempDir,
    has_runtime_dir: bool,
}

impl Session {
    fn new(has_runtime_dir: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        Self { folder, has_runtime_dir }
    }

    /// Where the host leaves its credential.
    fn left(&self) -> PathBuf {
        let own = format!("subcast-{}", geteuid().as_raw());
        self.folder.path().join(if self.has_runtime_dir { "subcast" } else { &own })
    }

    fn file(&self, address: SocketAddr) -> PathBuf {
        self.left().join(format!("{address}.token"))
    }

    /// `subcast` as this user types it, with nothing of Subcast in the environment but the cache of compiled modules.
    fn subcast(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subcast"));
        command.args(arguments).current_dir(self.folder.path().join("work")).kill_on_drop(true);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SUBCAST_")) {
            command.env_remove(name);
        }
        command.env("SUBCAST_SANDBOX_CACHE_DIR", guests::cache()).env("NO_COLOR", "1");
        command.env("TMPDIR", self.folder.path()).env_remove("XDG_RUNTIME_DIR");
        if self.has_runtime_dir {
            command.env("XDG_RUNTIME_DIR", self.folder.path());
        }
        command
    }

    /// Runs a command to its end: exit status, standard output, standard error.
    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = timeout(PATIENCE, self.subcast(arguments).output()).await.expect("it ends in time").unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    async fn serve(&self, module: &Path, listen: &str) -> Serving {
        let mut command = self.subcast(&["serve", module.to_str().unwrap(), "--listen", listen]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.starts_with("  module")) {
            said.push(
                timeout(PATIENCE, lines.next_line()).await.expect("it starts in time").unwrap().expect("it starts"),
            );
        }
        let address = said[0].strip_prefix("listening on http://").unwrap().parse().unwrap();
        Serving { child, address, said: said.join("\n") }
    }
}

struct Serving {
    child: Child,
    address: SocketAddr,
    said: String,
}

impl Serving {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn end(mut self, signal: Signal) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").unwrap().code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_same_user_need_no_flag() {
    let next = guests::version(1).await;
    let module = guests::compiled(guests::built("swap").await).await;
    for has_runtime_dir in [true, false] {
        let session = Session::new(has_runtime_dir);
        let named = session.folder.path().join("work/swap.wasm");
        fs::copy(&module, &named).unwrap();
        let host = session.serve(&named, "127.0.0.1:0").await;
        let url = host.url();
        assert!(host.said.contains(&format!("subcast token {url}")), "{}", host.said);

        let file = fs::metadata(session.file(host.address)).unwrap();
        assert_eq!((file.mode() & 0o7777, file.uid()), (0o600, geteuid().as_raw()));
        assert_eq!(fs::metadata(session.left()).unwrap().mode() & 0o7777, 0o700);

        let next = next.to_str().unwrap();
        for command in [
            [&["publish", &url][..], &EVENT].concat(),
            vec!["deploy", next, "--name", "swap", "--to", &url],
            vec!["rollback", "swap", "--to", &url],
            vec!["modules", "--to", &url],
        ] {
            let (status, _, said) = session.run(&command).await;
            assert_eq!(status, 0, "{command:?}: {said}");
        }
        // What is given goes before what is found.
        let wrong = [&["publish", &url, "--token", "0123456789abcdef"][..], &EVENT].concat();
        let (status, _, said) = session.run(&wrong).await;
        assert!(status == 1 && said.contains("the credential is wrong"), "{said}");

        // Other programs.
        let (status, token, said) = session.run(&["token", &url]).await;
        assert_eq!(status, 0, "{said}");
        let shown = format!("Bearer {}", token.trim());
        let headers = [("authorization", shown.as_str()), ("content-type", "application/json")];
        let event = br#"{"channel": "counts", "type": "counted", "data": {"seq": 1}}"#;
        assert_eq!(request(host.address, "POST", "/events", &headers, event).await.0, 202);

        // Another user, or another machine, as far as the environment goes.
        let other = Session::new(has_runtime_dir);
        let (status, _, said) = other.run(&[&["publish", &url][..], &EVENT].concat()).await;
        assert!(status == 1 && said.contains("subcast token") && said.contains("was found in"), "{said}");
        assert_eq!(other.run(&["token", &url]).await.0, 1);

        let left = session.file(host.address);
        assert_eq!(host.end(Signal::TERM).await, Some(0));
        assert!(!left.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_ends_with_its_host_however_the_host_ends() {
    let module = guests::built("engine").await;
    let session = Session::new(true);
    let host = session.serve(&module, "127.0.0.1:0").await;
    let (address, url) = (host.address, host.url());
    let old = session.run(&["token", &url]).await.1;
    host.end(Signal::KILL).await;
    assert!(session.file(address).exists(), "nobody was left to remove it");
    let (status, _, said) = session.run(&["token", &url]).await;
    assert!(status == 1 && said.contains("nothing listens"), "{said}");

    // Somebody else has got the port: the credential that is left would open nothing, and is not shown either.
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let stranger = answer_once(listener, "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}");
    let publish = [&["publish", &url][..], &EVENT].concat();
    let (heard, (status, ..)) = tokio::join!(stranger, session.run(&publish));
    assert_eq!((status, header(&heard, "authorization")), (1, None), "{heard}");

    // The next host of the same user.
    let host = session.serve(&module, &address.to_string()).await;
    let new = session.run(&["token", &url]).await.1;
    assert_ne!(old, new);
    assert_eq!(session.run(&publish).await.0, 0);
    let stale = format!("Bearer {}", old.trim());
    assert_eq!(request(address, "GET", "/admin/modules", &[("authorization", &stale)], b"").await.0, 401);
    assert_eq!(host.end(Signal::INT).await, Some(0));
    assert_eq!(fs::read_dir(session.left()).unwrap().count(), 0);
}

/// Answers one request with this, whatever it is; returns the head of the request.
async fn answer_once(listener: tokio::net::TcpListener, answer: &str) -> String {
    let exchange = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.windows(4).any(|window| window == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(heard).unwrap()
    };
    timeout(PATIENCE, exchange).await.expect("somebody asks")
}

/// Leaves a credential as a host that listens there does.
fn leave(session: &Session, address: SocketAddr, token: &str) -> fs::File {
    DirBuilder::new().recursive(true).mode(0o700).create(session.left()).unwrap();
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(session.file(address)).unwrap();
    file.write_all(token.as_bytes()).unwrap();
    file.lock().unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_does_not_follow_a_redirect() {
    let session = Session::new(true);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _left = leave(&session, address, "0123456789abcdef");
    let target = elsewhere.local_addr().unwrap();
    let answer = format!("HTTP/1.1 307 Moved\r\nlocation: http://{target}/events\r\ncontent-length: 0\r\n\r\n");
    let url = format!("http://{address}");
    let publish = [&["publish", &url][..], &EVENT].concat();
    let (heard, (status, _, said)) = tokio::join!(answer_once(listener, &answer), session.run(&publish));
    // The file counts, so that the rest of this test means something.
    assert_eq!(header(&heard, "authorization").as_deref(), Some("Bearer 0123456789abcdef"));
    assert!(status == 1 && said.contains("307"), "{said}");
    elsewhere.set_nonblocking(true).unwrap();
    assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_printed_for_addresses_and_not_for_names() {
    let session = Session::new(true);
    for name in
        ["http://app.example.com:8000", "http://localhost.evil.example:8000", "http://127.0.0.1.evil.example:8000"]
    {
        let (status, _, said) = session.run(&["token", name]).await;
        assert!(status == 1 && said.contains("name the host by its address"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_user_stops_the_start_with_a_sentence() {
    let module = guests::built("engine").await;
    let session = Session::new(false);
    let foreign = if geteuid().is_root() {
        DirBuilder::new().mode(0o700).create(session.left()).unwrap();
        std::os::unix::fs::chown(session.left(), Some(65_534), None).unwrap();
        session.left()
    } else {
        PathBuf::from("/")
    };
    let mut serve = session.subcast(&["serve", module.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    if !geteuid().is_root() {
        serve.env("SUBCAST_SERVER_RUNTIME_DIR", &foreign);
    }
    let output = timeout(PATIENCE, serve.output()).await.expect("it ends in time").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!("error: {} cannot hold the host's credential", foreign.display());
    assert!(
        output.status.code() == Some(1) && said.contains(&expected) && said.contains("[server] runtime_dir"),
        "{said}"
    );
    // Hosts that draw none need no folder.
    serve.env("SUBCAST_ADMIN_TOKEN_ENV", "T").env("T", "0123456789abcdef").env("SUBCAST_PUBLISH_ANONYMOUS", "true");
    let mut host = serve.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, lines.next_line()).await.expect("it starts in time").unwrap().unwrap();
    assert!(first.starts_with("listening on "), "{first}");
    host.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_folder_is_found_by_the_configuration_beside_it() {
    let session = Session::new(true);
    let module = guests::built("engine").await;
    let config = "[server]\nruntime_dir = \"run/subcast\"\n";
    fs::write(session.folder.path().join("work/subcast.toml"), config).unwrap();
    let host = session.serve(&module, "127.0.0.1:0").await;
    let file = session.folder.path().join(format!("work/run/subcast/{}.token", host.address));
    assert!(file.exists() && !session.left().exists());
    assert_eq!(session.run(&[&["publish", &host.url()][..], &EVENT].concat()).await.0, 0);
    assert_eq!(host.end(Signal::TERM).await, Some(0));
    eventually("the file is gone", || !file.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_nothing_uses_is_told_at_the_start() {
    let session = Session::new(true);
    let module = guests::built("engine").await;
    let serve = |name: &str, value: &str| {
        let mut serve = session.subcast(&["serve", module.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
        serve.env(name, value).stdout(Stdio::null()).stderr(Stdio::piped());
        serve
    };
    let mut host = serve("SUBCAST_ADMIN_TOKEN", "0123456789abcdef").spawn().unwrap();
    let mut log = BufReader::new(host.stderr.take().unwrap()).lines();
    let told = loop {
        let line = timeout(PATIENCE, log.next_line()).await.expect("it is told in time").unwrap().expect("it is told");
        if line.contains("SUBCAST_ADMIN_TOKEN") {
            break line;
        }
    };
    assert!(told.contains("WARN") && told.contains("[admin] token_env") && !told.contains("0123456789"), "{told}");
    host.kill().await.unwrap();

    let file = session.folder.path().join("work/check.toml");
    fs::write(&file, "[[module]]\npath = \"m.wasm\"\n").unwrap();
    let mut check = session.subcast(&["config", "check", "check.toml", "--json"]);
    let output = check.env("SUBCAST_PUBLISH_TOKEN", "0123456789abcdef").output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("SUBCAST_PUBLISH_TOKEN") && said.contains("[publish] token_env"), "{said}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["ok"], true);
}
