//! Whether a new generation shows more to somebody than the one before: compared field by field, and cautious. What
//! cannot be told to be narrower counts as wider.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Generation;
use crate::graphql::Schema;
use crate::manifest::{Equality, FieldManifest};
use crate::policy::conjuncts;

impl Generation {
    /// What `next` loosens, each as a sentence. Fields that only one of them has are not compared.
    #[must_use]
    pub fn loosened_by(&self, next: &Self) -> Vec<String> {
        let mut loosened = Vec::new();
        let declared = |generation: &Self| -> BTreeMap<String, FieldManifest> {
            let manifests = generation.modules.iter().flat_map(|module| &module.manifest().fields);
            manifests.map(|field| (field.name.clone(), field.clone())).collect()
        };
        let new = declared(next);
        for (name, old) in declared(self) {
            if let Some(new) = new.get(&name) {
                let mut found = field(&old, new);
                found.extend(optional(&old, new, &self.schema, &next.schema));
                loosened.extend(found.into_iter().map(|what| format!("Subscription.{name}: {what}")));
            }
        }
        if !Arc::ptr_eq(&self.schema, &next.schema) {
            let lost = self.schema.directives_lost(&next.schema);
            loosened.extend(lost.into_iter().map(|(place, what)| format!("{place}: {what} is removed or changed")));
        }
        loosened
    }
}

fn field(old: &FieldManifest, new: &FieldManifest) -> Vec<String> {
    let mut loosened = Vec::new();
    if old.channel != new.channel {
        loosened.push(format!("channel was `{}`, and is `{}`", old.channel, new.channel));
    }
    let any = |field: &FieldManifest| field.events.iter().any(|kind| kind == "*");
    if !any(old) {
        let more: Vec<_> = new.events.iter().filter(|kind| !old.events.contains(kind)).map(String::as_str).collect();
        if !more.is_empty() {
            loosened.push(format!("events of more types: {}", more.join(", ")));
        }
    }
    for equality in old.matches.iter().filter(|equality| !new.matches.contains(equality)) {
        loosened.push(format!("match no longer compares `{}` with `{}`", equality.argument, equality.path));
    }
    let conditions = |field: &FieldManifest| field.predicate.as_deref().map(conjuncts).unwrap_or_default();
    let kept = conditions(new);
    for condition in conditions(old).into_iter().filter(|condition| !kept.contains(condition)) {
        loosened.push(format!("where no longer demands `{condition}`"));
    }
    if old.context && !new.context {
        loosened.push("outcomes were of one principal, and are shared".to_owned());
    }
    if old.on_subscribe && !new.on_subscribe {
        loosened.push("the hook that decides about subscriptions is gone".to_owned());
    }
    loosened
}

/// Arguments that restrict what is seen, and that can be left out now: then they do not.
fn optional(old: &FieldManifest, new: &FieldManifest, before: &Schema, after: &Schema) -> Vec<String> {
    let is_required = |schema: &Schema, argument: &str| {
        let field = schema.subscription_field(&old.name);
        field.is_some_and(|field| field.arguments.iter().any(|known| known.name == argument && known.required))
    };
    let kept = old.matches.iter().filter(|equality| new.matches.contains(equality));
    let loosened =
        kept.filter(|Equality { argument, .. }| is_required(before, argument) && !is_required(after, argument));
    loosened.map(|Equality { argument, .. }| format!("`{argument}`, which match compares, can be left out")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::SchemaPart;

    fn declared() -> FieldManifest {
        FieldManifest {
            name: "f".to_owned(),
            function: "f".to_owned(),
            file: "resolvers.py".to_owned(),
            line: 1,
            channel: "users".to_owned(),
            events: vec!["a".to_owned()],
            matches: vec![Equality { argument: "id".to_owned(), path: "id".to_owned() }],
            predicate: Some("event.data.tenant == claims.tenant && event.data.total > 1".to_owned()),
            context: true,
            idempotent: false,
            on_subscribe: true,
            example: None,
        }
    }

    fn loosened(change: impl FnOnce(&mut FieldManifest)) -> Vec<String> {
        let mut new = declared();
        change(&mut new);
        field(&declared(), &new)
    }

    #[test]
    fn the_same_and_the_narrower_pass() {
        assert_eq!(loosened(|_| {}), Vec::<String>::new());
        let narrower = loosened(|new| {
            new.predicate = Some("event.data.total>1 && event.data.tenant == claims.tenant && args.x == 1".to_owned());
            new.matches.push(Equality { argument: "b".to_owned(), path: "b".to_owned() });
            new.function = "g".to_owned();
        });
        assert_eq!(narrower, Vec::<String>::new());
    }

    #[test]
    fn an_argument_that_can_be_left_out_now_is_found() {
        let schema = |argument: &str| {
            let sdl = format!("type Subscription {{ f(id: {argument}): Int }}");
            Schema::compose(&[SchemaPart { module: "m", sdl: &sdl }]).unwrap()
        };
        let found = |before: &str, after: &str| optional(&declared(), &declared(), &schema(before), &schema(after));
        assert_eq!(found("ID!", "ID"), ["`id`, which match compares, can be left out"]);
        for (before, after) in [("ID!", "ID!"), ("ID", "ID"), ("ID", "ID!")] {
            assert_eq!(found(before, after), Vec::<String>::new(), "{before} {after}");
        }
    }

    #[test]
    fn each_way_to_see_more_is_found() {
        for (what, change) in [
            ("channel was `users`", (|new| new.channel = "all".to_owned()) as fn(&mut FieldManifest)),
            ("more types: b", |new| new.events.push("b".to_owned())),
            ("more types: *", |new| new.events = vec!["*".to_owned()]),
            ("match no longer compares `id`", |new| new.matches.clear()),
            ("no longer demands `event.data.tenant == claims.tenant`", |new| {
                new.predicate = Some("event.data.total > 1".to_owned());
            }),
            ("no longer demands", |new| new.predicate = None),
            ("no longer demands", |new| {
                new.predicate = Some("event.data.tenant == claims.tenant && event.data.total > 1 || true".to_owned());
            }),
            ("are shared", |new| new.context = false),
            ("hook", |new| new.on_subscribe = false),
        ] {
            let found = loosened(change);
            assert!(found.iter().any(|sentence| sentence.contains(what)), "{what}: {found:?}");
        }
    }
}
