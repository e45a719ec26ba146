use super::*;
use crate::event::{Channel, Event};
use crate::outcome::{Invocation, Job, Outcome};

const CPU: Duration = Duration::from_millis(100);

fn queues(fields: &[&str], instances: usize) -> Queues {
    let names: Vec<Arc<str>> = fields.iter().map(|name| Arc::from(*name)).collect();
    Queues::new(&names, instances, CPU)
}

fn piece(invocations: usize, now: Instant) -> Piece {
    let event = Event {
        id: "1".into(),
        channel: Channel::new("c"),
        kind: "t".into(),
        time: "".into(),
        source: "".into(),
        data: "{}".into(),
        value: serde_json::Value::Null,
    };
    let invocation = Invocation { arguments: Arc::from("{}"), principal: None };
    let job = Job { field: Arc::from("f"), event: Arc::new(event), invocations: vec![invocation; invocations] };
    Piece::whole(job, Box::new(|_| {}), now)
}

/// Takes and finishes one batch without trouble, so that the field's cost is known.
fn teach(queues: &mut Queues, field: &str, cost: Duration, now: Instant) {
    queues.push(field, piece(1, now)).unwrap();
    let batch = queues.take(0, now).batch.unwrap();
    queues.finish(batch.running, Finished::Well(cost));
}

fn sizes(batch: &Batch) -> Vec<usize> {
    batch.pieces.iter().map(|piece| piece.invocations.len()).collect()
}

#[test]
fn the_first_invocation_of_a_field_goes_alone_and_the_rest_as_a_batch() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    for _ in 0..3 {
        queues.push("f", piece(2, now)).unwrap();
    }
    let first = queues.take(0, now).batch.unwrap();
    assert_eq!(sizes(&first), [1]);
    queues.finish(first.running, Finished::Well(Duration::from_micros(20)));
    assert_eq!(sizes(&queues.take(0, now).batch.unwrap()), [1, 2, 2]);
    assert_eq!(queues.waiting(), 0);
    assert!(queues.take(0, now).batch.is_none());
}

#[test]
fn a_batch_is_sized_for_a_part_of_the_cpu_time() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    teach(&mut queues, "f", Duration::from_millis(5), now);
    queues.push("f", piece(100, now)).unwrap();
    assert_eq!(sizes(&queues.take(0, now).batch.unwrap()), [5]);
}

#[test]
fn a_large_job_is_shared_with_idle_instances() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    teach(&mut queues, "f", Duration::from_micros(10), now);
    queues.push("f", piece(100, now)).unwrap();
    assert_eq!(sizes(&queues.take(1, now).batch.unwrap()), [50]);
    assert_eq!(sizes(&queues.take(0, now).batch.unwrap()), [50]);
}

#[test]
fn fields_take_turns() {
    let now = Instant::now();
    let mut queues = queues(&["a", "b"], 4);
    for _ in 0..3 {
        queues.push("a", piece(1, now)).unwrap();
    }
    queues.push("b", piece(1, now)).unwrap();
    let order: Vec<_> = (0..4)
        .map(|_| {
            let batch = queues.take(0, now).batch.unwrap();
            queues.finish(batch.running, Finished::Well(CPU));
            batch.field.to_string()
        })
        .collect();
    assert_eq!(order, ["a", "b", "a", "a"]);
}

#[test]
fn a_field_never_holds_the_last_instance() {
    let now = Instant::now();
    let mut queues = queues(&["a", "b"], 2);
    for _ in 0..5 {
        queues.push("a", piece(1, now)).unwrap();
    }
    assert!(queues.take(0, now).batch.is_some());
    assert!(queues.take(0, now).batch.is_none(), "the second instance is kept for others");
    queues.push("b", piece(1, now)).unwrap();
    assert_eq!(&*queues.take(0, now).batch.unwrap().field, "b");
}

#[test]
fn fields_on_probation_share_one_instance_and_go_one_by_one() {
    let now = Instant::now();
    let mut queues = queues(&["a", "b", "c"], 8);
    for field in ["a", "b"] {
        teach(&mut queues, field, Duration::from_micros(10), now);
        queues.push(field, piece(1, now)).unwrap();
        let batch = queues.take(0, now).batch.unwrap();
        queues.finish(batch.running, Finished::Stopped);
        queues.push(field, piece(10, now)).unwrap();
    }
    let suspect = queues.take(0, now).batch.unwrap();
    assert_eq!(sizes(&suspect), [1]);
    assert!(queues.take(0, now).batch.is_none() && !queues.has_work());
    queues.push("c", piece(1, now)).unwrap();
    assert_eq!(&*queues.take(0, now).batch.unwrap().field, "c");
    queues.finish(suspect.running, Finished::Well(CPU));
    assert!(queues.take(0, now).batch.is_some());
}

#[test]
fn good_calls_end_a_probation() {
    let now = Instant::now();
    let mut queues = queues(&["a"], 4);
    queues.push("a", piece(1, now)).unwrap();
    let batch = queues.take(0, now).batch.unwrap();
    queues.finish(batch.running, Finished::Stopped);
    for _ in 0..PROBATION {
        teach(&mut queues, "a", Duration::from_micros(10), now);
    }
    queues.push("a", piece(10, now)).unwrap();
    assert_eq!(sizes(&queues.take(0, now).batch.unwrap()), [10]);
}

#[test]
fn a_queue_is_bounded_and_publishers_are_told_the_backlog() {
    let now = Instant::now();
    let mut queues = queues(&["a"], 4);
    queues.push("a", piece(WAITING + 5, now)).unwrap();
    assert_eq!(queues.backlog(), WAITING + 5);
    assert!(queues.push("a", piece(1, now)).is_err());
    assert!(queues.push("nobody", piece(1, now)).is_err());
}

#[test]
fn what_waits_too_long_is_given_back() {
    let now = Instant::now();
    let mut queues = queues(&["a"], 4);
    queues.push("a", piece(3, now)).unwrap();
    let later = now + PATIENCE + Duration::from_millis(1);
    queues.push("a", piece(1, later)).unwrap();
    let taken = queues.take(0, later);
    assert_eq!(taken.expired.len(), 1);
    assert_eq!(sizes(&taken.batch.unwrap()), [1]);
}

#[test]
fn publishers_do_not_wait_for_a_field_that_lags() {
    let now = Instant::now();
    let mut queues = queues(&["a"], 4);
    queues.push("a", piece(100, now)).unwrap();
    assert_eq!(queues.backlog(), 100);
    let batch = queues.take(0, now + LAGGING + Duration::from_millis(1)).batch.unwrap();
    assert_eq!(queues.backlog(), 0);
    assert_eq!(queues.waiting(), 99);
    queues.finish(batch.running, Finished::Well(Duration::from_micros(10)));
}

#[test]
fn every_job_is_answered_once_whatever_becomes_of_its_pieces() {
    let (answer, answers) = std::sync::mpsc::sync_channel(2);
    let now = Instant::now();
    let event = Arc::clone(&piece(1, now).event);
    let invocation = Invocation { arguments: Arc::from("{}"), principal: None };
    let job = Job { field: Arc::from("f"), event, invocations: vec![invocation; 3] };
    let mut rest = Piece::whole(job, Box::new(move |outcomes| answer.send(outcomes).unwrap()), now);
    let first = rest.split_front(1);
    drop(rest);
    assert!(answers.try_recv().is_err());
    first.answer([Outcome::Skip].into_iter());
    let outcomes = answers.try_recv().unwrap();
    assert!(matches!(outcomes[..], [Outcome::Skip, Outcome::Failed(_), Outcome::Failed(_)]));
    assert!(answers.try_recv().is_err());
}
