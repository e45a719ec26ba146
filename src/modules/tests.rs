use super::*;
use crate::manifest::{Equality, FieldManifest, Manifest};

const SDL: &str = "type Subscription { userUpdated(id: ID): User  orderPlaced(order_id: ID!, tags: [String!]!): User } type User { id: ID! }";

fn field(name: &str, channel: &str) -> FieldManifest {
    FieldManifest {
        name: name.to_owned(),
        function: "resolve".to_owned(),
        file: "resolvers.py".to_owned(),
        line: 7,
        channel: channel.to_owned(),
        events: vec![name.to_owned()],
        matches: Vec::new(),
        predicate: None,
        context: false,
        idempotent: false,
        on_subscribe: false,
        example: None,
    }
}

fn manifest(fields: Vec<FieldManifest>) -> Manifest {
    Manifest { sdk: "subcast-guest 0.1.0".to_owned(), schema: SDL.to_owned(), fields, capabilities: Vec::new() }
}

fn problem(fields: Vec<FieldManifest>) -> String {
    check("users", &manifest(fields)).unwrap_err().to_string()
}

#[test]
fn a_module_that_fits_its_schema_passes() {
    let mut users = field("userUpdated", "users");
    users.matches = vec![Equality { argument: "id".to_owned(), path: "id".to_owned() }];
    let fields = vec![users, field("orderPlaced", "orders:{order_id}")];
    check("users", &manifest(fields)).unwrap();
}

#[test]
fn a_field_that_the_schema_lacks_names_its_place_and_the_nearest() {
    let message = problem(vec![field("userUpdate", "users"), field("orderPlaced", "o")]);
    assert!(message.contains("users: resolvers.py:7 resolve (Subscription.userUpdate)"), "{message}");
    assert!(message.contains("did you mean `userUpdated`?"), "{message}");
}

#[test]
fn a_field_that_nobody_resolves_is_refused() {
    let message = problem(vec![field("userUpdated", "users")]);
    assert!(message.contains("Subscription.orderPlaced, but no module resolves it"), "{message}");
}

#[test]
fn two_resolvers_of_one_field_are_refused_with_both_places() {
    let mut second = field("userUpdated", "users");
    second.line = 12;
    let message = problem(vec![field("userUpdated", "users"), second]);
    assert!(message.contains("resolvers.py:7") && message.contains("resolvers.py:12"), "{message}");
}

#[test]
fn a_module_without_resolvers_is_refused() {
    assert!(problem(Vec::new()).contains("has no subscription"));
}

#[test]
fn a_channel_template_takes_only_required_arguments_that_are_not_lists() {
    let with_order = |channel: &str| problem(vec![field("userUpdated", "users"), field("orderPlaced", channel)]);
    assert!(
        problem(vec![field("userUpdated", "users:{id}"), field("orderPlaced", "o")])
            .contains("declare it as `id: ID!`")
    );
    assert!(with_order("orders:{tags}").contains("not a list"));
    assert!(with_order("orders:{nothing}").contains("no such argument"));
    assert!(with_order("orders:{").contains("channel: "));
}

#[test]
fn a_filter_that_does_not_compile_names_the_field() {
    let mut users = field("userUpdated", "users");
    users.predicate = Some("event.data.total >=".to_owned());
    let message = problem(vec![users, field("orderPlaced", "o")]);
    assert!(message.contains("Subscription.userUpdated"), "{message}");
}

#[test]
fn event_types_select_by_name_or_all() {
    assert!(EventTypes::Any.accept("anything"));
    let named = EventTypes::Named(vec!["a".to_owned(), "b".to_owned()]);
    assert!(named.accept("b") && !named.accept("c"));
}
