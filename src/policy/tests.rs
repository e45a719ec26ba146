//! The module as others see it.

mod channels;
mod claims;
mod matching;
mod nulls;
mod numbers;
mod predicates;
mod properties;
mod refusals;

use serde_json::{Map, Value, json};

use super::*;
use crate::event::{Channel, Event};
use crate::manifest::Equality;

fn event(data: Value) -> Event {
    Event {
        id: "e1".into(),
        channel: Channel::new("orders"),
        kind: "orderPlaced".into(),
        time: "2026-01-01T00:00:00Z".into(),
        source: "shop".into(),
        data: data.to_string().into(),
        value: data,
        charge: crate::event::EventCharge::default(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

/// One argument of each kind, named after it.
fn arguments() -> Vec<Argument> {
    let kinds = [
        ("id", ArgumentKind::Id),
        ("string", ArgumentKind::String),
        ("int", ArgumentKind::Int),
        ("float", ArgumentKind::Float),
        ("boolean", ArgumentKind::Boolean),
        ("enum", ArgumentKind::Enum),
        ("other", ArgumentKind::Other),
    ];
    kinds.map(|(name, kind)| Argument { name: name.to_owned(), kind }).to_vec()
}

fn equality(argument: &str, path: &str) -> Equality {
    Equality { argument: argument.to_owned(), path: path.to_owned() }
}

fn matching(argument: &str, path: &str) -> Filter {
    Filter::compile(&[equality(argument, path)], None, &arguments()).unwrap()
}

fn predicate(source: &str) -> Filter {
    Filter::compile(&[], Some(source), &arguments()).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn refusal(source: &str) -> String {
    Filter::compile(&[], Some(source), &arguments()).unwrap_err().to_string()
}

/// The verdict on `data` for these arguments and claims.
fn verdict(filter: &Filter, data: Value, args: Value, claims: Value) -> Verdict {
    filter.verdict(&event(data), &object(args), &object(claims))
}

/// Whether an index that holds a subscription with these arguments and claims would find it by the event.
fn finds(filter: &Filter, data: Value, args: Value, claims: Value) -> bool {
    let event = event(data);
    match filter.subscription_keys(&object(args), &object(claims)) {
        Keys::Never => false,
        Keys::Terms(keys) => keys
            .iter()
            .enumerate()
            .all(|(term, key)| key.as_ref().is_none_or(|key| filter.event_key(term, &event).as_ref() == Some(key))),
    }
}
