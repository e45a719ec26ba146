//! Random conversations against a model: whatever client and driver do, in any order, the rules hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Config, Connection};
use crate::ids::OperationId;
use crate::protocol::{CloseCode, Output};

const MAX_OPERATIONS: usize = 3;

/// Something that a client or a driver does. Ids are few, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Init,
    Ping(Value),
    Pong,
    Subscribe(u8),
    ClientComplete(u8),
    Text(String),
    Binary,
    Pass(u64),
    Accept,
    Reject,
    Refreshed,
    Start(u8),
    Next(u8),
    Error(u8),
    Complete(u8),
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..5_u8;
    prop_oneof![
        2 => Just(Step::Init),
        2 => prop_oneof![Just(Value::Null), Just(json!({})), Just(json!({"authorization": "x"}))].prop_map(Step::Ping),
        2 => Just(Step::Pong),
        20 => id.clone().prop_map(Step::Subscribe),
        8 => id.clone().prop_map(Step::ClientComplete),
        1 => prop_oneof![any::<String>(), r#"\{"(type|id)":"[a-z]{0,5}","payload":[\[{]{0,3}"#].prop_map(Step::Text),
        1 => Just(Step::Binary),
        4 => (0..9_u64).prop_map(Step::Pass),
        4 => Just(Step::Accept),
        1 => Just(Step::Reject),
        1 => Just(Step::Refreshed),
        20 => id.clone().prop_map(Step::Start),
        20 => id.clone().prop_map(Step::Next),
        6 => id.clone().prop_map(Step::Error),
        6 => id.prop_map(Step::Complete),
        1 => Just(Step::Close),
    ]
}

/// Mostly conversations that get past the acknowledgement, since the rest is short.
fn conversation() -> impl Strategy<Value = Vec<Step>> {
    let opening = prop_oneof![
        4 => Just(vec![Step::Init, Step::Accept]),
        1 => Just(vec![]),
    ];
    (opening, prop::collection::vec(step(), 0..120)).prop_map(|(opening, rest)| [opening, rest].concat())
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Stage {
    Preparing,
    Active,
}

/// What may happen next, by the rules alone.
#[derive(Default)]
struct Model {
    init: bool,
    acknowledged: bool,
    closed: bool,
    operations: HashMap<String, Stage>,
}

fn play(steps: &[Step]) -> Result<(), TestCaseError> {
    let config = Config { max_operations: MAX_OPERATIONS, ..Config::default() };
    let mut now = Instant::now();
    let mut connection = Connection::new(Arc::new(config), now);
    let mut model = Model::default();
    for step in steps {
        let before = model.operations.clone();
        let was_closed = model.closed;
        perform(&mut connection, &mut model, step, &mut now)?;
        let outputs: Vec<Output> = std::iter::from_fn(|| connection.poll_output()).collect();
        prop_assert!(outputs.len() <= 1, "one step, at most one output: {outputs:?}");
        prop_assert!(!was_closed || outputs.is_empty(), "after the close: {outputs:?}");
        check_step(&model, &before, step, outputs.first())?;
        for output in &outputs {
            observe(&mut model, step, output)?;
        }
        prop_assert_eq!(connection.is_closed(), model.closed);
        prop_assert_eq!(connection.poll_timeout().is_none(), model.closed);
        prop_assert_eq!(connection.operations(), model.operations.len());
    }
    Ok(())
}

fn perform(
    connection: &mut Connection,
    model: &mut Model,
    step: &Step,
    now: &mut Instant,
) -> Result<(), TestCaseError> {
    let operation = |id: &u8| OperationId::new(&id.to_string());
    let stage = |model: &Model, id: &u8| model.operations.get(&id.to_string()).copied();
    let mut say = |message: Value| connection.handle_text(&message.to_string(), *now);
    match step {
        Step::Init => say(json!({ "type": "connection_init" })),
        Step::Ping(payload) => say(json!({ "type": "ping", "payload": payload })),
        Step::Pong => say(json!({ "type": "pong" })),
        Step::Subscribe(id) => {
            say(json!({ "type": "subscribe", "id": id.to_string(), "payload": { "query": "{ a }" } }));
        }
        Step::ClientComplete(id) => say(json!({ "type": "complete", "id": id.to_string() })),
        Step::Text(text) => connection.handle_text(text, *now),
        Step::Binary => connection.handle_binary(*now),
        Step::Pass(seconds) => {
            *now += Duration::from_secs(*seconds);
            connection.handle_timeout(*now);
        }
        Step::Accept => connection.accept(),
        Step::Reject => connection.reject(),
        Step::Refreshed => connection.refreshed(None),
        Step::Start(id) => {
            let preparing = stage(model, id) == Some(Stage::Preparing);
            prop_assert_eq!(connection.start(&operation(id)), preparing);
            if preparing {
                model.operations.insert(id.to_string(), Stage::Active);
            }
        }
        Step::Next(id) => {
            let active = stage(model, id) == Some(Stage::Active);
            prop_assert_eq!(connection.is_active(&operation(id)), active);
            prop_assert_eq!(connection.next(&operation(id), "{}").is_some(), active);
        }
        Step::Error(id) => connection.error(&operation(id), "[{}]"),
        Step::Complete(id) => connection.complete(&operation(id)),
        Step::Close => connection.close(CloseCode::ServiceRestart, "drain"),
    }
    Ok(())
}

/// What a step must lead to, given what was there before it.
fn check_step(
    model: &Model,
    before: &HashMap<String, Stage>,
    step: &Step,
    output: Option<&Output>,
) -> Result<(), TestCaseError> {
    if model.closed {
        return Ok(());
    }
    let code = match output {
        Some(Output::Close { code, .. }) => Some(*code),
        _ => None,
    };
    match step {
        Step::Subscribe(_) if !model.acknowledged => prop_assert_eq!(code, Some(CloseCode::Unauthorized)),
        Step::Subscribe(id) if before.contains_key(&id.to_string()) => {
            prop_assert_eq!(code, Some(CloseCode::SubscriberAlreadyExists));
        }
        Step::Subscribe(_) if before.len() < MAX_OPERATIONS => {
            prop_assert!(matches!(output, Some(Output::Subscribe { .. })), "an id that has ended is free: {output:?}");
        }
        Step::Subscribe(_) => prop_assert!(matches!(output, Some(Output::Send(_))), "refused: {output:?}"),
        Step::ClientComplete(id) => {
            let known = before.contains_key(&id.to_string());
            prop_assert_eq!(matches!(output, Some(Output::Unsubscribe { .. })), known);
            prop_assert!(known || output.is_none());
        }
        Step::Error(id) | Step::Complete(id) => {
            prop_assert_eq!(output.is_some(), before.contains_key(&id.to_string()), "ends once");
        }
        Step::Init if model.init => prop_assert_eq!(code, Some(CloseCode::TooManyInitialisationRequests)),
        Step::Init => {
            let asked = matches!(output, Some(Output::Authenticate { .. }));
            prop_assert!(asked, "{:?}", output);
        }
        Step::Binary => prop_assert_eq!(code, Some(CloseCode::BadRequest)),
        Step::Reject => prop_assert_eq!(code, Some(CloseCode::Forbidden)),
        Step::Accept => {
            let acknowledged = matches!(output, Some(Output::Send(_)));
            prop_assert_eq!(acknowledged, model.init && !model.acknowledged);
        }
        Step::Pong | Step::Start(_) | Step::Next(_) => prop_assert!(output.is_none(), "{:?}", output),
        Step::Ping(_) => prop_assert!(matches!(output, Some(Output::Send(_) | Output::Refresh { .. })), "{:?}", output),
        Step::Text(_) | Step::Pass(_) | Step::Refreshed | Step::Close => {}
    }
    Ok(())
}

/// Takes an output into the model, unless the rules forbid it.
fn observe(model: &mut Model, step: &Step, output: &Output) -> Result<(), TestCaseError> {
    match output {
        Output::Authenticate { .. } => model.init = true,
        Output::Refresh { .. } => prop_assert!(model.acknowledged),
        Output::Subscribe { id, .. } => {
            prop_assert!(model.acknowledged);
            prop_assert_eq!(model.operations.insert(id.to_string(), Stage::Preparing), None);
        }
        Output::Unsubscribe { id } => prop_assert!(model.operations.remove(id.as_str()).is_some()),
        Output::Ping => {}
        Output::Close { reason, .. } => {
            prop_assert!(reason.as_str().len() < 124);
            model.closed = true;
            model.operations.clear();
        }
        Output::Send(text) => {
            let message: Value = serde_json::from_str(text).unwrap();
            let id = message["id"].as_str().unwrap_or_default();
            match message["type"].as_str().unwrap() {
                "pong" => {}
                "connection_ack" => {
                    prop_assert!(!std::mem::replace(&mut model.acknowledged, true), "acknowledged once");
                }
                // A refused subscribe never took its id.
                "error" if matches!(step, Step::Subscribe(_)) => prop_assert!(!model.operations.contains_key(id)),
                "error" | "complete" => prop_assert!(model.operations.remove(id).is_some(), "ends once: {text}"),
                other => prop_assert!(false, "unexpected {other}"),
            }
            prop_assert!(model.acknowledged || message["type"] == "pong", "before the ack: {text}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_in_any_conversation(steps in conversation()) {
        play(&steps)?;
    }

    #[test]
    fn arbitrary_text_is_answered_or_closed_with_4400(text in ".{0,200}") {
        let now = Instant::now();
        let mut connection = Connection::new(Arc::default(), now);
        connection.handle_text(&text, now);
        let closed = matches!(connection.poll_output(), Some(Output::Close { code: CloseCode::BadRequest, .. }));
        prop_assert!(closed, "no arbitrary text is a message");
    }

    #[test]
    fn a_damaged_message_never_panics(
        at in 0..120_usize,
        insert in prop_oneof![Just(String::new()), "[\\[{\\]}\",:0-9a-z\\\\]{1,4}"],
    ) {
        let now = Instant::now();
        let text = r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":{"a":[1,"é\ud83d\ude00"]},"extensions":null}}"#;
        let (before, after) = text.split_at(text.floor_char_boundary(at));
        for damaged in [format!("{before}{insert}{after}"), format!("{before}{insert}")] {
            let mut connection = Connection::new(Arc::default(), now);
            connection.handle_text(r#"{"type":"connection_init"}"#, now);
            connection.accept();
            connection.handle_text(&damaged, now);
            prop_assert!(std::iter::from_fn(|| connection.poll_output()).count() <= 3);
        }
    }
}
