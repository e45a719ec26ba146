//! The real binary in a process of its own, where its log, descriptors and threads can be looked at.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::host::request;
use super::{PATIENCE, credential, guests};

/// A running `subcast serve`; killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Serves a guest on a free port.
    pub async fn serve(guest: &str) -> Self {
        let module = guests::built(guest).await;
        Self::start(&[module.to_str().unwrap()]).await
    }

    /// Serves several guests, each under its own name, with these additional lines in the table of each.
    pub async fn serve_with(guests: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, lines) in guests {
            let path = guests::built(name).await;
            let _ = write!(text, "[[module]]\nname = \"{name}\"\npath = \"{}\"\n{lines}\n", path.display());
        }
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        // Read before it answers; then the file may go.
        Self::start(&["--config", file.path().to_str().unwrap()]).await
    }

    /// Serves a guest on a free port, with a planted panic: `PLACE=MARK`.
    pub async fn serve_faulty(guest: &str, fault: &str) -> Self {
        let module = guests::built(guest).await;
        Self::start_with(&[module.to_str().unwrap()], &[("SUBCAST_TEST_FAULT", fault)]).await
    }

    /// `subcast serve` with these arguments, on a free port.
    pub async fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[]).await
    }

    /// The same, with these additional variables in its environment.
    pub async fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_subcast"))
            .arg("serve")
            .args(arguments)
            .args(["--listen", "127.0.0.1:0"])
            .env("SUBCAST_SANDBOX_CACHE_DIR", guests::cache())
            .env("SUBCAST_SERVER_RUNTIME_DIR", credential::folder())
            .env("NO_COLOR", "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        collect(child.stderr.take().unwrap(), Arc::clone(&log));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(PATIENCE, lines.next_line()).await.expect("it starts in time").unwrap().unwrap_or_default();
        let address = first.strip_prefix("listening on http://").unwrap_or_else(|| panic!("{first}: {:?}", log.lock()));
        let address = address.parse().unwrap();
        let file = credential::file(&credential::folder(), address);
        if file.exists() {
            credential::learn(address, &file);
        }
        Self { child, address, log }
    }

    pub async fn emit(&self, channel: &str, kind: &str, data: Value) {
        self.publish(&json!({"channel": channel, "type": kind, "data": data})).await;
    }

    pub async fn publish(&self, event: &Value) {
        let event = event.to_string();
        let headers = [("content-type", "application/json")];
        assert_eq!(request(self.address, "POST", "/events", &headers, event.as_bytes()).await.0, 202);
    }

    /// The sum of a metric over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, text) = request(self.address, "GET", "/metrics", &[], b"").await;
        let values =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Entries of a folder of `/proc/PID`, such as `fd` or `task`.
    pub fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(format!("/proc/{}/{folder}", self.child.id().unwrap())).unwrap().count()
    }

    /// The most memory that it has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it has ended by itself; its exit code and its log.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let code = timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").unwrap().code();
        (code, self.log())
    }

    /// Ends it as an operator would; its exit code.
    pub async fn terminate(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").unwrap().code()
    }
}

/// Runs a command to its end, which must come in time.
pub fn finished(command: &mut std::process::Command) -> std::process::Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (done, ended) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        // It has not been waited for, so the number is still its own.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        panic!("{command:?} does not end");
    });
    output.unwrap()
}

/// Reads to the end, so that the process never blocks on a pipe.
fn collect(stream: impl AsyncRead + Unpin + Send + 'static, log: Arc<Mutex<Vec<String>>>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            log.lock().unwrap().push(line);
        }
    });
}
