//! Connections that take turns in one field's queue.

use super::*;
use crate::ids::ConnectionId;

fn connections(count: usize) -> Vec<Payer> {
    (0..count).map(|_| Some(ConnectionId::next())).collect()
}

/// A piece with one invocation for each of these.
fn piece_for(payers: impl IntoIterator<Item = Payer>, now: Instant) -> Piece {
    let invocations = payers.into_iter().map(|payer| invocation(None, payer)).collect();
    Piece::whole(job(invocations), Arc::new(|_| {}), now)
}

fn payers(batch: &Batch) -> Vec<Payer> {
    batch.pieces.iter().flat_map(Piece::invocations).map(|invocation| invocation.payer).collect()
}

/// Everything that waits, batch by batch.
fn served(queues: &mut Queues, now: Instant) -> Vec<Vec<Payer>> {
    std::iter::from_fn(|| {
        let batch = take(queues, 0, now)?;
        queues.finish(&batch.running, Finished::Well(COST * u32::try_from(batch.running.invocations).unwrap()), now);
        Some(payers(&batch))
    })
    .collect()
}

const COST: Duration = Duration::from_micros(20);

#[test]
fn one_event_with_a_thousand_arguments_of_ten_connections_serves_another_connection_in_its_first_batch() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    teach(&mut queues, "f", COST, now);
    let (flood, quiet) = (connections(10), connections(1)[0]);
    let all = (0..1_000).map(|nth| flood[nth / 100]).chain([quiet]);
    queues.push("f", piece_for(all, now), now).unwrap();
    let batches = served(&mut queues, now);
    let first = batches[0].iter().position(|payer| *payer == quiet);
    assert_eq!(first, Some(10), "behind one invocation of each other connection");
    assert!(batches[0].len() <= 15, "{} invocations, of {COST:?} each", batches[0].len());
    assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 1_001);
    assert!(queues.waiting() == 0 && queues.turns.is_empty());
}

#[test]
fn an_event_of_another_connection_overtakes_what_a_flood_has_waiting() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    teach(&mut queues, "f", COST, now);
    let [flood, other, quiet] = connections(3)[..] else { unreachable!() };
    for payer in [flood, other] {
        queues.push("f", piece_for(vec![payer; 500], now), now).unwrap();
    }
    for _ in 0..10 {
        let batch = take(&mut queues, 0, now).unwrap();
        queues.finish(&batch.running, Finished::Well(COST * 15), now);
    }
    queues.push("f", piece_for([quiet, quiet], now), now).unwrap();
    let order: Vec<_> = served(&mut queues, now).into_iter().flatten().collect();
    let places: Vec<_> = (0..order.len()).filter(|&place| order[place] == quiet).collect();
    assert!(places[0] <= 2 && places[1] <= places[0] + 3, "{places:?}");
    let count = |payer| order.iter().filter(|served| **served == payer).count();
    assert_eq!((count(flood) + count(other), count(quiet)), (1_000 - 150, 2));
}

#[test]
fn connections_take_turns_and_each_keeps_its_order() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    let [a, b, c] = connections(3)[..] else { unreachable!() };
    queues.push("f", piece_for([a, a, a, b], now), now).unwrap();
    queues.push("f", piece_for([c, a, b], now), now).unwrap();
    let mut order = Vec::new();
    while let Some(batch) = take(&mut queues, 0, now) {
        // The cost stays unknown, so that each goes alone.
        queues.finish(&batch.running, Finished::NotBegun, now);
        order.extend(payers(&batch));
    }
    assert_eq!(order, [a, b, c, a, b, a, a]);
}

#[test]
fn an_event_for_one_invocation_of_each_connection_is_not_cut_smaller() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    teach(&mut queues, "f", COST, now);
    queues.push("f", piece_for(connections(1_000), now), now).unwrap();
    let sizes: Vec<_> = served(&mut queues, now).iter().map(Vec::len).collect();
    assert_eq!(sizes.len(), 1_000_usize.div_ceil(64), "{sizes:?}");
    queues.push("f", piece_for(vec![connections(1)[0]; 64], now), now).unwrap();
    assert_eq!(served(&mut queues, now).len(), 1, "nor one of a single connection");
}

#[test]
fn a_connection_that_floods_leaves_room_to_others() {
    let now = Instant::now();
    let limits = Limits { queue: 1_000, ..Limits::default() };
    let mut queues = Queues::new(&[Arc::from("f")], &limits);
    let [flood, other, quiet] = connections(3)[..] else { unreachable!() };
    let mut push_many = |payer| (0..2_000).filter(|_| queues.push("f", piece_for([payer], now), now).is_ok()).count();
    assert_eq!(push_many(flood), 750);
    assert_eq!(push_many(other), 188, "three quarters of the rest");
    // In one event with theirs.
    let Err((refused, Refusal::Full)) = queues.push("f", piece_for([flood, other, quiet], now), now) else { panic!() };
    assert_eq!(refused.invocations().map(|invocation| invocation.payer).collect::<Vec<_>>(), [flood, other]);
    assert_eq!(queues.waiting(), 750 + 188 + 1);
}

#[test]
fn connections_that_wait_no_longer_are_forgotten() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4);
    let steady = connections(1)[0];
    queues.push("f", piece_for([steady; 2], now), now).unwrap();
    for _ in 0..10_000 {
        queues.push("f", piece_for(connections(1), now), now).unwrap();
        let batch = take(&mut queues, 0, now).unwrap();
        queues.finish(&batch.running, Finished::NotBegun, now);
    }
    assert!(queues.fields[0].lines.line(&None).unwrap().payers_known() < 3_000);
}
