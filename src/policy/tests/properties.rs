//! What must hold for any filter, event, argument and claim.

use proptest::prelude::*;

use super::*;

/// Values that are near each other: equal in some sense, or different in the last bit.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(false)),
        (-2_i64..3).prop_map(Value::from),
        (-2_i64..3).prop_map(|n| json!(f64::from(i32::try_from(n).unwrap()))),
        (-2_i64..3).prop_map(|n| json!(n.to_string())),
        Just(json!(-0.0)),
        Just(json!(0.5)),
        Just(json!("0.5")),
        Just(json!("true")),
        Just(json!("")),
        Just(json!("a")),
        Just(json!(9_007_199_254_740_992_i64)),
        Just(json!(9_007_199_254_740_993_i64)),
        Just(json!(9_007_199_254_740_992.0)),
        Just(json!(u64::MAX)),
        Just(json!(18_446_744_073_709_551_615.0)),
        Just(json!(i64::MIN)),
        Just(json!(9.3e18)),
        Just(json!("18446744073709551615")),
        prop::sample::select(vec!["18446744073709551616", "18446744073709551617", "18446744073709551617.0", "1e400"])
            .prop_map(|text| serde_json::from_str(text).unwrap()),
    ]
}

fn text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["-1", "0", "1", "2", "0.5", "true", "", "a", "18446744073709551615", "9007199254740993"])
}

/// Mostly one of the ones, so that events and subscriptions meet.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        20 => prop::sample::select(vec![json!(1), json!(1.0), json!("1")]),
        5 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Value::from),
        1 => members(scalar()).prop_map(Value::Object),
    ]
}

/// Objects whose members are `a`, `b` and `c`, each or none.
fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec(prop::option::weighted(0.85, value), 3).prop_map(|values| {
        let named = ["a", "b", "c"].into_iter().zip(values);
        named.filter_map(|(name, value)| value.map(|value| (name.to_owned(), value))).collect()
    })
}

fn tree() -> impl Strategy<Value = Map<String, Value>> {
    members(prop_oneof![6 => value(), 1 => members(value()).prop_map(Value::Object)])
}

/// Two principals whose claims differ in one place, in several, or not at all.
fn claims_pair() -> impl Strategy<Value = (Map<String, Value>, Map<String, Value>)> {
    (tree(), tree(), prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..3)).prop_map(
        |(first, other, names)| {
            let mut second = first.clone();
            for name in names {
                match other.get(name) {
                    Some(value) => second.insert(name.to_owned(), value.clone()),
                    None => second.remove(name),
                };
            }
            (first, second)
        },
    )
}

/// Values of the arguments as GraphQL coerces them: of their type, null, or not given.
fn coerced() -> impl Strategy<Value = Map<String, Value>> {
    let of = |kind: ArgumentKind| -> BoxedStrategy<Option<Value>> {
        let value = match kind {
            ArgumentKind::Id | ArgumentKind::String | ArgumentKind::Enum => {
                prop_oneof![3 => Just("1"), 1 => text()].prop_map(Value::from).boxed()
            }
            ArgumentKind::Int => prop_oneof![3 => Just(1), 1 => -2_i64..3].prop_map(Value::from).boxed(),
            ArgumentKind::Float => {
                let float = prop::sample::select(vec![-1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 9_007_199_254_740_992.0]);
                prop_oneof![3 => Just(1.0), 1 => float].prop_map(Value::from).boxed()
            }
            ArgumentKind::Boolean => any::<bool>().prop_map(Value::from).boxed(),
            ArgumentKind::Other => value().boxed(),
        };
        prop_oneof![6 => value.prop_map(Some), 1 => Just(Some(Value::Null)), 1 => Just(None)].boxed()
    };
    let all: Vec<_> = arguments().into_iter().map(|argument| (Just(argument.name), of(argument.kind))).collect();
    all.prop_map(|all| all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect())
}

/// The first three more often.
const PATHS: [&str; 8] = ["a", "b", "c", "a", "b", "c", "a.b", "b.c"];

fn matches() -> impl Strategy<Value = Vec<Equality>> {
    let names = vec!["id", "string", "int", "float", "boolean", "enum"];
    prop::collection::vec(
        (prop::sample::select(names), prop::sample::select(&PATHS[..])).prop_map(|(name, path)| equality(name, path)),
        0..3,
    )
}

/// Of which names a condition is made.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    All,
    /// Without what differs from CEL: arguments of type `ID`, and whether an argument is given.
    AsInCel,
    /// Without claims, too.
    WithoutClaims,
}

impl Names {
    fn arguments(self) -> Vec<String> {
        let names = arguments().into_iter().filter(|argument| self == Self::All || argument.kind != ArgumentKind::Id);
        names.map(|argument| format!("args.{}", argument.name)).collect()
    }

    fn claims(self) -> Vec<String> {
        paths(if self == Self::WithoutClaims { "event.data" } else { "claims" })
    }
}

fn paths(root: &str) -> Vec<String> {
    PATHS.iter().map(|path| format!("{root}.{path}")).collect()
}

/// A name or a literal.
fn term(names: Names) -> impl Strategy<Value = String> {
    let literals = [
        "null",
        "true",
        "false",
        "-1",
        "0",
        "1",
        "1u",
        "1.0",
        "-0.0",
        "0.5",
        "9007199254740993",
        "9007199254740992.0",
        "18446744073709551615u",
        "'1'",
        "'a'",
        "''",
        "'0.5'",
        "b'a'",
        "[]",
        "[1, 'a']",
        "{'a': 1}",
        "[[1], {'b': 0.5}]",
    ];
    prop_oneof![
        4 => prop::sample::select(paths("event.data")),
        1 => prop::sample::select(vec!["event.id", "event.type", "event.data", "event.source"]).prop_map(str::to_owned),
        4 => prop::sample::select(names.arguments()),
        3 => prop::sample::select(names.claims()),
        2 => prop::sample::select(literals.to_vec()).prop_map(str::to_owned),
    ]
}

fn condition(names: Names) -> impl Strategy<Value = String> {
    let operator = prop_oneof![6 => Just("=="), 1 => Just("!="), 1 => Just("<"), 1 => Just("in"), 1 => Just(">=")];
    let mut tested = paths("event.data");
    tested.extend(names.claims());
    if names == Names::All {
        tested.extend(names.arguments());
    }
    let leaf = prop_oneof![
        8 => (term(names), operator, term(names)).prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        1 => term(names),
        2 => prop::sample::select(tested).prop_map(|member| format!("has({member})")),
        1 => (term(names), term(names)).prop_map(|(left, right)| format!("{left} + {right} == {left}")),
    ];
    leaf.prop_recursive(3, 6, 2, |inner| {
        prop_oneof![
            4 => inner.clone(),
            4 => (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) && ({right})")),
            2 => (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) || ({right})")),
            1 => inner.clone().prop_map(|inner| format!("!({inner})")),
            1 => (inner.clone(), inner).prop_map(|(test, then)| format!("({test}) ? ({then}) : true")),
        ]
    })
}

/// What an index is made for: equalities of the event with everything else.
fn equalities() -> impl Strategy<Value = String> {
    let mut others = Names::All.arguments();
    others.extend(Names::All.claims());
    others.extend(["1", "1.0", "'1'", "1u", "null", "-0.0", "9007199254740993"].map(str::to_owned));
    let one = (prop::sample::select(paths("event.data")), prop::sample::select(others), any::<bool>())
        .prop_map(|(left, right, swap)| if swap { format!("{right} == {left}") } else { format!("{left} == {right}") });
    prop::collection::vec(one, 1..3).prop_map(|all| all.join(" && "))
}

fn filter() -> impl Strategy<Value = (Filter, String)> {
    let predicate = prop_oneof![equalities(), condition(Names::All)];
    (matches(), prop::option::weighted(0.8, predicate)).prop_filter_map("too many nodes", |(matches, source)| {
        let filter = Filter::compile(&matches, source.as_deref(), &arguments()).ok()?;
        Some((filter, format!("{matches:?} {source:?}")))
    })
}

/// Whether a number occurs that CEL would take for another one beside a double: it makes integers doubles there, and
/// these have digits that none holds. Here they are compared by value.
fn has_wide_numbers(texts: &[&str]) -> bool {
    let wide = ["9007199254740993", "1844674407370955161", "1e+400"];
    texts.iter().any(|text| wide.iter().any(|wide| text.contains(wide)))
}

/// The environment that CEL itself would have for these, by conversion.
fn reference(source: &str, data: &Value, args: &Map<String, Value>, claims: &Map<String, Value>) -> Verdict {
    fn convert(value: &Value) -> cel::Value {
        match value {
            Value::Null => cel::Value::Null,
            Value::Bool(value) => cel::Value::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => cel::Value::Int(value),
                (None, Some(value)) => cel::Value::UInt(value),
                (None, None) => cel::Value::Float(number.as_f64().unwrap()),
            },
            Value::String(text) => cel::Value::from(text.as_str()),
            Value::Array(items) => cel::Value::from(items.iter().map(convert).collect::<Vec<_>>()),
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| (name.clone(), convert(value)));
                cel::Value::from(members.collect::<std::collections::HashMap<_, _>>())
            }
        }
    }
    let mut args = args.clone();
    for argument in arguments() {
        args.entry(argument.name).or_insert(Value::Null);
    }
    let event = event(data.clone());
    let envelope = json!({
        "id": &*event.id, "channel": "orders", "type": &*event.kind, "time": &*event.time, "source": &*event.source,
        "data": data,
    });
    let mut context = cel::Context::default();
    context.add_variable_from_value("event", convert(&envelope));
    context.add_variable_from_value("args", convert(&Value::Object(args)));
    context.add_variable_from_value("claims", convert(&Value::Object(claims.clone())));
    match cel::Program::compile(source).unwrap().execute(&context) {
        Ok(cel::Value::Bool(true)) => Verdict::Deliver,
        Ok(cel::Value::Bool(false)) => Verdict::Suppress,
        _ => Verdict::Failed(EvaluationError::Arithmetic),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_whatever_the_predicate_delivers(
        (filter, source) in filter(),
        data in tree(),
        args in coerced(),
        claims in tree(),
    ) {
        let event = event(Value::Object(data));
        let verdict = filter.verdict(&event, &args, &claims);
        match filter.subscription_keys(&args, &claims) {
            Keys::Never => prop_assert!(verdict != Verdict::Deliver, "never, and yet delivered: {source}"),
            Keys::Terms(keys) if verdict == Verdict::Deliver => {
                for (term, key) in keys.into_iter().enumerate().filter(|(_, key)| key.is_some()) {
                    prop_assert_eq!(filter.event_key(term, &event), key, "term {} of {}", term, source);
                }
            }
            Keys::Terms(_) => {}
        }
    }

    #[test]
    fn principals_with_equal_text_are_one_to_the_filter(
        (filter, source) in filter(),
        data in tree(),
        args in coerced(),
        (first, second) in claims_pair(),
    ) {
        if filter.claims_read(&first) == filter.claims_read(&second) {
            let event = event(Value::Object(data));
            let kind = |verdict| match verdict { Verdict::Failed(_) => None, other => Some(other) };
            let (a, b) = (filter.verdict(&event, &args, &first), filter.verdict(&event, &args, &second));
            prop_assert_eq!(kind(a), kind(b), "{}", source);
            prop_assert_eq!(filter.subscription_keys(&args, &first), filter.subscription_keys(&args, &second));
        }
    }

    #[test]
    fn verdicts_are_those_of_cel_but_for_ids_claims_and_given_arguments(
        source in condition(Names::WithoutClaims),
        data in tree(),
        args in coerced(),
    ) {
        let Ok(filter) = Filter::compile(&[], Some(&source), &arguments()) else { return Ok(()) };
        let data = Value::Object(data);
        if has_wide_numbers(&[&source, &data.to_string(), &Value::Object(args.clone()).to_string()]) {
            return Ok(());
        }
        let expected = reference(&source, &data, &args, &Map::new());
        let said = filter.verdict(&event(data), &args, &Map::new());
        match expected {
            Verdict::Failed(_) => prop_assert!(matches!(said, Verdict::Failed(_)), "{source}: {said:?}, CEL fails"),
            // Lists of JSON cannot be added.
            _ if source.contains('+') && matches!(said, Verdict::Failed(_)) => {}
            expected => prop_assert_eq!(said, expected, "{}", source),
        }
    }

    #[test]
    fn a_comparison_with_claims_delivers_no_more_than_cel_does(
        source in condition(Names::AsInCel),
        data in tree(),
        args in coerced(),
        claims in tree(),
    ) {
        let Ok(filter) = Filter::compile(&[], Some(&source), &arguments()) else { return Ok(()) };
        let data = Value::Object(data);
        let (arguments, others) = (Value::Object(args.clone()).to_string(), Value::Object(claims.clone()).to_string());
        if has_wide_numbers(&[&source, &data.to_string(), &arguments, &others]) {
            return Ok(());
        }
        if filter.verdict(&event(data.clone()), &args, &claims) == Verdict::Deliver {
            prop_assert_eq!(reference(&source, &data, &args, &claims), Verdict::Deliver, "{}", source);
        }
    }

    #[test]
    fn no_predicate_panics(
        words in prop::collection::vec(prop::sample::select(vec![
            "event", ".data", ".a", "args", ".int", "claims", "[", "]", "(", ")", "{", "}", "'", "\"", "r'", "b'", "\\x", "\\u12",
            "1", "-", ".5", "1e9", "0x", "u", "true", "null", "==", "&&", "||", "!", "?", ":", ",", "in", "has(", "size(", ".map(x, ",
            "`", "é", "\n", "//", " ", "@0", "_", "%", "+", "T{", "99999999999999999999",
        ]), 0..24),
        data in tree(),
    ) {
        let source = words.concat();
        if let Ok(filter) = Filter::compile(&[], Some(&source), &arguments()) {
            let _ = filter.verdict(&event(Value::Object(data)), &Map::new(), &Map::new());
        }
    }
}
