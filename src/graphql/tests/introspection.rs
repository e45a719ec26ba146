//! Introspection, compared with `apollo-compiler`'s own executor, and its bounds.

use std::fmt::Write;
use std::sync::Arc;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::introspection::partial_execute;
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::response::JsonMap;
use serde_json::{Value, json};

use super::super::{GraphqlError, Limits, Prepared, Schema, SchemaPart};

/// The query of `GraphiQL`, Apollo and code generators.
pub(super) const STANDARD: &str = r"
    query IntrospectionQuery {
      __schema {
        description
        queryType { name kind }
        mutationType { name kind }
        subscriptionType { name kind }
        types { ...FullType }
        directives { name description isRepeatable locations args(includeDeprecated: true) { ...InputValue } }
      }
    }
    fragment FullType on __Type {
      kind name description specifiedByURL
      fields(includeDeprecated: true) {
        name description
        args(includeDeprecated: true) { ...InputValue }
        type { ...TypeRef }
        isDeprecated deprecationReason
      }
      inputFields(includeDeprecated: true) { ...InputValue }
      interfaces { ...TypeRef }
      enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
      possibleTypes { ...TypeRef }
    }
    fragment InputValue on __InputValue {
      name description type { ...TypeRef } defaultValue isDeprecated deprecationReason
    }
    fragment TypeRef on __Type {
      kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType {
        kind name ofType { kind name }
      } } } } } } }
    }
";

const SDL: &str = r#"
    "All there is." schema { query: Query, subscription: Subscription }
    type Query implements Node { id: ID! hello(name: String = "a \"quoted\" name", list: [In!]! = [{a: 1, e: B}]): String }
    type Subscription { event(in: In, old: Int @deprecated): Union  all: [[Node!]!]! }
    interface Node { id: ID! }
    interface Named implements Node { id: ID! name: String @deprecated(reason: "No \\ more\u0007") }
    """
    A user,
    in two lines. é 😀
    """
    type User implements Node & Named @tag(name: "x") { id: ID! name: String old: Int @deprecated }
    type Group { members: [User!] }
    union Union = User | Group
    enum E { A "the second" B C @deprecated(reason: "gone") }
    input In { a: Int! = 5, e: E = A, more: [In!], old: Float @deprecated }
    scalar Url @specifiedBy(url: "https://example.com/url")
    directive @tag(name: String!, old: Int @deprecated) repeatable on OBJECT | FIELD_DEFINITION
"#;

fn schema(sdl: &str) -> Arc<Schema> {
    Arc::new(Schema::compose(&[SchemaPart { module: "m", sdl }]).unwrap())
}

fn ours(schema: &Arc<Schema>, query: &str, variables: &Value, limits: &Limits) -> Result<String, Vec<GraphqlError>> {
    let variables = variables.as_object().unwrap();
    match schema.parse(query, limits)?.prepare(None, variables)? {
        Prepared::Response(response) => Ok(response),
        Prepared::Subscription(_) => panic!("a subscription"),
    }
}

fn reference(schema: &Schema, query: &str, variables: &Value) -> String {
    let document = ExecutableDocument::parse_and_validate(&schema.definitions, query, "query").unwrap();
    let operation = document.operations.get(None).unwrap();
    let variables: JsonMap = serde_json::from_value(variables.clone()).unwrap();
    let variables = coerce_variable_values(&schema.definitions, operation, &variables).unwrap();
    let response =
        partial_execute(&schema.definitions, &schema.implementers, &document, operation, &variables).unwrap();
    serde_json::to_string(&response).unwrap()
}

#[test]
fn answers_are_those_of_the_reference() {
    let schema = schema(SDL);
    let ty = |selection: &str| format!("{{ __type(name: \"User\") {{ {selection} }} }}");
    let queries = [
        STANDARD.to_owned(),
        STANDARD.replace("(includeDeprecated: true)", ""),
        STANDARD.replace("(includeDeprecated: true)", "(includeDeprecated: null)"),
        "{ __typename __schema { __typename types { __typename fields { __typename args { __typename } type { __typename } } enumValues { __typename } } directives { __typename } } }".to_owned(),
        "{ a: __type(name: \"E\") { n: name enumValues { name } } b: __type(name: \"E\") { enumValues(includeDeprecated: true) { name } } c: __type(name: \"None\") { name } }".to_owned(),
        // Fields of one key are merged, in the order of their first appearance.
        ty("name fields { name } kind ...F name fields { type { kind } }") + " fragment F on __Type { fields { type { name ofType { name } } } interfaces { name } }",
        ty("... { name } ... on __Type @include(if: false) { kind } ... @skip(if: true) { description } ...F ...F") + " fragment F on __Type { description possibleTypes { name } }",
        "{ __schema { description queryType { name description } mutationType { name } } }".to_owned(),
        "{ __type(name: \"In\") { inputFields { name defaultValue type { kind ofType { kind name ofType { name } } } } } }".to_owned(),
        "{ __type(name: \"Url\") { specifiedByURL ofType { name } fields { name } } }".to_owned(),
    ];
    for query in &queries {
        let response = ours(&schema, query, &json!({}), &Limits::default()).unwrap();
        assert_eq!(response, reference(&schema, query, &json!({})), "{query}");
    }
    let query = "query ($n: String!, $d: Boolean = true, $no: Boolean!) { __type(name: $n) { kind @skip(if: $no) name @include(if: $d) fields(includeDeprecated: $d) { name } } }";
    for variables in
        [json!({"n": "User", "no": false}), json!({"n": "User", "no": true, "d": false}), json!({"n": "?", "no": true})]
    {
        let response = ours(&schema, query, &variables, &Limits::default()).unwrap();
        assert_eq!(response, reference(&schema, query, &variables), "{variables}");
    }
}

#[test]
fn aliases_make_no_more_of_a_schema_than_the_bound() {
    let schema = schema(SDL);
    let most = super::super::introspection::most_bytes(&schema);
    assert!(most < 128 << 10, "{most}");
    let mut largest = 0;
    let mut refused = 0;
    for count in [1, 2, 5, 10, 20, 50, 90] {
        let mut query = String::from("{");
        for alias in 0..count {
            let _ = write!(
                query,
                " a{alias}: __schema {{ types {{ name description fields {{ name description type {{ name }} }} }} }}"
            );
        }
        match ours(&schema, &(query + "}"), &json!({}), &Limits::default()) {
            Ok(response) => largest = largest.max(response.len()),
            Err(errors) => {
                assert!(errors[0].message.contains("the limit for this schema"), "{errors:?}");
                refused += 1;
            }
        }
    }
    assert!(largest <= most && largest > most / 4, "{largest} of {most}");
    assert!(refused > 0);
}

#[test]
fn the_standard_query_is_answered_for_any_schema() {
    // Short names and no descriptions are what an answer is largest beside.
    let mut dense = String::from("type Subscription { a: T0 }\n");
    for ty in 0..2_000 {
        let _ = write!(dense, "type T{ty} {{");
        for field in 0..10 {
            let _ = write!(dense, " f{field}: [[[T{ty}!]!]!]!");
        }
        dense.push_str(" }\n");
    }
    let described = SDL.replace("in two lines.", &"many words ".repeat(50_000));
    for sdl in ["type Subscription { a: Int }", SDL, &dense, &described] {
        let schema = schema(sdl);
        let response =
            ours(&schema, STANDARD, &json!({}), &Limits::default()).unwrap_or_else(|errors| panic!("{errors:?}"));
        let most = super::super::introspection::most_bytes(&schema);
        assert!(response.len() * 5 < most * 4, "{} of {most} bytes for {} of SDL", response.len(), schema.sdl().len());
    }
}

#[test]
fn introspection_that_is_switched_off_is_refused_and_typename_is_not() {
    let schema = schema(SDL);
    let limits = Limits { introspection: false, ..Limits::default() };
    for query in [
        STANDARD,
        "{ __type(name: \"User\") { name } }",
        "{ __typename ...F } fragment F on Query { s: __schema { description } }",
    ] {
        let errors = ours(&schema, query, &json!({}), &limits).unwrap_err();
        assert!(errors[0].message.contains("[limits] introspection"), "{errors:?}");
    }
    assert_eq!(ours(&schema, "{ __typename }", &json!({}), &limits).unwrap(), r#"{"data":{"__typename":"Query"}}"#);
}
