//! Modules that would take more than their share while they are loaded: of the engine, of the cache, of the compiler.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use subcast::outcome::Outcome;
use subcast::sandbox::{Isolation, Limits, Module};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::component::{Act, Field, Handmade, Idle};
use crate::support::credential;
use crate::support::eventually;
use crate::support::host::{Host, deploy};
use crate::support::loader::Loader;

/// Modules that want more of one kind than a slot has, by the name of the kind.
fn greedy() -> [(&'static str, Idle); 4] {
    [
        ("core instances", Idle { instances: 200, ..Idle::default() }),
        ("tables", Idle { instances: 16, tables: 1, elements: 10, ..Idle::default() }),
        ("memories", Idle { instances: 3, pages: Some(1), ..Idle::default() }),
        ("elements of segments", Idle { instances: 11, segment: 10_000, ..Idle::default() }),
    ]
}

/// Modules that want all of one kind that a slot has.
fn modest() -> [Idle; 4] {
    [
        Idle { instances: 199, ..Idle::default() },
        Idle { instances: 4, tables: 1, elements: 100_000, ..Idle::default() },
        Idle { instances: 1, pages: Some(1), ..Idle::default() },
        Idle { instances: 10, segment: 10_000, ..Idle::default() },
    ]
}

fn with(idle: Idle) -> Handmade {
    Handmade { idle: vec![idle], ..Handmade::default() }
}

/// A component that no other test or row has compiled.
fn numbered(number: usize, handmade: Handmade) -> Vec<u8> {
    Handmade { extensions: Some(number.to_string()), ..handmade }.encode()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_wants_more_than_a_slot_has_is_refused_in_one_sentence() {
    let gate = Loader::new();
    for (what, idle) in greedy() {
        let refused = gate.load(&with(idle).encode()).await.expect_err(what).to_string();
        assert!(refused.contains(what) && refused.contains("a slot has"), "{what}: {refused}");
    }
    gate.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_have_their_instances_beside_modules_that_take_all_they_can() {
    for (row, ((what, greedy), modest)) in greedy().into_iter().zip(modest()).enumerate() {
        let gate = Loader::with_instances(40);
        let mut takers: Vec<Arc<Module>> = Vec::new();
        for number in 0..8 {
            let limits = Limits { instances: 2, ..Limits::default() };
            // Refused or not: what counts is what the neighbours have.
            for idle in [&greedy, &modest] {
                let bytes = numbered(2 + row * 10 + number, with(idle.clone()));
                takers.extend(gate.load_with(&bytes, limits).await.ok());
            }
        }
        assert!(takers.len() >= 8, "{what}: little stands beside the neighbours");
        let mut neighbours = Vec::new();
        for (number, isolation) in [Isolation::PerCall, Isolation::Shared].into_iter().enumerate() {
            let limits = Limits { instances: 2, isolation, ..Limits::default() };
            let bytes = numbered(number, Handmade::default());
            neighbours.push(gate.load_with(&bytes, limits).await.unwrap_or_else(|error| panic!("{what}: {error}")));
        }
        for round in 0..20 {
            for taker in &takers {
                assert_eq!(gate.ask(taker).await, Outcome::Value("1".to_owned()), "{what}: a taker, round {round}");
            }
            for neighbour in &neighbours {
                assert_eq!(gate.ask(neighbour).await, Outcome::Value("1".to_owned()), "{what}, round {round}");
            }
        }
        drop((takers, neighbours));
        gate.is_clean().await;
    }
}

/// The names in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_load_leaves_nothing_behind() {
    let gate = Loader::new();
    let base = Handmade::default;
    let wide = |pages| Idle { instances: 1, pages: Some(pages), wide: true, ..Idle::default() };
    for (what, handmade) in [
        ("a describe that traps", Handmade { describe: Act::Trap, ..base() }),
        ("a start that traps", Handmade { start: Act::Trap, ..base() }),
        ("a manifest beyond its bounds", Handmade { fields: vec![Field::named("f"); 1_001], ..base() }),
        ("more memory than it may have", with(wide(1_100))),
        ("more tables than a slot has", with(Idle { instances: 5, tables: 1, ..Idle::default() })),
        ("a component inside", Handmade { composed: true, ..base() }),
    ] {
        gate.load(&handmade.encode()).await.expect_err(what);
        assert_eq!(names(&gate.cache()), BTreeSet::from(["key".to_owned()]), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_modules_do_not_drive_a_live_one_out_of_the_cache() {
    let gate = Loader::new();
    let live = gate.load(&Handmade::default().encode()).await.unwrap();
    let kept = names(&gate.cache());
    for number in 0..33 {
        let refused = numbered(number, Handmade { describe: Act::Trap, ..Handmade::default() });
        gate.load(&refused).await.expect_err("it traps");
    }
    assert_eq!(names(&gate.cache()), kept);
    drop(live);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_tables_at_the_start_are_checked_before_anything_is_compiled() {
    // A compiler that fails, and that nobody is to run.
    let gate = Loader::compiling_by("exit 77");
    let refused = |idle| {
        let (gate, bytes) = (&gate, with(idle).encode());
        async move { gate.load(&bytes).await.unwrap_err().to_string() }
    };
    let memory = refused(Idle { instances: 1, pages: Some(1_100), ..Idle::default() }).await;
    assert!(memory.contains("bytes of memory") && memory.contains("`memory` of its module"), "{memory}");
    let twice = refused(Idle { instances: 1, pages: Some(1_030), ..Idle::default() }).await;
    assert!(twice.contains("bytes of memory"), "the sum of its memories counts: {twice}");
    let tables = refused(Idle { instances: 1, tables: 1, elements: 100_001, ..Idle::default() }).await;
    assert!(tables.contains("100001 elements") && tables.contains("100000"), "{tables}");
    let fits = refused(Idle { instances: 1, pages: Some(900), ..Idle::default() }).await;
    assert!(fits.contains("the compiler"), "what fits is compiled: {fits}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiled_form_beyond_its_bound_is_refused() {
    let gate = Loader::new();
    // Each within what is laid out as a whole, and together more than is kept, although nobody instantiates them.
    let wide = Idle { pages: Some(1_600), wide: true, ..Idle::default() };
    let bytes = Handmade { idle: vec![wide; 3], ..Handmade::default() }.encode();
    assert!(bytes.len() < 4_000, "{} bytes", bytes.len());
    let limits = Limits { memory: 1 << 30, ..Limits::default() };
    let refused = gate.load_with(&bytes, limits).await.unwrap_err().to_string();
    assert!(refused.contains("compiled form") && refused.contains("268435456 bytes"), "{refused}");
    assert_eq!(names(&gate.cache()), BTreeSet::from(["key".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_several_components_is_refused_by_name() {
    let gate = Loader::new();
    let composed = Handmade { composed: true, ..Handmade::default() };
    let refused = gate.load(&composed.encode()).await.unwrap_err().to_string();
    assert!(refused.contains("several components") && refused.contains("subcast build"), "{refused}");
    assert!(!refused.contains("panicked") && !refused.contains('/'), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiler_that_panics_is_told_without_its_words() {
    let gate = Loader::compiling_by("echo \"thread 'main' panicked at /home/me/.cargo/x.rs:1: oops\" >&2; exit 101");
    let refused = gate.load(&Handmade::default().encode()).await.unwrap_err().to_string();
    for inner in ["panicked", "/home/me", "oops"] {
        assert!(!refused.contains(inner), "{refused}");
    }
    assert!(refused.contains("the compiler failed"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_component_is_not_compiled_again_for_a_while() {
    let runs = tempfile::NamedTempFile::new().unwrap();
    let gate = Loader::compiling_by(&format!("echo run >> {}; exit 101", runs.path().display()));
    let bytes = Handmade::default().encode();
    let first = gate.load(&bytes).await.unwrap_err().to_string();
    let again = gate.load(&bytes).await.unwrap_err().to_string();
    assert!(again.starts_with(&first) && again.contains("refused before"), "{again}");
    let runs = || std::fs::read_to_string(runs.path()).unwrap().lines().count();
    assert_eq!(runs(), 1);
    // Other bytes, or other limits, are another question.
    gate.load(&numbered(1, Handmade::default())).await.unwrap_err();
    gate.load_with(&bytes, Limits { memory: 32 << 20, ..Limits::default() }).await.unwrap_err();
    assert_eq!(runs(), 3);
}

/// A connection on which a component of this many bytes is announced.
async fn announced(host: &Host, name: &str, bytes: u64) -> TcpStream {
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let head = format!(
        "PUT /admin/modules/{name} HTTP/1.1\r\nhost: {}\r\n{}content-type: application/wasm\r\ncontent-length: {bytes}\r\n\r\n",
        host.address,
        credential::line(host.address)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploader_who_leaves_takes_the_compiler_along() {
    let folder = tempfile::tempdir().unwrap();
    let (pid, cache, store) = (folder.path().join("pid"), folder.path().join("cache"), folder.path().join("store"));
    // It never ends by itself, and tells which process it is.
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", pid.display());
    let extra = format!("[sandbox]\ncache_dir = {cache:?}\n[admin]\nstore = {store:?}\n");
    let host = Host::start_compiling_by(&script, &extra).await;
    let component = Handmade::default().encode();
    let mut upload = announced(&host, "gone", component.len() as u64).await;
    upload.write_all(&component).await.unwrap();
    eventually("it compiles", || pid.exists()).await;
    let compiler = format!("/proc/{}", std::fs::read_to_string(&pid).unwrap().trim());
    assert!(Path::new(&compiler).exists());
    drop(upload);
    eventually("the compiler is gone", || !Path::new(&compiler).exists()).await;
    // Nothing is left of it, and the next one has its turn.
    let is_empty = || names(&cache) == BTreeSet::from(["key".to_owned()]);
    eventually("the cache is as it was", is_empty).await;
    eventually("the store is as it was", || names(&store) == BTreeSet::from(["lock".to_owned()])).await;
    std::fs::remove_file(&pid).unwrap();
    let next = numbered(1, Handmade::default());
    let mut upload = announced(&host, "next", next.len() as u64).await;
    upload.write_all(&next).await.unwrap();
    eventually("the next one compiles", || pid.exists()).await;
    drop(upload);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_no_component_has_is_refused_before_it_arrives() {
    let host = Host::start(&[], "").await;
    for length in [(256 << 20) + 1, 10_u64.pow(18)] {
        let mut upload = announced(&host, "large", length).await;
        let mut answer = [0; 12];
        // Half of what a silent upload is given.
        let read = timeout(Duration::from_secs(15), upload.read_exact(&mut answer)).await;
        read.unwrap_or_else(|_| panic!("{length}: no answer")).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{length}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_whoever_sends_first_and_reads_afterwards() {
    let host = Host::start(&[], "").await;
    // More than the buffers between the two hold.
    let body = vec![0; 24 << 20];
    let (status, answer) = deploy(host.address, "-x", &body, "", &[]).await;
    assert_eq!(status, 400, "{answer}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_knows_a_bounded_number_of_modules() {
    let (folder, digest) = (tempfile::tempdir().unwrap(), "0123456789abcdef".repeat(4));
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    for number in 0..256 {
        let version = format!(r#"{{"digest": "{digest}", "size": 1, "deployed": ""}}"#);
        let record = format!(r#"{{"configured": null, "versions": [{version}], "live": null}}"#);
        std::fs::write(store.join(format!("m{number}.json")), record).unwrap();
    }
    let host = Host::start(&[], &format!("[admin]\nstore = {store:?}\n")).await;
    let component = Handmade::default().encode();
    let (status, refused) = deploy(host.address, "another", &component, "", &[]).await;
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains("knows 256 modules"), "{refused}");
    // A name that is known is no further one.
    let (status, report) = deploy(host.address, "m7", &component, "", &[]).await;
    assert_eq!(status, 200, "{report}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compiled_form_of_the_version_before_stays_whatever_comes_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let store = folder.path().join("store");
    // No room for more than what is live.
    let extra =
        format!("[sandbox]\ncache_dir = {cache:?}\ncache_size = \"1KiB\"\n[admin]\nstore = {store:?}\nversions = 2\n");
    let host = Host::start(&[], &extra).await;
    let mut digests = Vec::new();
    for number in 0..4 {
        let component = numbered(number, Handmade::default());
        let (status, report) = deploy(host.address, "m", &component, "", &[]).await;
        assert_eq!(status, 200, "{report}");
        digests.push(report["digest"].as_str().unwrap().to_owned());
        let is_kept = |digest: &str| names(&cache).iter().any(|name| name.starts_with(digest));
        let kept: Vec<bool> = digests.iter().map(|digest| is_kept(digest)).collect();
        let expected: Vec<bool> = (0..=number).map(|n| n + 2 > number).collect();
        assert_eq!(kept, expected, "after version {number}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_fails_its_example_writes_no_line_of_the_host() {
    let host = Host::start(&[], "").await;
    let answer = r#"[{"failed":{"message":"a\n2026 ERROR forged","code":null,"extensions":null,"expose":false,"traceback":"b\n2026 ERROR forged\u001b[2J"}}]"#;
    let component = Handmade {
        fields: vec![Field { example: Some("{}".to_owned()), ..Field::named("f") }],
        resolve: Act::Answer(answer.into()),
        ..Handmade::default()
    };
    let (status, refused) = deploy(host.address, "forger", &component.encode(), "", &[]).await;
    assert_eq!(status, 422, "{refused}");
    let message = refused["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("fails for its own example"), "{message}");
    assert!(message.lines().skip(1).all(|line| line.starts_with("    | ")) && !message.contains('\u{1b}'), "{message}");
    host.stop().await;
}
