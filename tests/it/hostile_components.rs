//! Components that no Python made: hostile declarations, and hostile code below the SDK. Whatever is loaded ends in a module or in a `LoadError` that says why, in bounded time, and leaves
//! nothing behind.

#![expect(clippy::print_stderr, reason = "tables, and what came of their rows")]
#![expect(clippy::format_collect, reason = "what is made here is large anyway")]

use std::time::{Duration, Instant};

use subcast::modules;
use subcast::outcome::Outcome;

use crate::support::component::{Act, Field, Handmade};
use crate::support::guests;
use crate::support::loader::Loader;

/// What a module may take to be refused on a busy machine, once it is compiled. All take milliseconds, but for a schema of
/// half a million brackets, which takes 2 s on a quiet one.
const PROMPT: Duration = Duration::from_secs(40);
/// No refusal is longer: it goes to a terminal, or to whoever uploaded the module.
const MESSAGE_BYTES: usize = 8 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_handmade_component_is_a_module_like_any_other() {
    let gate = Loader::new();
    let module = gate.load(&Handmade::default().encode()).await.unwrap();
    modules::check("handmade", module.manifest()).unwrap();
    for _ in 0..3 {
        assert_eq!(gate.ask(&module).await, Outcome::Value("1".to_owned()));
    }
    drop(module);
    gate.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_below_the_sdk_fails_for_its_own_call() {
    let gate = Loader::new();
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
        let module = gate.load(&handmade.encode()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let Outcome::Failed(failure) = gate.ask(&module).await else { panic!("{what}: no failure") };
        eprintln!("{what}: {}", failure.message);
        if failure.expose || !told.split('|').any(|told| failure.message.contains(told)) {
            wrong.push(what);
        }
        // The instance is replaced, and again does what it does.
        assert!(matches!(gate.ask(&module).await, Outcome::Failed(_)), "{what}");
    }
    assert_eq!(wrong, [""; 0]);
    gate.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_anyone_needs_is_refused_unread() {
    let gate = Loader::new();
    let (folder, begun) = (tempfile::tempdir().unwrap(), Instant::now());
    let path = folder.path().join("large.wasm");
    // It takes no place on the disk, and reading it would take a while.
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = gate.load_file(&path).await.unwrap_err();
    assert!(error.to_string().contains("and at most 268435456 are loaded"), "{error}");
    assert!(begun.elapsed() < PROMPT);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_start_is_refused() {
    let gate = Loader::new();
    let fields = |count: usize| (0..count).map(|n| Field::named(&format!("f{n}"))).collect::<Vec<_>>();
    let base = Handmade::default;
    let one = |field: Field| Handmade { fields: vec![field], ..base() };
    let mut wrong = Vec::new();
    for (what, handmade, told) in [
        (
            "a describe without end",
            Handmade { describe: Act::Loop, ..base() },
            "2s of CPU time|more than its|longer than 10s",
        ),
        ("a describe that traps", Handmade { describe: Act::Trap, ..base() }, "unreachable"),
        ("a start without end", Handmade { start: Act::Loop, ..base() }, "more than its|longer than 10s"),
        ("a start that traps", Handmade { start: Act::Trap, ..base() }, "unreachable"),
        (
            "a start that takes timers",
            Handmade { start: Act::Pollables, ..base() },
            "capacity|no free keys|more than its|longer than 10s",
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
        let loaded = gate.load(&bytes).await;
        let message = loaded.map_or_else(|error| error.to_string(), |_| String::from("it is loaded"));
        eprintln!("{what}: {:?}: {} bytes: {message:.200}", start.elapsed(), message.len());
        if !told.split('|').any(|told| message.contains(told)) || message.len() > MESSAGE_BYTES {
            wrong.push(what);
        }
    }
    assert_eq!(wrong, [""; 0]);
    gate.is_clean().await;
}

/// What a module may declare that is too much, and what is said of it.
struct Declarations {
    refused: Vec<(&'static str, Handmade, &'static str)>,
    /// Large, but within its bounds.
    accepted: Vec<(&'static str, Handmade)>,
}

fn declarations() -> Declarations {
    let where_ = |predicate: String| Handmade {
        fields: vec![Field { predicate: Some(predicate), ..Field::named("f") }],
        ..Handmade::default()
    };
    let with = |field: Field| Handmade { fields: vec![field], ..Handmade::default() };
    let schema = |text: String| Handmade { schema: text.into_bytes(), ..Handmade::default() };
    let nested = |open: &str, core: &str, close: &str, depth: usize| {
        format!("{}{core}{}", open.repeat(depth), close.repeat(depth))
    };
    let many_fields = |count: usize| (0..count).map(|n| format!("f{n}: Int ")).collect::<String>();
    let many_types: String = (0..30_000).map(|n| format!("type T{n} {{ a: Int }} ")).collect();
    let base = "type Subscription { f: Int }";
    let refused = vec![
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
            schema(format!("type Subscription {{ f: Int {} }}", many_fields(60_000))),
            "no module resolves it",
        ),
        (
            "100,000 subscription fields",
            schema(format!("type Subscription {{ f: Int {} }}", many_fields(100_000))),
            "token limit",
        ),
        ("100,000 fields of one type", schema(format!("{base} type T {{ {} }}", many_fields(100_000))), "token limit"),
        (
            "100,000 interfaces",
            schema(format!("{base} type A implements {} {{ a: Int }}", "B & ".repeat(100_000) + "B")),
            "",
        ),
    ];
    let accepted = vec![
        ("negations", where_("!".repeat(1_000) + "true")),
        ("minus signs", where_("-".repeat(1_000) + "1 == 1")),
        ("30,000 types", schema(format!("{base} {many_types}"))),
        ("60,000 fields of one type", schema(format!("{base} type T {{ {} }}", many_fields(60_000)))),
    ];
    Declarations { refused, accepted }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_declarations_are_refused_in_milliseconds() {
    let gate = Loader::new();
    let Declarations { refused, accepted } = declarations();
    let mut wrong = Vec::new();
    for (what, handmade, told) in refused {
        let module = gate.load(&handmade.encode()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
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
    for (what, handmade) in accepted {
        let module = gate.load(&handmade.encode()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let start = Instant::now();
        modules::check("handmade", module.manifest()).unwrap_or_else(|error| panic!("{what}: {error:.200}"));
        eprintln!("{what}: {:?}", start.elapsed());
        if start.elapsed() > PROMPT {
            wrong.push(what);
        }
    }
    assert_eq!(wrong, [""; 0]);
    gate.is_clean().await;
}

/// For `benches/hostile/beside.py`, which deploys them over and over beside a module that behaves.
#[test]
#[ignore = "writes the components into target/guests/declared, for a benchmark"]
fn hostile_declarations_are_written_for_the_bench() {
    let Declarations { refused, accepted } = declarations();
    let folder = guests::target().join("guests/declared");
    std::fs::create_dir_all(&folder).unwrap();
    let refused = refused.into_iter().map(|(what, handmade, _)| (what, handmade));
    for (what, handmade) in refused.chain(accepted) {
        std::fs::write(folder.join(format!("{what}.wasm")), handmade.encode()).unwrap();
    }
}

/// So many interfaces, each of which says to implement all others.
fn all_of_all(count: usize) -> String {
    let all: Vec<_> = (0..count).map(|n| format!("I{n}")).collect();
    all.iter().map(|name| format!("interface {name} implements {} {{ a: Int }} ", all.join(" & "))).collect()
}
