//! What the worst operation within the limits costs: bytes made of it, and time.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::{Limits, Prepared, Schema, SchemaPart};
use super::{plan_with, refusal, schema};
use crate::footprint;

/// A list that holds a variable so many times.
fn repeated(times: usize, name: &str) -> String {
    format!("[{}]", vec![name; times].join(" "))
}

#[test]
fn a_variable_that_is_used_many_times_is_charged_each_time() {
    let query = format!("subscription ($a: Blob) {{ user(blob: {}) {{ id }} }}", repeated(3_000, "$a"));
    let large = "x".repeat(50_000);
    let message = refusal(&query, json!({"a": large}));
    assert!(message.contains("[limits] arguments"), "{message}");
    // As an ID, in an input object, and in an object of a custom scalar.
    let query = format!("subscription ($a: ID!) {{ user(ids: {}) {{ id }} }}", repeated(3_000, "$a"));
    assert!(refusal(&query, json!({"a": large})).contains("[limits] arguments"));
    let query = "subscription ($a: [String!]) { user(filter: {id: 1, tags: $a, nested: {id: 1, tags: $a, nested: {id: 1, tags: $a, nested: {id: 2, tags: $a}}}}) { id } }";
    assert!(refusal(query, json!({"a": vec!["xy"; 1_500]})).contains("[limits] arguments"));
}

#[test]
fn defaults_of_the_schema_are_charged_each_time() {
    let sdl = format!(
        "type Subscription {{ a(in: [In!]): Int }} input In {{ x: Int, tags: [String!] = [{}] }}",
        vec!["\"some text\""; 500].join(", ")
    );
    let schema = std::sync::Arc::new(Schema::compose(&[SchemaPart { module: "m", sdl: &sdl }]).unwrap());
    let prepare = |query: &str, variables: Value| {
        let Value::Object(variables) = variables else { unreachable!() };
        schema.parse(query, &Limits::default()).unwrap().prepare(None, &variables)
    };
    prepare("subscription { a(in: [{}, {}]) }", json!({})).unwrap();
    let literal = format!("subscription {{ a(in: {}) }}", repeated(3_000, "{}"));
    let variable = "subscription ($in: [In!]) { a(in: $in) }";
    for (query, variables) in [(&*literal, json!({})), (variable, json!({"in": vec![json!({}); 3_000]}))] {
        let errors = prepare(query, variables).unwrap_err();
        assert!(errors[0].message.contains("[limits] arguments"), "{errors:?}");
    }
}

#[test]
fn arguments_within_the_bound_are_taken_whole() {
    let ids: Vec<_> = (0..1_000).map(|n| format!("{n:036}")).collect();
    let plan = plan_with("subscription ($ids: [ID!]) { user(ids: $ids) { id } }", json!({"ids": ids}));
    assert_eq!(plan.arguments["ids"], json!(ids));
}

#[test]
fn no_arguments_are_larger_than_the_bound() {
    let most = Limits::default().arguments;
    for (name, value) in [
        ("blob", json!("x".repeat(1_000))),
        ("blob", json!([0, 0, 0, 0, 0, 0, 0, 0])),
        ("blob", json!({"a": {"b": {"c": [{}, {}, {"d": null}]}}})),
    ] {
        // Doubled until it is refused: the last one that is taken is within a factor of two of the bound.
        let mut largest = 0;
        for power in 0..13 {
            let query = format!("subscription ($a: Blob) {{ user({name}: {}) {{ id }} }}", repeated(1 << power, "$a"));
            let Ok(Prepared::Subscription(plan)) = super::prepare(&query, json!({"a": value})) else { break };
            largest = footprint::of_map(&plan.arguments, usize::MAX);
            assert!(largest <= most + 1024, "{largest} of {most} bytes");
            assert!(plan.arguments_json.len() <= most);
        }
        assert!(largest > most / 4, "{largest} of {most} bytes are taken at most");
    }
}

#[test]
fn errors_of_a_document_quote_little_of_it() {
    let name = "x".repeat(200_000);
    let mut query = String::from("subscription { user {");
    let _ = write!(query, " {name} }} }}");
    let message = refusal(&query, json!({}));
    assert!(message.len() < 2_048, "{} bytes", message.len());
    let message = refusal("subscription ($f: Filter) { user(filter: $f) { id } }", json!({"f": {&*name: 1}}));
    assert!(message.len() < 2_048, "{} bytes", message.len());
    let _ = schema();
}

/// Kinds of documents, each of a size that is given: what takes longest to read, as far as somebody could think of it.
type Kind = (&'static str, fn(usize) -> String);

const KINDS: &[Kind] = &[
    ("aliases", |n| user(&many(n, |n| format!("a{n}:id")))),
    ("one field many times", |n| user(&"id ".repeat(n))),
    ("one composite many times", |n| user(&"best { id } ".repeat(n))),
    ("deep and many times", |n| user(&format!("{}id{} ", "best { ".repeat(9), " }".repeat(9)).repeat(n))),
    ("aliases of deep ones", |n| user(&many(n, |n| format!("a{n}: {}id{}", "best { ".repeat(9), " }".repeat(9))))),
    ("fragments", |n| {
        let fragments = many(n, |n| format!("fragment F{n} on User {{ id }}"));
        user(&many(n, |n| format!("...F{n}"))) + &fragments
    }),
    ("fragments that are not used", |n| user("id") + &many(n, |n| format!("fragment F{n} on User {{ id }}"))),
    ("a chain of fragments", |n| {
        user("...F0")
            + &many(n, |n| format!("fragment F{n} on User {{ ...F{} id }}", n + 1))
            + &format!("fragment F{n} on User {{ id }}")
    }),
    ("fragments that spread all later ones", |n| {
        let all = |from: usize| many(n.saturating_sub(from), |to| format!("...F{}", from + to));
        user("...F0") + &many(n, |at| format!("fragment F{at} on User {{ id {} }}", all(at + 1)))
    }),
    ("composites in fragments that spread two later ones", |n| {
        let two = |at: usize| format!("a: best {{ ...F{0} }} b: best {{ ...F{0} }}", at + 1);
        user("...F0")
            + &many(n, |at| format!("fragment F{at} on User {{ {} }}", two(at)))
            + &format!("fragment F{n} on User {{ id }}")
    }),
    ("the same spread", |n| user(&"...F ".repeat(n)) + "fragment F on User { id name best { id } }"),
    ("inline fragments", |n| user(&"... on User { id } ".repeat(n))),
    ("conflicts", |n| user(&many(n, |n| format!("a: {}", if n % 2 == 0 { "id" } else { "name" })))),
    ("conflicts of arguments", |n| format!("subscription {{ {} }}", many(n, |n| format!("user(limit: {n}) {{ id }}")))),
    ("conflicts below", |n| user(&many(n, |n| format!("best {{ a: {} }}", if n % 2 == 0 { "id" } else { "name" })))),
    ("one composite with large arguments", |n| {
        format!("subscription {{ {} }}", format!("user(ids: [{}]) {{ id }} ", "1 ".repeat(n)).repeat(9))
    }),
    ("directives", |n| user(&format!("id {}", "@include(if: true) ".repeat(n)))),
    ("unknown fields", |n| user(&many(n, |n| format!("x{n}")))),
    ("unknown fields of long names", |n| user(&many(n, |n| format!("x{n}{}", "x".repeat(20))))),
    ("unknown directives", |n| user(&format!("id {}", many(n, |n| format!("@x{n}"))))),
    ("variables", |n| format!("subscription ({}) {{ user {{ id }} }}", many(n, |n| format!("$v{n}: Int")))),
    ("the same variable", |n| format!("subscription ({}) {{ user {{ id }} }}", many(n, |_| "$v: Int".to_owned()))),
    ("variables that are used", |n| {
        let (declared, used) = (many(n, |n| format!("$v{n}: ID!")), many(n, |n| format!("$v{n}")));
        format!("subscription ({declared}) {{ user(ids: [{used}]) {{ id }} }}")
    }),
    ("a list", |n| format!("subscription {{ user(ids: [{}]) {{ id }} }}", "1 ".repeat(n))),
    ("an object", |n| format!("subscription {{ user(blob: {{ {} }}) {{ id }} }}", many(n, |n| format!("k{n}: 1")))),
    ("an object with one key", |n| format!("subscription {{ user(blob: {{ {} }}) {{ id }} }}", "k: 1 ".repeat(n))),
    ("input objects", |n| {
        format!(
            "subscription {{ user(filter: {}{{id: 1}}{}) {{ id }} }}",
            "{id: 1 nested: ".repeat(n.min(60)),
            "}".repeat(n.min(60))
        )
    }),
    ("wrong values", |n| format!("subscription {{ user(ids: [{}]) {{ id }} }}", "true ".repeat(n))),
    ("a block string", |n| {
        format!("subscription {{ user(blob: \"\"\"{}\"\"\") {{ id }} }}", "\n  \\\"\"\" ".repeat(n))
    }),
    ("a long string", |n| format!("subscription {{ user(blob: \"{}\") {{ id }} }}", "\\u00e9".repeat(n))),
    ("comments", |n| user("id") + &"#x\n".repeat(n)),
    ("white space", |n| user("id") + &" \n,".repeat(n)),
    ("a long name", |n| user(&format!("{}: id", "x".repeat(n)))),
    ("operations", |n| many(n, |n| format!("subscription S{n} {{ user {{ id }} }}"))),
    ("operations of one name", |n| many(n, |_| "subscription S { user { id } }".to_owned())),
    ("operations that share a fragment", |n| {
        many(n.min(50), |n| format!("subscription S{n} {{ user {{ ...F }} }}"))
            + &format!("fragment F on User {{ {} }}", "best { id } ".repeat(n))
    }),
    ("interfaces", |n| {
        format!(
            "subscription {{ nodes {{ {} }} }}",
            "... on User { id best { id } } ... on Group { id } ... on Node { id } ".repeat(n)
        )
    }),
    ("introspection", |n| {
        format!("{{ {} }}", many(n, |n| format!("a{n}: __schema {{ types {{ name fields {{ name }} }} }}")))
    }),
    ("nested lists", |n| format!("subscription {{ user(blob: {}1{}) {{ id }} }}", "[".repeat(n), "]".repeat(n))),
    ("inline fragments within each other", |n| user(&format!("{}id{}", "... { ".repeat(n), " }".repeat(n)))),
    ("open braces", |n| "{ a ".repeat(n)),
];

fn many(count: usize, write: impl Fn(usize) -> String) -> String {
    (0..count).map(write).collect::<Vec<_>>().join(" ")
}

fn user(selection: &str) -> String {
    format!("subscription {{ user {{ {selection} }} }} ")
}

/// The largest document of a kind that the parser takes as a whole.
fn largest(schema: &std::sync::Arc<Schema>, kind: fn(usize) -> String) -> String {
    let fits = |size: usize| {
        let text = kind(size);
        let refused = |errors: &Vec<super::GraphqlError>| {
            let message = &errors[0].message;
            message.contains("token limit") || message.contains("longer than") || message.contains("recursion limit")
        };
        !schema.parse(&text, &Limits::default()).is_err_and(|errors| refused(&errors))
    };
    let (mut fit, mut too_large) = (0_usize, 1_usize << 18);
    while too_large - fit > 1.max(fit / 16) {
        let middle = if fit == 0 { too_large.isqrt().max(1) } else { fit.midpoint(too_large) };
        if fits(middle) {
            fit = middle;
        } else {
            too_large = middle;
        }
        if too_large <= 1 {
            break;
        }
    }
    kind(fit)
}

#[test]
fn no_document_within_the_limits_takes_long() {
    let schema = schema();
    let time = |text: &str| {
        let once = || {
            let began = Instant::now();
            let parsed = schema.parse(text, &Limits::default());
            let _ = parsed.and_then(|document| document.prepare(None, &super::none()));
            began.elapsed()
        };
        (0..3).map(|_| once()).min().unwrap()
    };
    let measured: Vec<_> = KINDS
        .iter()
        .map(|(what, kind)| {
            let text = largest(&schema, *kind);
            (*what, time(&text))
        })
        .collect();
    // As many tokens as any other, and nothing that is quadratic.
    let plain = measured.iter().find(|(what, _)| *what == "aliases").unwrap().1;
    for (what, took) in measured {
        assert!(took < plain * 10 + Duration::from_millis(20), "{what}: {took:?}, aliases {plain:?}");
    }
}

#[test]
fn a_document_has_a_bounded_number_of_operations() {
    let operations = |count: usize| many(count, |n| format!("subscription S{n} {{ text }}"));
    let parse = |count| schema().parse(&operations(count), &Limits::default());
    parse(50).unwrap().prepare(Some("S49"), &super::none()).unwrap();
    assert!(parse(51).unwrap_err()[0].message.contains("51 operations"));
}

#[test]
fn an_enum_is_kept_once_however_often_it_is_selected() {
    let values: Vec<_> = (0..1_000).map(|n| format!("VALUE_{n}")).collect();
    let sdl = format!("type Subscription {{ a: A }} type A {{ e: E }} enum E {{ {} }}", values.join(" "));
    let schema = std::sync::Arc::new(Schema::compose(&[SchemaPart { module: "m", sdl: &sdl }]).unwrap());
    let query = format!("subscription {{ a {{ {} }} }}", many(2_300, |n| format!("a{n}:e")));
    let began = Instant::now();
    let document = schema.parse(&query, &Limits::default()).unwrap();
    let parsed = began.elapsed();
    let began = Instant::now();
    let Ok(Prepared::Subscription(plan)) = document.prepare(None, &super::none()) else { panic!("a subscription") };
    let prepared = began.elapsed();
    assert!(prepared < parsed * 4 + Duration::from_millis(20), "prepared in {prepared:?}, parsed in {parsed:?}");
    assert!(plan.selection.bytes() < 1 << 20, "{} bytes", plan.selection.bytes());
    let again = document.prepare(None, &super::none()).unwrap();
    assert!(matches!(again, Prepared::Subscription(other) if other.selection == plan.selection));
}

#[test]
fn a_long_alias_on_many_types_is_bounded() {
    let types = many(200, |n| format!("type T{n} implements I {{ a: Int }}"));
    let sdl = format!("type Subscription {{ i: I }} interface I {{ a: Int }} {types}");
    let schema = std::sync::Arc::new(Schema::compose(&[SchemaPart { module: "m", sdl: &sdl }]).unwrap());
    let prepare = |alias: usize| {
        let query = format!("subscription {{ i {{ {}: a }} }}", "x".repeat(alias));
        schema.parse(&query, &Limits::default()).unwrap().prepare(None, &super::none())
    };
    let Ok(Prepared::Subscription(plan)) = prepare(1_000) else { panic!("a subscription") };
    assert!(plan.selection.bytes() > 400_000, "both the alias and the text before its value, for each type");
    assert!(prepare(200_000).unwrap_err()[0].message.contains("[limits] document.fields"));
}
