//! Bytes that are hardly components at all: made up, cut off, changed in a few places.

#![expect(clippy::print_stderr, reason = "what came of the cases")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use subcast::modules;
use subcast::outcome::Outcome;
use subcast::sandbox::LoadError;

use crate::support::client::Client;
use crate::support::component::{Field, Handmade};
use crate::support::encoding::{sections, unsigned};
use crate::support::host::{Host, deploy};
use crate::support::loader::{Loader, children, descriptors};
use crate::support::{PATIENCE, eventually, guests};

/// After so many cases all kinds of ends have been seen; on a slow machine that takes longer than the seconds of a run.
const ENOUGH: u32 = 2_000;

/// Seconds of `make fuzz`; a few in the test suite.
fn seconds() -> u64 {
    std::env::var("SUBCAST_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(5)
}

/// The seed of a run: given to repeat one, otherwise the same in each.
fn seed() -> u64 {
    std::env::var("SUBCAST_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_components_are_loaded_or_refused_and_never_more() {
    let gate = Loader::new();
    let small = Handmade::default().encode();
    let real = std::fs::read(guests::built("engine").await).unwrap();
    // What the first load needs for good.
    drop(gate.load(&small).await.unwrap());
    gate.is_clean().await;
    let (descriptors_before, children_before) = (descriptors(), children());

    let (seed, deadline) = (seed(), Instant::now() + Duration::from_secs(seconds()));
    let mut random = StdRng::seed_from_u64(seed);
    // A case of another run, alone.
    let only: Option<u32> = std::env::var("SUBCAST_FUZZ_CASE").ok().and_then(|case| case.parse().ok());
    let (mut refused, mut loaded, mut compiled) = (0_u32, 0_u32, 0_u32);
    for case in 0_u32.. {
        let shows_all = refused > 0 && compiled > 0 && loaded > 0;
        if only.is_none() && (shows_all || case > ENOUGH) && Instant::now() > deadline {
            break;
        }
        let bytes = damaged(&mut random, case, &small, &real);
        if only.is_some_and(|only| only != case) {
            continue;
        }
        let context = format!("SUBCAST_FUZZ_SEED={seed} SUBCAST_FUZZ_CASE={case}");
        let start = Instant::now();
        let result = gate.load(&bytes).await;
        let took = start.elapsed();
        if only.is_some() {
            let path = std::env::temp_dir().join("subcast-fuzz.wasm");
            std::fs::write(&path, &bytes).unwrap();
            eprintln!("{}: {took:?}: {result:?}", path.display());
        }
        match result {
            Ok(module) => {
                loaded += 1;
                // It may be anything now; whatever it answers, it answers.
                let _ = modules::check("handmade", module.manifest());
                gate.ask(&module).await;
            }
            Err(LoadError::Compile(error)) => {
                compiled += 1;
                assert!(!error.to_string().contains("panicked"), "{context}: {error}");
            }
            Err(LoadError::Read(error)) => panic!("{context}: {error}"),
            Err(LoadError::Full | LoadError::Stopping | LoadError::Cache(_)) => {
                panic!("{context}: the host is at fault")
            }
            Err(_) => refused += 1,
        }
        // Describing may take all of its 2 s of CPU time, and compiling has a process of its own.
        assert!(start.elapsed() < PATIENCE, "{context}: {took:?} to load, {:?} in all", start.elapsed());
        if only.is_some() {
            return;
        }
    }
    eprintln!("{refused} refused at a look, {compiled} by the compiler, {loaded} loaded");
    assert!(refused > 0 && compiled > 0 && loaded > 0, "the mutations are too coarse or too fine to show anything");
    gate.is_clean().await;
    eventually("descriptors are closed", || descriptors() <= descriptors_before).await;
    eventually("compilers are gone", || children() <= children_before).await;
    // And it still works.
    let module = gate.load(&small).await.unwrap();
    assert_eq!(gate.ask(&module).await, Outcome::Value("1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_components_are_deployed_or_refused_and_what_is_live_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, store) = (folder.path().join("cache"), folder.path().join("store"));
    let places = format!("[sandbox]\ncache_dir = {cache:?}\n[admin]\nstore = {store:?}\nversions = 2\n");
    let host = Host::start(&[], &places).await;
    let neighbour = Handmade {
        schema: b"type Subscription { n: Int }".to_vec(),
        fields: vec![Field::named("n")],
        ..Handmade::default()
    };
    let (status, report) = deploy(host.address, "neighbour", &neighbour.encode(), "", &[]).await;
    assert_eq!(status, 200, "{report}");
    let mut client = Client::connect(host.address).await;
    client.subscribed("n", "subscription { n }").await;

    let (small, real) = (Handmade::default().encode(), std::fs::read(guests::built("engine").await).unwrap());
    let (seed, deadline) = (seed(), Instant::now() + Duration::from_secs(seconds()));
    let mut random = StdRng::seed_from_u64(seed);
    let mut stages = BTreeMap::<String, u32>::new();
    for case in 0_u32.. {
        let shows_all = ["verify", "compile"].iter().all(|stage| stages.contains_key(*stage));
        if (shows_all || case > ENOUGH) && Instant::now() > deadline {
            break;
        }
        let bytes = damaged(&mut random, case, &small, &real);
        let (status, answer) = deploy(host.address, "damaged", &bytes, "?force=true&allow_widening=true", &[]).await;
        let stage = match status {
            200 => "live",
            400..=499 => answer["errors"][0]["extensions"]["stage"].as_str().unwrap_or_default(),
            _ => panic!("SUBCAST_FUZZ_SEED={seed}, case {case}: {status} {answer}"),
        };
        *stages.entry(stage.to_owned()).or_default() += 1;
        if case % 16 == 0 {
            host.emit("c", "e", json!({})).await;
            assert_eq!(client.next("n").await, json!({"data": {"n": 1}}), "case {case}");
        }
    }
    eprintln!("{stages:?}");
    assert!(["verify", "compile"].iter().all(|stage| stages.contains_key(*stage)), "the damage shows too little");
    let (status, live) = deploy(host.address, "damaged", &small, "?force=true&allow_widening=true", &[]).await;
    assert_eq!(status, 200, "{live}");
    // Nothing is kept but what can be had again.
    let (_, modules) = host.get("/admin/modules/damaged").await;
    let modules: Value = serde_json::from_str(&modules).unwrap();
    let versions = modules["versions"].as_array().unwrap();
    assert!(versions.len() <= 2, "{modules}");
    let mut expected: Vec<String> =
        versions.iter().map(|version| format!("{}.wasm", version["digest"].as_str().unwrap())).collect();
    expected.extend(["damaged.json", "lock", "neighbour.json"].map(str::to_owned));
    expected.push(format!("{}.wasm", report["digest"].as_str().unwrap()));
    expected.sort();
    let mut found: Vec<_> =
        std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, expected);
    drop(client);
    host.stop().await;
}

fn damaged(random: &mut StdRng, case: u32, small: &[u8], real: &[u8]) -> Vec<u8> {
    match case % 8 {
        0 => random_bytes(random),
        // It is large: only what is refused before it is compiled ends soon.
        1 => cut(random, real),
        _ => mutate(random, small),
    }
}

fn random_bytes(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..4096)];
    random.fill(&mut bytes[..]);
    // Most of them with a head that lets them further in.
    if random.random_bool(0.8) {
        let head: &[u8] = if random.random_bool(0.8) { b"\0asm\x0d\0\x01\0" } else { b"\0asm\x01\0\0\0" };
        bytes.splice(..head.len().min(bytes.len()), head.iter().copied());
    }
    bytes
}

/// A prefix, or one whose last sections are gone.
fn cut(random: &mut StdRng, whole: &[u8]) -> Vec<u8> {
    if random.random_bool(0.5) {
        return whole[..random.random_range(0..whole.len())].to_vec();
    }
    let sections = sections(whole);
    // Without the last few only, it is whole, and takes its time to compile.
    let kept = random.random_range(0..sections.len() / 2);
    [whole[..8].to_vec(), sections[..kept].concat()].concat()
}

fn mutate(random: &mut StdRng, whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    match random.random_range(0..7) {
        // Bits.
        0 | 1 => {
            for _ in 0..random.random_range(1..8) {
                let place = random.random_range(0..bytes.len());
                bytes[place] ^= 1 << random.random_range(0..8);
            }
        }
        // Bytes, of those that mean something.
        2 => {
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(8..bytes.len());
                bytes[place] = [0, 1, 2, 0x0b, 0x3f, 0x40, 0x7f, 0x80, 0xff][random.random_range(0..9)];
            }
        }
        // Sections in another order, twice, or gone.
        3 | 4 => {
            let mut sections = sections(whole);
            for _ in 0..random.random_range(1..4) {
                let (a, b) = (random.random_range(0..sections.len()), random.random_range(0..sections.len()));
                match random.random_range(0..3) {
                    0 => sections.swap(a, b),
                    1 => sections.insert(a, sections[b]),
                    _ if sections.len() > 1 => drop(sections.remove(a)),
                    _ => {}
                }
            }
            bytes = [whole[..8].to_vec(), sections.concat()].concat();
        }
        // A size that is not so.
        5 => {
            let mut sections: Vec<_> = sections(whole).into_iter().map(<[u8]>::to_vec).collect();
            let place = random.random_range(0..sections.len());
            let section = &mut sections[place];
            let size = [0, 1, 0x7f, 0xffff, 0xffff_ffff, u64::MAX][random.random_range(0..6)];
            let head = 1 + section[1..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
            section.splice(1..head, unsigned(size));
            bytes = [whole[..8].to_vec(), sections.concat()].concat();
        }
        // A piece of it somewhere else.
        _ => {
            let from = random.random_range(8..bytes.len());
            let piece = bytes[from..(from + random.random_range(1..64)).min(whole.len())].to_vec();
            let to = random.random_range(8..bytes.len());
            bytes.splice(to..to, piece);
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_component_with_one_bit_changed_ends_in_the_compiler_or_runs() {
    // Each takes the seconds of a compilation, so here there is one; `make fuzz` takes its time.
    let gate = Loader::new();
    let real = std::fs::read(guests::built("engine").await).unwrap();
    let mut random = StdRng::seed_from_u64(seed());
    let deadline = Instant::now() + Duration::from_secs(seconds());
    for case in 0.. {
        if case >= 1 && Instant::now() > deadline {
            break;
        }
        let mut bytes = real.clone();
        let place = random.random_range(8..bytes.len());
        bytes[place] ^= 1 << random.random_range(0..8);
        match gate.load(&bytes).await {
            Ok(module) => drop(modules::check("handmade", module.manifest())),
            Err(error) => {
                let message = error.to_string();
                assert!(message.len() < 20_000 && !message.contains("panicked"), "case {case}: {message:.500}");
            }
        }
    }
    gate.is_clean().await;
}
