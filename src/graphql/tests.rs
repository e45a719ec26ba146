//! The module as others see it. How projection compares with the reference implementation: `tests/projection`.

mod compose;
mod costs;
mod introspection;
mod operations;
mod projection;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{GraphqlError, Limits, Plan, Prepared, Schema, SchemaPart};

const SDL: &str = r#"
    type Subscription {
      user(id: ID, ids: [ID!], filter: Filter, kind: Kind = MEMBER, limit: Int, ratio: Float, blob: Blob): User
      strict: User!
      nodes: [Node!]
      text: String
      number: Int
      share: Float
    }
    interface Node { id: ID! }
    type User implements Node { id: ID! name: String! age: Int kind: Kind friends: [User!] best: User blob: Blob matrix: [[Int!]] }
    type Group implements Node { id: ID! members: [User] }
    enum Kind { MEMBER GUEST }
    scalar Blob
    input Filter { id: ID! tags: [String!] = ["a"] nested: Filter since: Float = 1 }
"#;

fn schema() -> Arc<Schema> {
    Arc::new(Schema::compose(&[SchemaPart { module: "users", sdl: SDL }]).expect("valid"))
}

fn prepare(query: &str, variables: Value) -> Result<Prepared, Vec<GraphqlError>> {
    let Value::Object(variables) = variables else { panic!("variables are an object") };
    schema().parse(query, &Limits::default())?.prepare(None, &variables)
}

fn plan(query: &str) -> Plan {
    plan_with(query, json!({}))
}

fn plan_with(query: &str, variables: Value) -> Plan {
    match prepare(query, variables) {
        Ok(Prepared::Subscription(plan)) => plan,
        other => panic!("not a subscription: {other:?}"),
    }
}

fn refusal(query: &str, variables: Value) -> String {
    let errors = prepare(query, variables).expect_err("refused");
    errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ")
}

fn project(query: &str, value: &str) -> String {
    let mut out = String::new();
    plan(query).selection.project(value, &mut out);
    out
}

fn arguments(text: &str, variables: Value) -> String {
    plan_with(text, variables).arguments_json.to_string()
}

fn none() -> Map<String, Value> {
    Map::new()
}
