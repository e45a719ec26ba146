//! Which version is live after a restart, a kill, a new file, a signal; and the commands that an operator uses.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use subcast::deploy::Permission;

use crate::support::host::{Host, deploy};
use crate::support::process::{Process, finished};
use crate::support::site::{Site, version};
use crate::support::{PATIENCE, credential, eventually, guests};

async fn becomes(host: &Process, expected: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let version = version(host).await;
        if version == expected {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "still {version}, not {expected}: {}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn put(host: &Process, component: &Path) -> Value {
    let (status, report) = deploy(host.address, "swap", &std::fs::read(component).unwrap(), "", &[]).await;
    assert_eq!(status, 200, "{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deployed_survives_a_restart_until_the_file_is_another_one() {
    let site = Site::new("").await;
    let host = site.start().await;
    assert_eq!(version(&host).await, "version-0000");
    assert!(!site.path(".subcast").exists(), "nothing was deployed, so nothing is written");
    let report = put(&host, &guests::version(1).await).await;
    assert_eq!(report["stored"], true);
    assert_eq!(host.terminate().await, Some(0));

    let host = site.start().await;
    assert_eq!(version(&host).await, "version-0001");
    // The version of the file can be had again, too.
    rollback(&host);
    assert_eq!(version(&host).await, "version-0000");
    host.kill().await;
    let host = site.start().await;
    assert_eq!(version(&host).await, "version-0000");
    put(&host, &guests::version(1).await).await;
    assert_eq!(host.terminate().await, Some(0));

    // A new file is the newer decision.
    site.put(&guests::version(2).await);
    let host = site.start().await;
    assert_eq!(version(&host).await, "version-0002");
    host.kill().await;
}

/// Rolls back by the command line.
fn rollback(host: &Process) {
    let url = format!("http://{}", host.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_subcast"));
    command.args(["rollback", "swap", "--to", &url, "--json"]);
    let output = finished(command.env("SUBCAST_SERVER_RUNTIME_DIR", credential::folder()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["unchanged"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_during_a_swap_comes_back_with_a_whole_version() {
    let site = Site::new("").await;
    let next = guests::version(1).await;
    let component = std::fs::read(&next).unwrap();
    let mut seen = Vec::new();
    // First after it was answered, which tells how long that takes here; then at moments before.
    let mut whole = None;
    for tenths in [20, 0, 1, 2, 3, 4, 5, 6, 8, 10] {
        let host = site.start().await;
        let before = version(&host).await;
        let upload = {
            let (address, component) = (host.address, component.clone());
            tokio::spawn(async move { deploy_or_die(address, component).await })
        };
        let began = Instant::now();
        let answered = if let Some(whole) = whole {
            tokio::time::sleep(whole * tenths / 10).await;
            host.kill().await;
            upload.await.unwrap()
        } else {
            let answered = upload.await.unwrap();
            whole = Some(began.elapsed());
            host.kill().await;
            answered
        };
        let host = site.start().await;
        let after = version(&host).await;
        assert!(["version-0000", "version-0001"].contains(&after.as_str()), "{after}");
        if answered {
            assert_eq!(after, "version-0001", "it was answered, so it must last");
        }
        assert!(!host.log().contains("ERROR"), "{}", host.log());
        seen.push((before, after, answered));
        // From the start for the next round.
        host.kill().await;
        std::fs::remove_dir_all(site.path(".subcast")).ok();
    }
    assert!(seen.iter().any(|(_, after, _)| after == "version-0000"), "the kill never came early: {seen:?}");
    assert!(seen.iter().any(|(_, after, _)| after == "version-0001"), "the kill never came late: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_it_compiles_comes_back_with_what_it_served() {
    let site = Site::new("").await;
    // Never compiled to the end, so it is cold each time.
    let next = guests::patched("swap", "cold", &[("version-0000", "version-cold")]).await;
    let component = std::fs::read(next).unwrap();
    let host = site.start().await;
    let address = host.address;
    let upload = tokio::spawn(async move { deploy_or_die(address, component).await });
    eventually("it compiles", || host.log().contains("compiling the module")).await;
    host.kill().await;
    assert!(!upload.await.unwrap(), "it was answered before it was killed");
    let host = site.start().await;
    assert_eq!(version(&host).await, "version-0000");
    assert!(!host.log().contains("ERROR"), "{}", host.log());
    assert_eq!(host.terminate().await, Some(0));
}

/// Whether a deployment was answered before the host died.
async fn deploy_or_die(address: std::net::SocketAddr, component: Vec<u8>) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return false };
    let head = format!(
        "PUT /admin/modules/swap HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/wasm\r\n{}content-length: {}\r\n\r\n",
        credential::line(address),
        component.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&component).await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer.starts_with("HTTP/1.1 200")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_is_deployed_when_it_is_replaced_and_refused_when_it_does_not_hold() {
    let site = Site::new("watch = true\n").await;
    let (first, second) = (guests::version(1).await, guests::version(2).await);
    let host = site.start().await;
    assert_eq!(version(&host).await, "version-0000");
    site.put(&first);
    becomes(&host, "version-0001").await;
    // Cut off, and completed later: what is half there does no harm.
    let whole = std::fs::read(&second).unwrap();
    std::fs::write(site.path("swap.wasm"), &whole[..whole.len() / 2]).unwrap();
    eventually("the half is refused", || host.log().contains("the new file was refused")).await;
    assert_eq!(version(&host).await, "version-0001");
    std::fs::write(site.path("swap.wasm"), &whole).unwrap();
    becomes(&host, "version-0002").await;
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_makes_the_host_look_at_its_files() {
    let site = Site::new("").await;
    let first = guests::version(1).await;
    let host = site.start().await;
    site.put(&first);
    assert_eq!(version(&host).await, "version-0000");
    host.signal(Signal::HUP);
    becomes(&host, "version-0001").await;
    // The file that was replaced was kept open, so it can be live again.
    rollback(&host);
    assert_eq!(version(&host).await, "version-0000");
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_before_the_host_serves_does_not_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // With an empty cache, it compiles for seconds first.
    let mut host = Command::new(env!("CARGO_BIN_EXE_subcast"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .arg(guests::built("swap").await)
        .env("SUBCAST_SANDBOX_CACHE_DIR", folder.path().join("cache"))
        .env("SUBCAST_SERVER_RUNTIME_DIR", credential::folder())
        .stderr(std::fs::File::create(&log).unwrap())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("it compiles", || std::fs::read_to_string(&log).unwrap().contains("compiling the module")).await;
    kill_process(Pid::from_child(&host), Signal::HUP).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(host.try_wait().unwrap(), None, "it has ended");
    host.kill().unwrap();
    host.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_not_changed_undoes_no_decision() {
    let host = Host::start(&["swap"], "").await;
    let live = || {
        let generation = host.runtime.generation();
        generation.modules().first().map(|module| module.digest().to_owned())
    };
    // What SIGHUP and the watch do.
    let reload = async || {
        let report = host.runtime.deployer().reload("swap", Permission::default()).await.unwrap();
        assert!(report.unchanged, "{report:?}");
    };
    let configured = live();
    let (status, report) = host.put("swap", &guests::version(1).await, "").await;
    assert_eq!(status, 200, "{report}");
    let deployed = live();
    assert_ne!(deployed, configured);
    reload().await;
    assert_eq!(live(), deployed, "a deployment is undone");
    host.runtime.deployer().rollback("swap", None, Permission::default()).await.unwrap();
    assert_eq!(live(), configured);
    reload().await;
    assert_eq!(live(), configured, "a rollback is undone");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_do_not_share_a_store() {
    let site = Site::new("").await;
    let host = site.start().await;
    put(&host, &guests::version(1).await).await;
    let config = site.path("subcast.toml");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
    let second = finished(Command::new(env!("CARGO_BIN_EXE_subcast")).args(arguments));
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("in use by another host") && said.contains("[admin] store"), "{said}");
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_and_change_versions_by_commands() {
    let site = Site::new("").await;
    let next = guests::version(1).await;
    let host = site.start().await;
    let url = format!("http://{}", host.address);
    let subcast = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_subcast"));
        command.args(arguments).args(["--to", &url]).env("SUBCAST_SERVER_RUNTIME_DIR", credential::folder());
        let output = finished(&mut command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, said, error) = subcast(&["deploy", next.to_str().unwrap(), "--name", "swap"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(
        said.starts_with("swap ") && said.contains("is live after") && said.ends_with("0 subscriptions moved"),
        "{said}"
    );
    let (_, again, _) = subcast(&["deploy", next.to_str().unwrap(), "--name", "swap"]);
    assert!(again.ends_with("is live already"), "{again}");
    let (_, listed, _) = subcast(&["modules"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].starts_with("swap  ") && lines[0].contains("tick"), "{listed}");
    assert!(lines[1].starts_with("  * ") && lines[2].starts_with("    ") && lines.len() == 3, "{listed}");
    // The same fields under another name: refused by the host, in its words.
    let (code, _, error) = subcast(&["deploy", next.to_str().unwrap(), "--name", "other"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("modules swap and other both have the subscription field"), "{error}");
    let (code, _, error) = subcast(&["rollback", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no module `nobody`"), "{error}");
    let (code, _, error) = subcast(&["rollback", "swap", "--version", "abc&force=true"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("at least 8 hexadecimal digits"), "{error}");
    // Without --name the file's name counts, which this one shares with no module: told with the refusal.
    let (code, _, error) = subcast(&["deploy", next.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(error.contains("--name chooses another"), "{error}");
    let (code, said, error) = subcast(&["rollback", "swap"]);
    assert_eq!(code, Some(0), "{error}");
    // Another rollback would go further back: what undoes it is told.
    let undo = said.lines().last().unwrap().strip_prefix("undo with: subcast ").expect("told how to undo it");
    let (undo, to) = undo.split_once(" --to ").unwrap();
    assert_eq!(to, url);
    let (code, said, error) = subcast(&undo.split(' ').collect::<Vec<_>>());
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("is live after"), "{said}");
    assert_eq!(host.terminate().await, Some(0));
}
