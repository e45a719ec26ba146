//! Directives of a schema's own that a later schema does without. They say who may see what.

use std::collections::{BTreeSet, HashMap, HashSet};

use apollo_compiler::Name;
use apollo_compiler::ast::{Directive, FieldDefinition, InputValueDefinition, OperationType};
use apollo_compiler::schema::ExtendedType;

use super::schema::Schema;

/// Those of the specification say nothing about access.
const SPECIFIED: [&str; 3] = ["deprecated", "specifiedBy", "oneOf"];
/// Pairs of types that are compared. Schemas that are alike have as many as types.
const MOST_PAIRS: usize = 200_000;

impl Schema {
    /// The directives that apply to something here, and not to the same in `next`: a place (`User` or `User.email`), and the
    /// directive. The same is what is reached from the subscription type by fields of one name, so that a type which is
    /// only called otherwise has lost nothing of what it must have. Cautious: what cannot be compared is lost.
    #[must_use]
    pub fn directives_lost(&self, next: &Self) -> BTreeSet<(String, String)> {
        let root = |schema: &Self| schema.definitions.root_operation(OperationType::Subscription).cloned();
        let mut comparison = Comparison::default();
        if let (Some(old), Some(new)) = (root(self), root(next)) {
            comparison.later(old, new);
        }
        while let Some((old, new)) = comparison.waiting.pop() {
            if comparison.seen.len() > MOST_PAIRS {
                comparison.lost.insert(("the schema".to_owned(), "something, in too much to be compared,".to_owned()));
                break;
            }
            let types = (self.definitions.types.get(&old), next.definitions.types.get(&new));
            if let (Some(before), Some(after)) = types {
                comparison.types(before, after);
                comparison.possible_types(self, next, before);
            }
        }
        comparison.lost
    }

    /// Names of the types that a value of an abstract type can be of.
    fn possible_types(&self, definition: &ExtendedType) -> Vec<Name> {
        match definition {
            ExtendedType::Union(union) => union.members.iter().map(|member| member.name.clone()).collect(),
            ExtendedType::Interface(interface) => {
                let implementers = self.implementers.get(&interface.name);
                implementers.into_iter().flat_map(|known| known.objects.iter().cloned()).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[derive(Default)]
struct Comparison {
    lost: BTreeSet<(String, String)>,
    seen: HashSet<(Name, Name)>,
    waiting: Vec<(Name, Name)>,
}

impl Comparison {
    fn later(&mut self, old: Name, new: Name) {
        if self.seen.insert((old.clone(), new.clone())) {
            self.waiting.push((old, new));
        }
    }

    fn directives<'a>(
        &mut self,
        place: impl FnOnce() -> String,
        old: impl Iterator<Item = &'a Directive>,
        new: impl Iterator<Item = &'a Directive>,
    ) {
        let mut gone = own(old);
        if gone.is_empty() {
            return;
        }
        let kept = own(new);
        gone.retain(|directive| !kept.contains(directive));
        let place = place();
        self.lost.extend(gone.into_iter().map(|directive| (place.clone(), directive)));
    }

    fn types(&mut self, old: &ExtendedType, new: &ExtendedType) {
        let name = old.name().as_str();
        self.directives(|| name.to_owned(), applied(old), applied(new));
        let after = fields(new);
        for (field, before) in fields(old) {
            let Some(after) = after.get(field) else { continue };
            let place = || format!("{name}.{field}");
            self.directives(place, each(&before.directives), each(&after.directives));
            self.later(before.ty.inner_named_type().clone(), after.ty.inner_named_type().clone());
            let arguments = before.arguments.iter().map(|argument| (&argument.name, &**argument));
            let after = after.arguments.iter().map(|argument| (&argument.name, &**argument)).collect();
            self.inputs(arguments, &after, |argument| format!("{name}.{field}({argument}:)"));
        }
        let after = input_fields(new);
        self.inputs(input_fields(old).into_iter(), &after, |field| format!("{name}.{field}"));
    }

    fn inputs<'a>(
        &mut self,
        old: impl Iterator<Item = (&'a Name, &'a InputValueDefinition)>,
        new: &HashMap<&Name, &InputValueDefinition>,
        place: impl Fn(&Name) -> String,
    ) {
        for (name, before) in old {
            let Some(after) = new.get(name) else { continue };
            self.directives(|| place(name), each(&before.directives), each(&after.directives));
            self.later(before.ty.inner_named_type().clone(), after.ty.inner_named_type().clone());
        }
    }

    /// A possible type that is gone may be there under another name, so what applied to it counts as lost.
    fn possible_types(&mut self, old: &Schema, new: &Schema, definition: &ExtendedType) {
        for name in old.possible_types(definition) {
            if new.definitions.types.contains_key(&name) {
                self.later(name.clone(), name);
            } else if let Some(gone) = old.definitions.types.get(&name) {
                self.directives(|| name.to_string(), applied(gone), std::iter::empty());
                for (field, definition) in fields(gone) {
                    self.directives(|| format!("{name}.{field}"), each(&definition.directives), std::iter::empty());
                }
            }
        }
    }
}

fn own<'a>(directives: impl Iterator<Item = &'a Directive>) -> BTreeSet<String> {
    let own = directives.filter(|directive| !SPECIFIED.contains(&directive.name.as_str()));
    own.map(Directive::to_string).collect()
}

fn applied(definition: &ExtendedType) -> impl Iterator<Item = &Directive> {
    definition.directives().iter().map(|directive| &***directive)
}

fn each(directives: &apollo_compiler::ast::DirectiveList) -> impl Iterator<Item = &Directive> {
    directives.iter().map(|directive| &**directive)
}

fn fields(definition: &ExtendedType) -> HashMap<&Name, &FieldDefinition> {
    let fields = match definition {
        ExtendedType::Object(object) => &object.fields,
        ExtendedType::Interface(interface) => &interface.fields,
        _ => return HashMap::new(),
    };
    fields.iter().map(|(name, field)| (name, &***field)).collect()
}

fn input_fields(definition: &ExtendedType) -> HashMap<&Name, &InputValueDefinition> {
    let ExtendedType::InputObject(input) = definition else { return HashMap::new() };
    input.fields.iter().map(|(name, field)| (name, &***field)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::SchemaPart;

    const DEFINITIONS: &str = "directive @auth(scope: String) repeatable on OBJECT | FIELD_DEFINITION | UNION | ENUM | INPUT_FIELD_DEFINITION | ARGUMENT_DEFINITION ";

    fn lost(old: &str, new: &str) -> Vec<String> {
        let schema = |sdl: &str| {
            let sdl = format!("{DEFINITIONS}{sdl}");
            Schema::compose(&[SchemaPart { module: "m", sdl: &sdl }]).unwrap()
        };
        let lost = schema(old).directives_lost(&schema(new));
        lost.into_iter().map(|(place, directive)| format!("{place} {directive}")).collect()
    }

    #[test]
    fn what_is_kept_added_or_out_of_reach_is_not_lost() {
        let old =
            "type Subscription { user: User } type User @auth { id: ID @auth(scope: \"a\") name: String @deprecated }";
        for new in [
            old,
            "type Subscription { user: User } type User @auth { id: ID @auth(scope: \"a\") @auth name: String }",
            "type Subscription { user: Person } type Person @auth { id: ID @auth(scope: \"a\") }",
            "type Subscription { user: User } type User @auth { name: String }",
            "type Subscription { other: User } type User { id: ID }",
        ] {
            assert_eq!(lost(old, new), [""; 0], "{new}");
        }
        let old = "type Subscription { a: Int } type Query { user: User } type User @auth { id: ID }";
        assert_eq!(lost(old, "type Subscription { a: Int } type Query { user: User } type User { id: ID }"), [""; 0]);
    }

    #[test]
    fn what_is_removed_or_changed_is_lost_wherever_it_can_be_reached() {
        for (old, new, expected) in [
            ("user: User @auth } type User { id: ID }", "user: User } type User { id: ID }", "Subscription.user @auth"),
            ("user: User } type User @auth { id: ID }", "user: User } type User { id: ID }", "User @auth"),
            ("user: User } type User @auth { id: ID }", "user: Person } type Person { id: ID }", "User @auth"),
            (
                "user: User } type User { id: ID @auth(scope: \"a\") }",
                "user: [User!]! } type User { id: ID @auth(scope: \"b\") }",
                "User.id @auth(scope: \"a\")",
            ),
            (
                "a: A } type A { b: [B] } type B { c: C } enum C @auth { D }",
                "a: X } type X { b: Y } type Y { c: Z } enum Z { D }",
                "C @auth",
            ),
            (
                "u: U } union U = A | B type A @auth { id: ID } type B { id: ID }",
                "u: U } union U = X | B type X { id: ID } type B { id: ID }",
                "A @auth",
            ),
            (
                "i: I } interface I { id: ID } type A implements I { id: ID @auth }",
                "i: I } interface I { id: ID } type A implements I { id: ID }",
                "A.id @auth",
            ),
            ("f(a: Int @auth): Int }", "f(a: Int): Int }", "Subscription.f(a:) @auth"),
            ("f(a: In): Int } input In { b: Int @auth }", "f(a: In): Int } input In { b: Int }", "In.b @auth"),
        ] {
            let subscription = |rest: &str| format!("type Subscription {{ {rest}");
            assert_eq!(lost(&subscription(old), &subscription(new)), [expected], "{old} → {new}");
        }
    }

    #[test]
    fn schemas_that_multiply_are_given_up() {
        // Two rings of lengths that have no divisor in common: each type of one meets each of the other.
        let ring = |length: usize| {
            let types: Vec<_> = (0..length).map(|n| format!("type T{n} {{ next: T{} }} ", (n + 1) % length)).collect();
            format!("type Subscription {{ t: T0 }} {}", types.concat())
        };
        assert_eq!(lost(&ring(501), &ring(500)), ["the schema something, in too much to be compared,"]);
    }
}
