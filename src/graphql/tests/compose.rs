//! Schemas of several modules.

use super::super::{ArgumentKind, Schema, SchemaError, SchemaPart};
use super::schema;

fn compose(parts: &[(&str, &str)]) -> Result<Schema, SchemaError> {
    let parts: Vec<_> = parts.iter().map(|(module, sdl)| SchemaPart { module, sdl }).collect();
    Schema::compose(&parts)
}

#[test]
fn default_query_is_added_only_if_nobody_has_one() {
    assert!(compose(&[("a", "type Subscription { x: Int }")]).unwrap().sdl().contains("_empty"));
    let both = [("a", "type Subscription { x: Int }"), ("b", "type Query { q: Int } type Subscription { y: Int }")];
    let schema = compose(&both).unwrap();
    assert!(!schema.sdl().contains("_empty"));
    assert!(schema.sdl().contains("q: Int"));
}

#[test]
fn no_module_at_all_is_a_schema_without_subscriptions() {
    assert_eq!(compose(&[]).unwrap().subscription_fields().count(), 0);
}

#[test]
fn modules_unite_their_fields_and_share_identical_types() {
    let user = "type User { id: ID! } enum E { A B }";
    let first = format!("{user} type Subscription {{ a: User }}");
    let second = format!("{user} extend type Subscription {{ b: User e: E }}");
    let schema = compose(&[("one", &first), ("two", &second)]).unwrap();
    let names: Vec<_> = schema.subscription_fields().map(|field| &*field.name).collect();
    assert_eq!(names, ["a", "b", "e"]);
}

#[test]
fn types_that_differ_are_refused_with_both_modules() {
    let error = compose(&[
        ("one", "type User { id: ID } type Subscription { a: User }"),
        ("two", "type User { id: ID! } type Subscription { b: User }"),
    ]);
    assert_eq!(error.unwrap_err().to_string(), "modules one and two define type `User` differently");
}

#[test]
fn one_subscription_field_in_two_modules_is_refused_even_if_identical() {
    let sdl = "type Subscription { a: Int }";
    let error = compose(&[("one", sdl), ("two", "type Subscription { b: Int }"), ("three", sdl)]).unwrap_err();
    assert_eq!(error.to_string(), "modules one and three both have the subscription field `a`");
}

#[test]
fn invalid_sdl_names_its_module_and_place() {
    let error = compose(&[("good", "type Subscription { a: Int }"), ("bad", "type Subscription {\n  b: Nothing }")]);
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("the schema of module bad is not valid"), "{error}");
    assert!(error.contains("Nothing") && error.contains("line 2"), "{error}");
}

#[test]
fn root_types_of_other_names_work() {
    let schema = compose(&[("a", "schema { subscription: Live } type Live { x: Int }")]).unwrap();
    assert!(schema.subscription_field("x").is_some());
    let mixed = [("a", "schema { subscription: Live } type Live { x: Int }"), ("b", "type Subscription { y: Int }")];
    assert!(matches!(compose(&mixed), Err(SchemaError::Conflict { .. })));
}

#[test]
fn composed_sdl_composes_again() {
    let once = schema();
    assert_eq!(compose(&[("again", once.sdl())]).unwrap().sdl(), once.sdl());
}

#[test]
fn subscription_fields_tell_their_arguments() {
    let schema = schema();
    let user = schema.subscription_field("user").unwrap();
    let kinds: Vec<_> = user.arguments.iter().map(|a| (a.name.as_str(), a.kind, a.list, a.required)).collect();
    assert_eq!(
        kinds,
        [
            ("id", ArgumentKind::Id, false, false),
            ("ids", ArgumentKind::Id, true, false),
            ("filter", ArgumentKind::Input, false, false),
            ("kind", ArgumentKind::Enum, false, false),
            ("limit", ArgumentKind::Int, false, false),
            ("ratio", ArgumentKind::Float, false, false),
            ("blob", ArgumentKind::Custom, false, false),
        ]
    );
    assert!(user.nullable);
    assert!(!schema.subscription_field("strict").unwrap().nullable);
}
