//! What somebody has decided about versions holds: after a restart, after a refusal, with another signature.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use subcast::deploy::Permission;

use crate::support::host::{Host, deploy, request};
use crate::support::process::{Process, finished};
use crate::support::site::{Site, version};
use crate::support::{credential, eventually, guests};

/// Digest of the live version, as the host tells it.
async fn live(host: &Process) -> String {
    let (_, told) = request(host.address, "GET", "/admin/modules/swap", &[], b"").await;
    let told: Value = serde_json::from_str(&told).unwrap();
    told["digest"].as_str().unwrap_or_else(|| panic!("nothing is live: {told}")).to_owned()
}

async fn put(host: &Process, component: &Path) {
    let (status, report) = deploy(host.address, "swap", &std::fs::read(component).unwrap(), "", &[]).await;
    assert_eq!(status, 200, "{report}");
}

async fn rollback(host: &Process) {
    let (status, report) = request(host.address, "POST", "/admin/modules/swap/rollback", &[], b"").await;
    assert_eq!(status, 200, "{report}");
}

/// Shows more than `swap` does.
async fn wider() -> PathBuf {
    let wider = guests::patched("swap", "wider", &[("event.data.seq >= 1000", "event.data.seq >=  999")]).await;
    guests::compiled(wider).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_refused_is_not_served_after_a_restart_either() {
    let site = Site::new("").await;
    let failing = guests::compiled(guests::patched("swap", "bad", &[("version-0000", "version-bad!")]).await).await;
    let garbage = site.path("garbage");
    std::fs::write(&garbage, "no component").unwrap();
    let host = site.start().await;
    let first = live(&host).await;
    host.kill().await;
    for (refused, why) in
        [(wider().await, "widens access"), (failing, "its own example"), (garbage, "not a WebAssembly")]
    {
        let host = site.start().await;
        assert_eq!(live(&host).await, first);
        site.put(&refused);
        host.signal(Signal::HUP);
        eventually("the file is refused", || host.log().contains("the new file was refused")).await;
        assert!(host.log().contains(why), "{}", host.log());
        host.kill().await;
        let host = site.start().await;
        assert_eq!(live(&host).await, first, "{why}: {}", host.log());
        assert!(host.log().contains("the configured file was refused") && host.log().contains(why), "{}", host.log());
        host.kill().await;
        // As it was; what was learned stays in the store.
        site.put(&guests::built("swap").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_from_the_configured_file_holds_after_a_restart() {
    let site = Site::new("").await;
    let host = site.start().await;
    let first = live(&host).await;
    // Deployed by hand, before the host has looked at the file.
    let next = guests::version(1).await;
    site.put(&next);
    put(&host, &next).await;
    rollback(&host).await;
    assert_eq!(live(&host).await, first);
    host.kill().await;
    let host = site.start().await;
    assert_eq!(live(&host).await, first, "{}", host.log());
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_after_a_start_with_another_file_brings_what_was_live_before_it() {
    let site = Site::new("").await;
    let host = site.start().await;
    put(&host, &guests::version(1).await).await;
    host.kill().await;
    site.put(&guests::version(2).await);
    let host = site.start().await;
    assert_eq!(version(&host).await, "version-0002");
    rollback(&host).await;
    assert_eq!(version(&host).await, "version-0001");
    host.kill().await;
    // The file has not changed since somebody went back from it.
    let host = site.start().await;
    assert_eq!(version(&host).await, "version-0001");
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_was_removed_comes_back_as_it_was() {
    let host = Host::start(&["swap"], "").await;
    for number in [1, 2] {
        host.deploy("swap", &guests::version(number).await).await;
    }
    let deployer = host.runtime.deployer();
    let before = deployer.rollback("swap", None, Permission::default()).await.unwrap().digest;
    deployer.remove("swap", Permission::default()).await.unwrap();
    let back = deployer.rollback("swap", None, Permission::default()).await.unwrap();
    assert_eq!(back.digest, before);
    host.stop().await;
}

/// A host with a key, and what signs with it.
struct Signer {
    key: PathBuf,
    public: String,
}

impl Signer {
    fn new(folder: &Path, name: &str) -> Self {
        let key = folder.join(name);
        let public = subcast(&["sign", "--key", key.to_str().unwrap()]);
        Self { key, public }
    }

    /// Signs a file, beside it.
    fn sign(&self, component: &Path) {
        subcast(&["sign", component.to_str().unwrap(), "--key", self.key.to_str().unwrap()]);
    }
}

fn subcast(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_subcast"));
    let output = finished(command.args(arguments).env("SUBCAST_SERVER_RUNTIME_DIR", credential::folder()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_whose_signature_comes_later_is_deployed_then() {
    let site = Site::new("watch = true\n").await;
    let signer = Signer::new(site.folder.path(), "key.pem");
    trust(&site, &[&signer]);
    signer.sign(&site.path("swap.wasm"));
    let host = site.start().await;
    site.put(&guests::version(1).await);
    eventually("the file is refused", || host.log().contains("of another component")).await;
    assert_eq!(version(&host).await, "version-0000");
    signer.sign(&site.path("swap.wasm"));
    eventually("it is deployed", || host.log().contains("a new version is live")).await;
    assert_eq!(version(&host).await, "version-0001");
    host.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_signature_of_the_live_version_counts_after_a_restart() {
    let site = Site::new("").await;
    let (old, new) = (Signer::new(site.folder.path(), "old.pem"), Signer::new(site.folder.path(), "new.pem"));
    trust(&site, &[&old, &new]);
    old.sign(&site.path("swap.wasm"));
    let next = site.path("next.wasm");
    std::fs::copy(guests::version(1).await, &next).unwrap();
    let host = site.start().await;
    for signer in [&old, &new] {
        signer.sign(&next);
        let url = format!("http://{}", host.address);
        subcast(&["deploy", next.to_str().unwrap(), "--name", "swap", "--to", &url]);
    }
    host.kill().await;
    // The old key is trusted no longer.
    trust(&site, &[&new]);
    new.sign(&site.path("swap.wasm"));
    let host = site.start().await;
    assert_eq!(version(&host).await, "version-0001", "{}", host.log());
    host.kill().await;
}

/// Lets the site's host trust these, and nobody else.
fn trust(site: &Site, signers: &[&Signer]) {
    let path = site.path("subcast.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let modules = &text[text.find("[[module]]").unwrap()..];
    let keys: Vec<_> = signers.iter().map(|signer| format!("{:?}", signer.public)).collect();
    std::fs::write(path, format!("[admin]\ntrusted_keys = [{}]\n{modules}", keys.join(", "))).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_learns_why_however_large_the_component_is() {
    let config = "[admin]\ntoken_env = \"SUBCAST_TEST_SECRET\"\n";
    let host = Host::start_with_secret(&["swap"], config, "secret-secret-secret").await;
    let component = guests::version(1).await;
    let url = format!("http://{}", host.address);
    for _ in 0..10 {
        let arguments = ["deploy", component.to_str().unwrap(), "--name", "swap", "--to", &url, "--token", "wrong"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_subcast"));
        let output = tokio::task::block_in_place(|| finished(command.args(arguments)));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("the credential is wrong"), "{said}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_told_and_loses_nothing() {
    let site = Site::new("").await;
    let (first, second) = (guests::version(1).await, guests::version(2).await);
    let host = site.start().await;
    let configured = live(&host).await;
    let store = site.path(".subcast/subcast");
    let (record, aside) = (store.join("swap.json"), store.join("aside"));
    // No record can be renamed into its place.
    DirBuilder::new().recursive(true).mode(0o700).create(&record).unwrap();
    let component = std::fs::read(&first).unwrap();
    let (status, answer) = deploy(host.address, "swap", &component, "", &[]).await;
    // A rollback could not bring the live version back.
    assert_eq!((status, &answer["errors"][0]["extensions"]["stage"]), (500, &Value::from("store")), "{answer}");
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("swap.json"), "{answer}");
    assert_eq!(live(&host).await, configured);

    std::fs::remove_dir(&record).unwrap();
    put(&host, &first).await;
    let recorded = live(&host).await;
    assert_ne!(recorded, configured);
    std::fs::rename(&record, &aside).unwrap();
    std::fs::create_dir(&record).unwrap();
    let (status, report) = deploy(host.address, "swap", &std::fs::read(&second).unwrap(), "", &[]).await;
    assert_eq!((status, &report["stored"]), (200, &Value::from(false)), "{report}");
    assert_eq!(version(&host).await, "version-0002");
    assert!(host.log().contains("after a restart the one before it will be"), "{}", host.log());
    host.kill().await;
    std::fs::remove_dir(&record).unwrap();
    std::fs::rename(&aside, &record).unwrap();
    let host = site.start().await;
    assert_eq!(live(&host).await, recorded, "{}", host.log());
    host.kill().await;
}
