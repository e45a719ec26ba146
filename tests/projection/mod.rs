//! The projection against `graphql-core`, the reference implementation for Python: thousands of random schemas,
//! operations, variables and values (`generate.py`), and for each the same data in the same order, errors at the same
//! paths, and the same coerced arguments.
//!
//! `SUBCAST_TEST_PYTHON` names an interpreter that has `graphql-core`, `SUBCAST_PROJECTION_CASES` a file with cases
//! that were generated before.

mod ordered;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use subcast::graphql::{Limits, Plan, Prepared, Schema, SchemaPart};

use self::ordered::Ordered;

const SEED: u32 = 20_250_101;
const CASES: usize = 3_000;
/// Each occurs in at least `EACH` cases.
const EACH: usize = 100;
const FEATURES: [&str; 22] = [
    "alias",
    "named_fragment",
    "inline_fragment",
    "fragment_on_interface",
    "fragment_on_union",
    "interface",
    "union",
    "list",
    "nested_list",
    "skip",
    "include",
    "enum",
    "custom_scalar",
    "null_bubbling",
    "typename",
    "input_object_argument",
    "variable_default",
    "merged_fields",
    "wrong_typename",
    "duplicate_key",
    "escaped_key",
    "Int_converted",
];

#[derive(Deserialize)]
struct Case {
    schema: String,
    query: String,
    variables: Map<String, Value>,
    value: String,
    data: String,
    paths: Vec<Vec<Value>>,
    arguments: Value,
    features: Vec<String>,
    bubbled: usize,
}

#[derive(Deserialize)]
struct ExecutionResult<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    path: Vec<Value>,
}

#[test]
fn projection_equals_graphql_core_in_thousands_of_random_cases() {
    let text = cases();
    let cases: Vec<Case> = text.lines().map(|line| serde_json::from_str(line).expect("a case")).collect();
    assert_covers_everything(&cases);

    let mut schema: Option<(&str, Arc<Schema>)> = None;
    let mut wrong = Vec::new();
    for case in &cases {
        let current = match schema {
            Some((sdl, ref schema)) if sdl == case.schema => Arc::clone(schema),
            _ => {
                let composed = Schema::compose(&[SchemaPart { module: "random", sdl: &case.schema }]);
                Arc::new(composed.expect("the schema is valid"))
            }
        };
        schema = Some((&case.schema, Arc::clone(&current)));
        if let Err(difference) = compare(case, &current) {
            wrong.push(format!("{difference}\n  query: {}\n  value: {}\n", case.query, case.value));
        }
    }
    let first: String = wrong.iter().take(3).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} of {} cases differ, for example:\n{first}", wrong.len(), cases.len());
}

fn compare(case: &Case, schema: &Arc<Schema>) -> Result<(), String> {
    let document = schema.parse(&case.query, &Limits::default()).map_err(|errors| format!("refused: {errors:?}"))?;
    let plan: Plan = match document.prepare(None, &case.variables) {
        Ok(Prepared::Subscription(plan)) => plan,
        other => return Err(format!("not a subscription: {other:?}")),
    };
    let arguments = Value::Object(plan.arguments.clone());
    if !ordered::equal_values(&arguments, &case.arguments) {
        return Err(format!("arguments {arguments} instead of {}", case.arguments));
    }
    let mut out = String::new();
    let projected = plan.selection.project(&case.value, &mut out);
    let result: ExecutionResult<'_> = serde_json::from_str(&out).map_err(|error| format!("{error} in {out}"))?;
    let (data, expected) = (Ordered::read(result.data.get()), Ordered::read(&case.data));
    if data != expected {
        return Err(format!("data {} instead of {}", result.data.get(), case.data));
    }
    let (paths, expected) = (sorted(result.errors.iter().map(|error| &error.path)), sorted(&case.paths));
    if paths != expected || projected.errors != paths.len() {
        return Err(format!("{} errors, at {paths:?} instead of {expected:?}", projected.errors));
    }
    Ok(())
}

fn sorted<'a>(paths: impl IntoIterator<Item = &'a Vec<Value>>) -> Vec<String> {
    let mut paths: Vec<String> = paths.into_iter().map(|path| serde_json::to_string(path).expect("JSON")).collect();
    paths.sort();
    paths
}

#[expect(clippy::print_stdout, reason = "the histogram is for whoever reads the test's output")]
fn assert_covers_everything(cases: &[Case]) {
    let mut histogram: BTreeMap<&str, usize> = FEATURES.iter().map(|feature| (*feature, 0)).collect();
    for feature in cases.iter().flat_map(|case| &case.features) {
        *histogram.entry(feature).or_default() += 1;
    }
    let errors = cases.iter().filter(|case| !case.paths.is_empty()).count();
    let bubbled = cases.iter().filter(|case| case.bubbled >= 2).count();
    println!("{} cases, {errors} with errors, {bubbled} with nulls that bubble two levels or more", cases.len());
    for (feature, count) in &histogram {
        println!("{count:6} {feature}");
    }
    assert!(cases.len() >= 2_000);
    assert!(errors * 5 >= cases.len(), "{errors} cases with errors are less than 20 %");
    assert!(bubbled * 10 >= cases.len(), "{bubbled} cases with far bubbling are less than 10 %");
    for feature in FEATURES {
        assert!(histogram[feature] >= EACH, "{feature} occurs only {} times", histogram[feature]);
    }
}

fn cases() -> String {
    if let Some(file) = std::env::var_os("SUBCAST_PROJECTION_CASES") {
        return std::fs::read_to_string(file).expect("SUBCAST_PROJECTION_CASES names a readable file");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("SUBCAST_TEST_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    let output = Command::new(&python)
        .arg(root.join("tests/projection/generate.py"))
        .args([SEED.to_string(), CASES.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("{} cannot be run ({error}); set SUBCAST_TEST_PYTHON", python.display()));
    assert!(output.status.success(), "generate.py failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the cases are UTF-8")
}
