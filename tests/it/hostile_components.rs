//! Components that no Python made: hostile declarations, hostile code below the SDK, and bytes that are hardly
//! components at all. Whatever is loaded ends in a module or in a `LoadError` that says why, in bounded time, and leaves
//! nothing behind.

#![expect(clippy::print_stderr, clippy::too_many_lines, reason = "tables, and what came of their rows")]
#![expect(clippy::format_collect, reason = "what is made here is large anyway")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use subcast::event::{Channel, Event};
use subcast::modules;
use subcast::outcome::{Invocation, Job, Outcome};
use subcast::sandbox::{Config, Limits, LoadError, Module, Sandbox};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::support::component::{Act, Field, Handmade, sections, unsigned};
use crate::support::{PATIENCE, eventually, guests};

/// What a module may take to be refused on a busy machine, once it is compiled. All take milliseconds, but for a schema of
/// half a million brackets, which takes 2 s on a quiet one.
const PROMPT: Duration = Duration::from_secs(12);
/// No refusal is longer: it goes to a terminal, or to whoever uploaded the module.
const MESSAGE_BYTES: usize = 8 << 10;

/// A sandbox with a cache of its own: what is loaded here would drive the other tests' modules out.
struct Bench {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
    limits: Limits,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            threads: 2,
            instances: 8,
            cache_dir: Some(folder.path().join("cache")),
            compiler: Some(vec![env!("CARGO_BIN_EXE_subcast").into(), "compile".into()]),
        };
        let limits = Limits { instances: 1, ..Limits::default() };
        Self { sandbox: Sandbox::start(config).unwrap(), folder, limits }
    }

    async fn load(&self, bytes: &[u8]) -> Result<Arc<Module>, LoadError> {
        let path = self.folder.path().join("module.wasm");
        std::fs::write(&path, bytes).unwrap();
        timeout(PATIENCE, self.sandbox.load("handmade", &path, self.limits)).await.expect("loading ends")
    }

    async fn ask(&self, module: &Module) -> Outcome {
        let event = Event {
            id: "1".into(),
            channel: Channel::new("c"),
            kind: "e".into(),
            time: "2026-01-01T00:00:00Z".into(),
            source: "test".into(),
            data: "{}".into(),
            value: json!({}),
        };
        let invocation = Invocation { arguments: Arc::from("{}"), principal: None, tenant: None };
        let job = Job { field: Arc::from("f"), event: Arc::new(event), invocations: vec![invocation] };
        let (answer, answered) = oneshot::channel();
        self.sandbox.submit(module, job, Box::new(move |outcomes| answer.send(outcomes).unwrap()));
        timeout(PATIENCE, answered).await.expect("an answer in time").unwrap().remove(0)
    }

    /// Nothing is left of what was loaded: no instance, no file of a compiler.
    async fn is_clean(&self) {
        eventually("instances end", || self.sandbox.metrics().instances.get() == 0).await;
        let left = std::fs::read_dir(self.folder.path().join("cache")).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
    }
}

/// Children of this process, in whatever state.
fn children() -> usize {
    let own = std::process::id().to_string();
    let stat = |path: PathBuf| std::fs::read_to_string(path.join("stat")).unwrap_or_default();
    let parents = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        // `pid (name) state ppid …`, and the name may hold anything.
        stat(entry.path()).rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1).map(str::to_owned))
    });
    parents.filter(|parent| *parent == own).count()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handmade_component_is_a_module_like_any_other() {
    let bench = Bench::new();
    let module = bench.load(&Handmade::default().encode()).await.unwrap();
    modules::check("handmade", module.manifest()).unwrap();
    for _ in 0..3 {
        assert_eq!(bench.ask(&module).await, Outcome::Value("1".to_owned()));
    }
    drop(module);
    bench.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_below_the_sdk_fails_for_its_own_call() {
    let bench = Bench::new();
    let long = vec![b'x'; 4 << 20];
    let mut wrong = Vec::new();
    for (what, act, told) in [
        ("a result outside of memory", Act::Address(0xffff_0000), "out of bounds"),
        ("a result that is not aligned", Act::Address(1026), "not aligned"),
        ("a text outside of memory", Act::Text(0xffff_fff0, 100), "out of bounds"),
        ("a text of 4 GiB", Act::Text(1024, u32::MAX), "out of bounds"),
        ("a text that is not UTF-8", Act::Answer(b"[{\"value\":\"\xff\xfe\"}]".to_vec()), "utf-8"),
        ("a text of 4 MB", Act::Answer(long), "returned more than"),
        ("no outcomes", Act::Answer(b"[]".to_vec()), "0 outcomes of 1"),
        ("nothing", Act::Answer(Vec::new()), "broke the contract"),
        ("NUL", Act::Answer(vec![0; 1000]), "broke the contract"),
        ("a loop", Act::Loop, "more than its 100ms of CPU time"),
        ("a trap", Act::Trap, "unreachable"),
        ("all memory, and a loop", Act::Grow, "CPU"),
        ("timers without end", Act::Pollables, "table has no free keys|maximum capacity|CPU"),
    ] {
        let handmade = Handmade { resolve: act, ..Handmade::default() };
        let module = bench.load(&handmade.encode()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let Outcome::Failed(failure) = bench.ask(&module).await else { panic!("{what}: no failure") };
        eprintln!("{what}: {}", failure.message);
        if failure.expose || !told.split('|').any(|told| failure.message.contains(told)) {
            wrong.push(what);
        }
        // The instance is replaced, and again does what it does.
        assert!(matches!(bench.ask(&module).await, Outcome::Failed(_)), "{what}");
    }
    assert_eq!(wrong, [""; 0]);
    bench.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_start_is_refused() {
    let bench = Bench::new();
    let fields = |count: usize| (0..count).map(|n| Field::named(&format!("f{n}"))).collect::<Vec<_>>();
    let base = Handmade::default;
    let one = |field: Field| Handmade { fields: vec![field], ..base() };
    let mut wrong = Vec::new();
    for (what, handmade, told) in [
        ("a describe without end", Handmade { describe: Act::Loop, ..base() }, "2s of CPU time|more than its"),
        ("a describe that traps", Handmade { describe: Act::Trap, ..base() }, "unreachable"),
        ("a start without end", Handmade { start: Act::Loop, ..base() }, "more than its"),
        ("a start that traps", Handmade { start: Act::Trap, ..base() }, "unreachable"),
        (
            "a start that takes timers",
            Handmade { start: Act::Pollables, ..base() },
            "capacity|no free keys|more than its",
        ),
        ("a manifest outside of memory", Handmade { describe: Act::Address(0xffff_0000), ..base() }, "out of bounds"),
        (
            "a manifest of other data",
            Handmade { describe: Act::Address(1024), ..base() },
            "out of bounds|discriminant|not aligned",
        ),
        ("2 GiB from the beginning", Handmade { pages: 32_768, ..base() }, "memory"),
        ("65 MiB from the beginning", Handmade { pages: 1040, ..base() }, "memory"),
        (
            "four billion fields",
            Handmade { fields_claimed: Some(u32::MAX), ..base() },
            "out of bounds|too much|exhausted",
        ),
        ("1,001 fields", Handmade { fields: fields(1_001), ..base() }, "1001 fields, more than 1000"),
        ("100,000 fields", Handmade { fields: fields(100_000), ..base() }, "more than"),
        ("a schema of 9 MiB", Handmade { schema: vec![b' '; 9 << 20], ..base() }, "more than"),
        ("a schema that is not UTF-8", Handmade { schema: vec![0xff; 100], ..base() }, "utf-8"),
        (
            "100,000 capabilities",
            Handmade { capabilities: vec![String::from("fetch"); 100_000], ..base() },
            "100000 capabilities",
        ),
        (
            "a channel of a megabyte",
            one(Field { channel: "c".repeat(1 << 20), ..Field::named("f") }),
            "1048576 bytes in field 1",
        ),
        (
            "100,000 event types",
            one(Field { events: vec!["e".to_owned(); 100_000], ..Field::named("f") }),
            "100000 events",
        ),
        (
            "100,000 equalities",
            one(Field { matches: vec![("a".to_owned(), "b".to_owned()); 100_000], ..Field::named("f") }),
            "equalities",
        ),
        (
            "a path of 100,000 steps",
            one(Field { matches: vec![("a".to_owned(), "x.".repeat(100_000) + "x")], ..Field::named("f") }),
            "200001 bytes",
        ),
        ("an example of 2 MiB", one(Field { example: Some("1".repeat(2 << 20)), ..Field::named("f") }), "example"),
        (
            "a function named like a line of the log",
            one(Field { function: "f\n2026-01-01T00:00:00Z ERROR forged".to_owned(), ..Field::named("f") }),
            "a control character in field 1",
        ),
        ("extensions of 9 MiB", Handmade { extensions: Some("x".repeat(9 << 20)), ..base() }, "more than"),
    ] {
        let bytes = handmade.encode();
        let start = Instant::now();
        let loaded = bench.load(&bytes).await;
        let message = loaded.map_or_else(|error| error.to_string(), |_| String::from("it is loaded"));
        eprintln!("{what}: {:?}: {} bytes: {message:.200}", start.elapsed(), message.len());
        if !told.split('|').any(|told| message.contains(told)) || message.len() > MESSAGE_BYTES {
            wrong.push(what);
        }
    }
    assert_eq!(wrong, [""; 0]);
    bench.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_declarations_are_refused_in_milliseconds() {
    let bench = Bench::new();
    let where_ = |predicate: String| Handmade {
        fields: vec![Field { predicate: Some(predicate), ..Field::named("f") }],
        ..Handmade::default()
    };
    let with = |field: Field| Handmade { fields: vec![field], ..Handmade::default() };
    let schema = |text: String| Handmade { schema: text.into_bytes(), ..Handmade::default() };
    let nested = |open: &str, core: &str, close: &str, depth: usize| {
        format!("{}{core}{}", open.repeat(depth), close.repeat(depth))
    };
    let many_fields: String = (0..60_000).map(|n| format!("f{n}: Int ")).collect();
    let many_types: String = (0..30_000).map(|n| format!("type T{n} {{ a: Int }} ")).collect();
    let base = "type Subscription { f: Int }";
    let mut wrong = Vec::new();
    for (what, handmade, told) in [
        ("a where of a megabyte", where_("true || ".repeat(1 << 17) + "true"), "1024"),
        ("parentheses", where_(nested("(", "true", ")", 500)), "where"),
        ("lists", where_(nested("[", "1", "]", 500)), "where"),
        ("members", where_(format!("event.data{} == 1", ".a".repeat(500))), "where"),
        ("indexes", where_(format!("event.data{} == 1", "[0]".repeat(330))), "where"),
        ("choices", where_("true ? ".repeat(140) + "true"), "where"),
        ("disjunctions", where_("1 == 1 || ".repeat(100) + "true"), "64"),
        ("macros", where_("event.data.a.all(x, event.data.a.all(y, true))".to_owned()), "where"),
        ("a regular expression", where_("event.data.a.matches('(a+)+$')".to_owned()), "where"),
        ("a text without end", where_("'".to_owned() + &"a".repeat(1_000)), "where"),
        ("nonsense", where_("\u{0}\u{ffff}\u{202e}".repeat(100)), "where"),
        (
            "50 restrictions",
            with(Field { matches: (0..50).map(|n| (format!("a{n}"), "x".to_owned())).collect(), ..Field::named("f") }),
            "match",
        ),
        ("a channel of placeholders", with(Field { channel: "{a}:".repeat(250), ..Field::named("f") }), "channel"),
        ("a channel of brackets", with(Field { channel: "{".repeat(1_000), ..Field::named("f") }), "channel"),
        ("another field than the schema's", with(Field::named("g")), "no such field"),
        (
            "a field twice",
            Handmade { fields: vec![Field::named("f"), Field::named("f")], ..Handmade::default() },
            "two resolvers",
        ),
        ("no field", Handmade { fields: Vec::new(), ..Handmade::default() }, "has no subscription"),
        ("a schema of brackets", schema("{".repeat(1 << 20)), "schema"),
        ("a schema of words", schema("a ".repeat(2 << 20)), "schema"),
        ("a schema of 5 MiB", schema(base.to_owned() + &" ".repeat(5 << 20)), "5242908 bytes, and 4194304 are allowed"),
        (
            "a name of 100,000 characters",
            schema(format!("type {} {{ a: B }}", "A".repeat(100_000))),
            "100000 characters",
        ),
        (
            "names of 1,000 characters",
            schema(format!("{base} type {0} {{ a: {0}B }}", "A".repeat(1_000)).repeat(100)),
            "schema",
        ),
        ("commands for the terminal", schema(format!("{base} \u{1b}[2J\u{7} {{")), "schema"),
        ("interfaces that all implement all", schema(format!("{base} {}", all_of_all(300))), "interface"),
        (
            "a schema of lists",
            schema(format!("type Subscription {{ f: {} }}", nested("[", "Int", "]", 100_000))),
            "schema",
        ),
        (
            "a schema of values",
            schema(format!("type Subscription {{ f(a: Int = {}): Int }}", nested("[", "1", "]", 100_000))),
            "schema",
        ),
        ("a schema without end", schema(format!("{base} \"{}", "x".repeat(1 << 20))), "schema"),
        ("a schema of errors", schema(format!("{base} {}", "type A { a: B } ".repeat(10_000))), "schema"),
        ("a type within itself", schema(format!("{base} input I {{ i: I! }} directive @d(i: I) on FIELD")), "I"),
        (
            "60,000 subscription fields",
            schema(format!("type Subscription {{ f: Int {many_fields} }}")),
            "no module resolves it",
        ),
        (
            "100,000 interfaces",
            schema(format!("{base} type A implements {} {{ a: Int }}", "B & ".repeat(100_000) + "B")),
            "",
        ),
    ] {
        let module = bench.load(&handmade.encode()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let start = Instant::now();
        let checked = modules::check("handmade", module.manifest());
        let took = start.elapsed();
        let message = checked.map_or_else(|error| error.to_string(), |_| String::from("it is accepted"));
        eprintln!("{what}: {took:?}: {} bytes: {message:.200}", message.len());
        if message.contains(char::is_control)
            || !message.contains(told)
            || took > PROMPT
            || message.len() > MESSAGE_BYTES
        {
            wrong.push(what);
        }
    }
    // Large, but within its bounds.
    for (what, handmade) in [
        ("negations", where_("!".repeat(1_000) + "true")),
        ("minus signs", where_("-".repeat(1_000) + "1 == 1")),
        ("30,000 types", schema(format!("{base} {many_types}"))),
        ("60,000 fields of one type", schema(format!("{base} type T {{ {many_fields} }}"))),
    ] {
        let module = bench.load(&handmade.encode()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let start = Instant::now();
        modules::check("handmade", module.manifest()).unwrap_or_else(|error| panic!("{what}: {error:.200}"));
        eprintln!("{what}: {:?}", start.elapsed());
        if start.elapsed() > PROMPT {
            wrong.push(what);
        }
    }
    assert_eq!(wrong, [""; 0]);
    bench.is_clean().await;
}

/// So many interfaces, each of which says to implement all others.
fn all_of_all(count: usize) -> String {
    let all: Vec<_> = (0..count).map(|n| format!("I{n}")).collect();
    all.iter().map(|name| format!("interface {name} implements {} {{ a: Int }} ", all.join(" & "))).collect()
}

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
    let bench = Bench::new();
    let small = Handmade::default().encode();
    let real = std::fs::read(guests::built("engine").await).unwrap();
    // What the first load needs for good.
    drop(bench.load(&small).await.unwrap());
    bench.is_clean().await;
    let (descriptors_before, children_before) = (descriptors(), children());

    let (seed, deadline) = (seed(), Instant::now() + Duration::from_secs(seconds()));
    let mut random = StdRng::seed_from_u64(seed);
    // A case of another run, alone.
    let only: Option<u32> = std::env::var("SUBCAST_FUZZ_CASE").ok().and_then(|case| case.parse().ok());
    let (mut refused, mut loaded, mut compiled) = (0_u32, 0_u32, 0_u32);
    for case in 0_u32.. {
        if only.is_none() && Instant::now() > deadline {
            break;
        }
        // The real one is large: only what is refused before it is compiled ends soon.
        let bytes = match case % 8 {
            0 => random_bytes(&mut random),
            1 => cut(&mut random, &real),
            _ => mutate(&mut random, &small),
        };
        if only.is_some_and(|only| only != case) {
            continue;
        }
        let context = format!("SUBCAST_FUZZ_SEED={seed} SUBCAST_FUZZ_CASE={case}");
        let start = Instant::now();
        let result = bench.load(&bytes).await;
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
                bench.ask(&module).await;
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
        assert!(start.elapsed() < Duration::from_secs(20), "{context}: {took:?} to load, {:?} in all", start.elapsed());
        if only.is_some() {
            return;
        }
    }
    eprintln!("{refused} refused at a look, {compiled} by the compiler, {loaded} loaded");
    assert!(refused > 0 && compiled > 0 && loaded > 0, "the mutations are too coarse or too fine to show anything");
    bench.is_clean().await;
    eventually("descriptors are closed", || descriptors() <= descriptors_before).await;
    eventually("compilers are gone", || children() <= children_before).await;
    // And it still works.
    let module = bench.load(&small).await.unwrap();
    assert_eq!(bench.ask(&module).await, Outcome::Value("1".to_owned()));
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
    let bench = Bench::new();
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
        match bench.load(&bytes).await {
            Ok(module) => drop(modules::check("handmade", module.manifest())),
            Err(error) => {
                let message = error.to_string();
                assert!(message.len() < 20_000 && !message.contains("panicked"), "case {case}: {message:.500}");
            }
        }
    }
    bench.is_clean().await;
}
