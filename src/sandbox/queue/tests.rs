mod payers;
mod tenants;

use super::circuit::{PAUSE, STRIKES};
use super::field::{LAGGING, PROBATION};
use super::*;
use crate::event::{Channel, Event};
use crate::outcome::{Invocation, Job, Outcome, Payer};
use crate::sandbox::held::Held;
use crate::sandbox::piece::{Part, together};

const CPU: Duration = Duration::from_millis(100);

fn queues(fields: &[&str], instances: usize) -> Queues {
    let names: Vec<Arc<str>> = fields.iter().map(|name| Arc::from(*name)).collect();
    Queues::new(&names, &Limits { instances, cpu: CPU, ..Limits::default() })
}

/// The next batch for an instance that serves anyone.
fn take(queues: &mut Queues, idle: usize, now: Instant) -> Option<Batch> {
    queues.take(&mut Bond::Anyone, idle, now).batch
}

fn stop(queues: &mut Queues, batch: &Batch, now: Instant) -> Consequence {
    queues.finish(&batch.running, Finished::Stopped, now)
}

fn piece(invocations: usize, now: Instant) -> Piece {
    piece_of(None, invocations, now)
}

fn event() -> Arc<Event> {
    Arc::new(Event {
        id: "1".into(),
        channel: Channel::new("c"),
        kind: "t".into(),
        time: "".into(),
        source: "".into(),
        data: "{}".into(),
        value: serde_json::Value::Null,
        charge: crate::event::EventCharge::default(),
    })
}

fn job(invocations: Vec<Invocation>) -> Job {
    Job { field: Arc::from("f"), event: event(), invocations }
}

fn invocation(tenant: Option<&str>, payer: Payer) -> Invocation {
    Invocation { arguments: Arc::from("{}"), principal: None, tenant: tenant.map(Arc::from), payer }
}

fn piece_of(tenant: Option<&str>, invocations: usize, now: Instant) -> Piece {
    Piece::whole(job(vec![invocation(tenant, None); invocations]), Arc::new(|_| {}), now)
}

/// Takes and finishes one batch without trouble, so that the field's cost is known.
fn teach(queues: &mut Queues, field: &str, cost: Duration, now: Instant) {
    queues.push(field, piece(1, now), now).unwrap();
    let batch = take(queues, 0, now).unwrap();
    queues.finish(&batch.running, Finished::Well(cost), now);
}

fn sizes(batch: &Batch) -> Vec<usize> {
    batch.pieces.iter().map(Piece::len).collect()
}

#[test]
fn the_first_invocation_of_a_field_goes_alone_and_the_rest_as_a_batch() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    for _ in 0..3 {
        queues.push("f", piece(2, now), now).unwrap();
    }
    let first = take(&mut queues, 0, now).unwrap();
    assert_eq!(sizes(&first), [1]);
    queues.finish(&first.running, Finished::Well(Duration::from_micros(20)), now);
    assert_eq!(sizes(&take(&mut queues, 0, now).unwrap()), [1, 2, 2]);
    assert_eq!(queues.waiting(), 0);
    assert!(take(&mut queues, 0, now).is_none());
}

#[test]
fn a_batch_is_sized_for_a_part_of_the_cpu_time() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    teach(&mut queues, "f", Duration::from_micros(400), now);
    queues.push("f", piece(100, now), now).unwrap();
    assert_eq!(sizes(&take(&mut queues, 0, now).unwrap()), [5], "two milliseconds");
    let limits = Limits { cpu: Duration::from_millis(4), ..Limits::default() };
    let mut queues = Queues::new(&[Arc::from("f")], &limits);
    teach(&mut queues, "f", Duration::from_micros(250), now);
    queues.push("f", piece(100, now), now).unwrap();
    assert_eq!(sizes(&take(&mut queues, 0, now).unwrap()), [4], "a quarter of a call");
}

#[test]
fn a_large_job_is_shared_with_idle_instances() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    teach(&mut queues, "f", Duration::from_micros(10), now);
    queues.push("f", piece(100, now), now).unwrap();
    assert_eq!(sizes(&take(&mut queues, 1, now).unwrap()), [50]);
    assert_eq!(sizes(&take(&mut queues, 0, now).unwrap()), [50]);
}

#[test]
fn fields_take_turns() {
    let now = Instant::now();
    let mut queues = queues(&["a", "b"], 4);
    for _ in 0..3 {
        queues.push("a", piece(1, now), now).unwrap();
    }
    queues.push("b", piece(1, now), now).unwrap();
    let order: Vec<_> = (0..4)
        .map(|_| {
            let batch = take(&mut queues, 0, now).unwrap();
            queues.finish(&batch.running, Finished::Well(CPU), now);
            batch.running.name.to_string()
        })
        .collect();
    assert_eq!(order, ["a", "b", "a", "a"]);
}

#[test]
fn a_field_never_holds_the_last_instance() {
    let now = Instant::now();
    let mut queues = queues(&["a", "b"], 2);
    for _ in 0..5 {
        queues.push("a", piece(1, now), now).unwrap();
    }
    assert!(take(&mut queues, 0, now).is_some());
    assert!(take(&mut queues, 0, now).is_none(), "the second instance is kept for others");
    queues.push("b", piece(1, now), now).unwrap();
    assert_eq!(&*take(&mut queues, 0, now).unwrap().running.name, "b");
}

#[test]
fn fields_on_probation_share_one_instance_and_go_one_by_one() {
    let now = Instant::now();
    let mut queues = queues(&["a", "b", "c"], 8);
    for field in ["a", "b"] {
        teach(&mut queues, field, Duration::from_micros(10), now);
        queues.push(field, piece(1, now), now).unwrap();
        let batch = take(&mut queues, 0, now).unwrap();
        queues.finish(&batch.running, Finished::Stopped, now);
        queues.push(field, piece(10, now), now).unwrap();
    }
    let suspect = take(&mut queues, 0, now).unwrap();
    assert_eq!(sizes(&suspect), [1]);
    assert!(take(&mut queues, 0, now).is_none() && !queues.has_work());
    queues.push("c", piece(1, now), now).unwrap();
    assert_eq!(&*take(&mut queues, 0, now).unwrap().running.name, "c");
    queues.finish(&suspect.running, Finished::Well(CPU), now);
    assert!(take(&mut queues, 0, now).is_some());
}

#[test]
fn good_calls_end_a_probation() {
    let now = Instant::now();
    let mut queues = queues(&["a"], 4);
    queues.push("a", piece(1, now), now).unwrap();
    let batch = take(&mut queues, 0, now).unwrap();
    queues.finish(&batch.running, Finished::Stopped, now);
    for _ in 0..PROBATION {
        teach(&mut queues, "a", Duration::from_micros(10), now);
    }
    queues.push("a", piece(10, now), now).unwrap();
    assert_eq!(sizes(&take(&mut queues, 0, now).unwrap()), [10]);
}

#[test]
fn a_queue_is_bounded_and_publishers_are_told_the_backlog() {
    let now = Instant::now();
    let mut queues = queues(&["a"], 4);
    let waiting = Limits::default().queue + 5;
    queues.push("a", piece(waiting, now), now).unwrap();
    assert_eq!(queues.backlog(), waiting);
    assert!(queues.push("a", piece(1, now), now).is_err());
    assert!(queues.push("nobody", piece(1, now), now).is_err());
}

#[test]
fn what_waits_too_long_is_given_back() {
    let now = Instant::now();
    let mut queues = queues(&["a"], 4);
    queues.push("a", piece(3, now), now).unwrap();
    let later = now + Limits::default().patience + Duration::from_millis(1);
    queues.push("a", piece(1, later), later).unwrap();
    let taken = queues.take(&mut Bond::Anyone, 0, later);
    assert_eq!(taken.expired.len(), 1);
    assert_eq!(sizes(&taken.batch.unwrap()), [1]);
}

#[test]
fn publishers_do_not_wait_for_a_field_that_lags() {
    let now = Instant::now();
    let mut queues = queues(&["a"], 4);
    queues.push("a", piece(100, now), now).unwrap();
    assert_eq!(queues.backlog(), 100);
    let batch = take(&mut queues, 0, now + LAGGING + Duration::from_millis(1)).unwrap();
    assert_eq!(queues.backlog(), 0);
    assert_eq!(queues.waiting(), 99);
    queues.finish(&batch.running, Finished::Well(Duration::from_micros(10)), now);
}

#[test]
fn every_invocation_is_answered_once_whatever_becomes_of_its_piece() {
    let (answer, answers) = std::sync::mpsc::sync_channel(3);
    let now = Instant::now();
    let done = Arc::new(move |Part { outcomes, .. }| answer.send(outcomes).unwrap());
    let mut rest = Piece::whole(job(vec![invocation(None, None); 3]), done, now);
    let (first, second) = (rest.split_front(1), rest.split_front(1));
    second.answer([Outcome::Skip].into_iter(), Held::default());
    assert_eq!(answers.try_recv().unwrap(), [(1, Outcome::Skip)], "without waiting for the others");
    drop(rest);
    assert!(matches!(answers.try_recv().unwrap()[..], [(2, Outcome::Failed(_))]));
    // As many outcomes as invocations, also if there are more, or fewer.
    first.answer([Outcome::Skip, Outcome::Skip].into_iter(), Held::default());
    assert_eq!(answers.try_recv().unwrap(), [(0, Outcome::Skip)]);
    assert!(answers.try_recv().is_err());
}

#[test]
fn an_invocation_for_which_there_is_no_outcome_fails() {
    let (answer, answers) = std::sync::mpsc::sync_channel(1);
    let done = together(2, move |outcomes| answer.send(outcomes).unwrap());
    let piece = Piece::whole(job(vec![invocation(None, None); 2]), done, Instant::now());
    piece.answer([Outcome::Skip].into_iter(), Held::default());
    assert!(matches!(answers.try_recv().unwrap()[..], [Outcome::Skip, Outcome::Failed(_)]));
}

#[test]
fn what_has_waited_too_long_is_found_although_no_instance_asks() {
    let now = Instant::now();
    let mut queues = queues(&["a", "b"], 4);
    queues.push("a", piece(3, now), now).unwrap();
    let running = take(&mut queues, 0, now).unwrap();
    let later = now + Limits::default().patience;
    queues.push("b", piece(1, later), later).unwrap();
    assert!(queues.sweep(later).is_empty());
    let expired = queues.sweep(later + Duration::from_millis(1));
    assert_eq!(expired.iter().map(Piece::len).collect::<Vec<_>>(), [2]);
    assert_eq!((queues.waiting(), queues.turns.len()), (1, 1));
    queues.finish(&running.running, Finished::Well(CPU), later);
}

#[test]
fn a_sweep_finds_the_fields_that_lag_and_those_that_have_caught_up() {
    let now = Instant::now();
    let mut queues = queues(&["a"], 4);
    queues.push("a", piece(100, now), now).unwrap();
    let late = now + LAGGING + Duration::from_millis(1);
    queues.sweep(late);
    assert_eq!((queues.backlog(), queues.waiting()), (0, 100));
    // The old ones are gone, although those that took them had nothing of other payers.
    queues.fields[0].clear();
    queues.turns.clear();
    queues.push("a", piece(7, late), late).unwrap();
    queues.sweep(late);
    assert_eq!(queues.backlog(), 7);
}

#[test]
fn a_call_that_could_not_begin_says_nothing_about_its_field() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    teach(&mut queues, "f", Duration::from_micros(10), now);
    for _ in 0..=STRIKES {
        queues.push("f", piece(2, now), now).unwrap();
        let batch = take(&mut queues, 0, now).unwrap();
        assert_eq!(sizes(&batch), [2], "not on probation");
        let ended = queues.finish(&batch.running, Finished::NotBegun, now);
        assert!(ended.switched.is_none() && ended.cut.is_empty());
    }
}

/// Stops the one call that a field on probation may make.
fn stop_next(queues: &mut Queues, field: &str, now: Instant) -> Consequence {
    queues.push(field, piece(1, now), now).unwrap();
    let batch = take(queues, 0, now).unwrap();
    stop(queues, &batch, now)
}

#[test]
fn a_field_that_is_stopped_again_and_again_is_switched_off_and_what_waits_is_cut() {
    let now = Instant::now();
    let mut queues = queues(&["bad", "good"], 4);
    for _ in 0..STRIKES {
        assert!(stop_next(&mut queues, "bad", now).switched.is_none());
    }
    queues.push("bad", piece(10, now), now).unwrap();
    queues.push("good", piece(1, now), now).unwrap();
    let batch = take(&mut queues, 0, now).unwrap();
    assert_eq!(&*batch.running.name, "bad");
    let Consequence { switched, cut } = stop(&mut queues, &batch, now);
    assert_eq!(switched, Some(Switched::Opened(PAUSE)));
    assert_eq!(cut.iter().map(Piece::len).sum::<usize>(), 9);
    assert_eq!(queues.switched_off().map(|name| &**name).collect::<Vec<_>>(), ["bad"]);
    assert!(matches!(queues.push("bad", piece(1, now), now), Err((_, Refusal::SwitchedOff))));
    assert_eq!(&*take(&mut queues, 0, now).unwrap().running.name, "good");
    assert!(take(&mut queues, 0, now).is_none() && queues.waiting() == 0);
}

#[test]
fn after_the_pause_one_call_decides_whether_a_field_is_switched_on_again() {
    let mut now = Instant::now();
    let mut queues = queues(&["f"], 4);
    for _ in 0..=STRIKES {
        stop_next(&mut queues, "f", now);
    }
    now += PAUSE;
    queues.push("f", piece(3, now), now).unwrap();
    assert!(queues.push("f", piece(1, now), now).is_err(), "only the trial waits");
    let trial = take(&mut queues, 0, now).unwrap();
    assert_eq!(sizes(&trial), [1]);
    assert!(take(&mut queues, 0, now).is_none());
    let Consequence { switched, cut } = stop(&mut queues, &trial, now);
    assert_eq!((switched, cut.len()), (Some(Switched::StaysOpen(PAUSE * 2)), 1));
    now += PAUSE;
    assert!(queues.push("f", piece(1, now), now).is_err());
    now += PAUSE;
    queues.push("f", piece(1, now), now).unwrap();
    let trial = take(&mut queues, 0, now).unwrap();
    let ended = queues.finish(&trial.running, Finished::Well(CPU), now);
    assert_eq!(ended.switched, Some(Switched::Closed));
    queues.push("f", piece(10, now), now).unwrap();
    assert_eq!(sizes(&take(&mut queues, 0, now).unwrap()), [1], "on probation still");
    assert_eq!(queues.switched_off().count(), 0);
}

#[test]
fn queue_and_patience_are_the_modules_own() {
    let now = Instant::now();
    let limits = Limits { queue: 3, patience: Duration::from_millis(50), ..Limits::default() };
    let mut queues = Queues::new(&[Arc::from("f")], &limits);
    queues.push("f", piece(2, now), now).unwrap();
    assert!(matches!(queues.push("f", piece(2, now), now), Err((_, Refusal::Full))));
    queues.push("f", piece(1, now), now).unwrap();
    let taken = queues.take(&mut Bond::Anyone, 0, now + Duration::from_millis(51));
    assert_eq!((taken.expired.len(), taken.batch.is_none(), queues.waiting()), (2, true, 0));
}

#[test]
fn where_calls_are_isolated_each_has_one_invocation() {
    let now = Instant::now();
    let limits = Limits { isolation: Isolation::PerCall, ..Limits::default() };
    let mut queues = Queues::new(&[Arc::from("f")], &limits);
    teach(&mut queues, "f", Duration::from_micros(10), now);
    queues.push("f", piece(3, now), now).unwrap();
    for _ in 0..3 {
        assert_eq!(sizes(&take(&mut queues, 0, now).unwrap()), [1]);
    }
}
