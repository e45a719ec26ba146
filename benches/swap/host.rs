//! The host: the release binary in a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Of the host's admin routes.
const TOKEN: &str = "the-token-of-the-bench";

pub struct Host {
    child: Child,
    cache: std::path::PathBuf,
    pub address: SocketAddr,
}

impl Host {
    pub async fn start(folder: &Path, module: &Path) -> Self {
        let cache = folder.join("cache");
        let config = folder.join("subcast.toml");
        std::fs::write(
            &config,
            format!("[publish]\nanonymous = true\n[admin]\ntoken_env = \"SUBCAST_ADMIN_TOKEN\"\n[[module]]\nname = \"swap\"\npath = \"{}\"\ninstances = 1\n", module.display()),
        )
        .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_subcast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--config"])
            .arg(config)
            .env("SUBCAST_SANDBOX_CACHE_DIR", &cache)
            .env("SUBCAST_ADMIN_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        let address = first.strip_prefix("listening on http://").unwrap().parse().unwrap();
        Self { child, cache, address }
    }

    /// Compiles a component into the host's cache, in another process.
    pub async fn compile(&self, module: &Path) {
        let status = Command::new(env!("CARGO_BIN_EXE_subcast"))
            .arg("inspect")
            .arg(module)
            .env("SUBCAST_SANDBOX_CACHE_DIR", &self.cache)
            .stdout(Stdio::null())
            .status();
        assert!(status.await.unwrap().success());
    }

    /// Forgets the functions that were compiled before, so that the next component is compiled as if it were the first.
    pub fn forget_functions(&self) {
        for entry in std::fs::read_dir(&self.cache).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("functions-") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// Deploys like an operator does: not on a thread on which clients read, since sending megabytes would hold them up.
    pub async fn deploy(&self, module: &Path) -> Value {
        let (address, module) = (self.address, module.to_owned());
        let deployed = tokio::task::spawn_blocking(move || {
            let mut component = std::fs::File::open(module).unwrap();
            let mut stream = TcpStream::connect(address).unwrap();
            let head = format!(
                "PUT /admin/modules/swap HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/wasm\r\ncontent-length: {}\r\n\r\n",
                component.metadata().unwrap().len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            // In pieces: what the kernel does at once holds up whoever shares the core.
            let mut piece = vec![0; 64 << 10];
            loop {
                match component.read(&mut piece).unwrap() {
                    0 => break,
                    count => stream.write_all(&piece[..count]).unwrap(),
                }
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = deployed.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let report: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(report["unchanged"], false);
        report
    }

    /// Resident memory, descriptors, threads.
    pub fn usage(&self) -> String {
        let pid = self.child.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        format!(
            "RSS {} (anonymous {}), {descriptors} descriptors, {} threads",
            line("VmRSS:"),
            line("RssAnon:"),
            line("Threads:")
        )
    }

    pub async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Milliseconds of CPU time that this machine, if it is a virtual one, has not got when it wanted it.
pub fn stolen() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let ticks: u64 = stat.split_whitespace().nth(8).unwrap().parse().unwrap();
    ticks * 10
}
