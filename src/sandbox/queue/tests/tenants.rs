//! Where an instance serves one tenant only.

use super::*;
use crate::sandbox::queue::lines::Lines;

fn queues(fields: &[&str], instances: usize, queue: usize) -> Queues {
    let names: Vec<Arc<str>> = fields.iter().map(|name| Arc::from(*name)).collect();
    let limits = Limits { isolation: Isolation::PerTenant, instances, queue, ..Limits::default() };
    Queues::new(&names, &limits)
}

fn push(queues: &mut Queues, field: &str, tenant: &str, now: Instant) {
    queues.push(field, piece_of(Some(tenant), 1, now), now).unwrap();
}

/// Takes a batch and finishes it well; says whose it was.
fn serve(queues: &mut Queues, bond: &mut Bond, now: Instant) -> Option<String> {
    let batch = queues.take(bond, 0, now).batch?;
    let tenants: Vec<_> = batch.pieces.iter().map(Piece::tenant).collect();
    assert!(tenants.iter().all(|tenant| *tenant == tenants[0]), "a batch of several tenants: {tenants:?}");
    assert!(matches!(&*bond, Bond::To(tenant, _) if *tenant == tenants[0]), "{bond:?} for {tenants:?}");
    queues.finish(&batch.running, Finished::Well(Duration::from_micros(10)), now);
    Some(tenants[0].as_deref().unwrap_or("nobody's").to_owned())
}

fn tenant(name: &str) -> Tenant {
    piece_of(Some(name), 1, Instant::now()).tenant()
}

#[test]
fn a_batch_holds_one_tenant_and_those_without_one_are_apart() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4, 100);
    queues.push("f", piece_of(None, 1, now), now).unwrap();
    for name in ["a", "b", "a", "", "b"] {
        push(&mut queues, "f", name, now);
    }
    let served: Vec<_> = (0..6).map_while(|_| serve(&mut queues, &mut Bond::Free, now)).collect();
    // Each fresh instance goes to a tenant that has none; the bonds are never given back here.
    assert_eq!(served, ["nobody's", "a", "b", ""]);
    push(&mut queues, "f", "a", now);
    let mut bond = Bond::Free;
    queues.tenants.begin(&mut bond, &tenant("a"), now);
    queues.tenants.end(&tenant("a"));
    assert_eq!(serve(&mut queues, &mut bond, now).as_deref(), Some("a"));
}

#[test]
fn an_instance_stays_with_its_tenant_for_a_while_and_then_serves_one_that_has_none() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 1, 10_000);
    for _ in 0..1000 {
        push(&mut queues, "f", "flood", now);
    }
    let mut bond = Bond::Free;
    assert_eq!(serve(&mut queues, &mut bond, now).as_deref(), Some("flood"));
    push(&mut queues, "f", "quiet", now);
    assert_eq!(queues.fit(&bond, now), Some(Fit::Own));
    assert_eq!(serve(&mut queues, &mut bond, now).as_deref(), Some("flood"));
    let later = now + STAY;
    assert_eq!(queues.fit(&bond, later), Some(Fit::Other));
    assert_eq!(serve(&mut queues, &mut bond, later).as_deref(), Some("quiet"));
    assert_eq!(serve(&mut queues, &mut bond, later).as_deref(), Some("flood"), "the quiet one has nothing left");
}

#[test]
fn tenants_take_turns() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 1, 10_000);
    for _ in 0..200 {
        push(&mut queues, "f", "a", now);
    }
    for name in ["b", "c", "b"] {
        push(&mut queues, "f", name, now);
    }
    let mut bond = Bond::Free;
    let order: Vec<_> = (0..6_u32).map_while(|turn| serve(&mut queues, &mut bond, now + STAY * turn)).collect();
    // The first of all goes alone, since the cost is not known; then as batches.
    assert_eq!(order, ["a", "b", "c", "a", "a", "a"]);
}

#[test]
fn a_tenant_with_a_busy_instance_is_helped_only_after_a_moment_and_never_by_the_last_one() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 2, 100);
    push(&mut queues, "f", "a", now);
    push(&mut queues, "f", "a", now);
    let (mut first, mut second) = (Bond::Free, Bond::Free);
    let running = queues.take(&mut first, 1, now).batch.unwrap();
    assert_eq!(queues.fit(&second, now), None, "its own instance will be back in a moment");
    assert_eq!(queues.fit(&second, now + HELP), None, "one instance is kept for others");
    push(&mut queues, "f", "b", now);
    assert_eq!(serve(&mut queues, &mut second, now).as_deref(), Some("b"));
    queues.finish(&running.running, Finished::Well(CPU), now);
    assert_eq!(queues.fit(&second, now + HELP), Some(Fit::Other));
    assert_eq!(queues.fit(&first, now + HELP), Some(Fit::Own));
}

#[test]
fn a_flood_of_one_tenant_leaves_room_to_others() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4, 1000);
    let flood = |queues: &mut Queues, name: &str| {
        (0..2000).filter(|_| queues.push("f", piece_of(Some(name), 1, now), now).is_ok()).count()
    };
    assert_eq!(flood(&mut queues, "a"), 500);
    assert_eq!(flood(&mut queues, "b"), 250);
    push(&mut queues, "f", "c", now);
    assert!(queues.waiting() < 1000);
}

#[test]
fn a_line_goes_when_it_is_empty_and_a_tenant_when_it_has_no_instance() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 2, 100_000);
    let mut bond = Bond::Free;
    for number in 0..1000 {
        push(&mut queues, "f", &number.to_string(), now);
        assert!(serve(&mut queues, &mut bond, now).is_some());
    }
    let Lines::Each { lines, turns, .. } = &queues.fields[0].lines else { panic!("tenants have lines") };
    assert!(lines.is_empty() && turns.is_empty() && queues.turns.is_empty());
    assert!(queues.tenants.has_instance(&tenant("999")) && !queues.tenants.has_instance(&tenant("998")));
    queues.release(&mut bond);
    assert!(!queues.tenants.has_instance(&tenant("999")) && bond == Bond::Free);
}

#[test]
fn on_probation_tenants_keep_to_their_turns() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4, 100);
    let (mut a, mut b) = (Bond::Free, Bond::Free);
    push(&mut queues, "f", "a", now);
    let batch = queues.take(&mut a, 0, now).batch.unwrap();
    stop(&mut queues, &batch, now);
    push(&mut queues, "f", "b", now);
    assert_eq!(serve(&mut queues, &mut b, now).as_deref(), Some("b"));
    for name in ["b", "a", "b"] {
        push(&mut queues, "f", name, now);
    }
    assert_eq!(queues.fit(&a, now), None, "it is the turn of b");
    assert_eq!(serve(&mut queues, &mut b, now).as_deref(), Some("b"));
    assert_eq!(queues.fit(&b, now), None);
    assert_eq!(serve(&mut queues, &mut a, now).as_deref(), Some("a"));
    assert_eq!(serve(&mut queues, &mut b, now).as_deref(), Some("b"));
}

#[test]
fn what_waits_too_long_is_given_back_line_by_line() {
    let now = Instant::now();
    let mut queues = queues(&["f"], 4, 100);
    for name in ["a", "b", "a"] {
        push(&mut queues, "f", name, now);
    }
    let later = now + Limits::default().patience + Duration::from_millis(1);
    push(&mut queues, "f", "c", later);
    let mut bond = Bond::Free;
    let taken = queues.take(&mut bond, 0, later);
    assert_eq!(taken.expired.len(), 3);
    assert_eq!(taken.batch.unwrap().pieces[0].tenant(), tenant("c"));
    assert_eq!(queues.waiting(), 0);
}

#[test]
fn a_job_for_several_tenants_is_answered_once_in_its_own_order() {
    let (answer, answers) = std::sync::mpsc::sync_channel(2);
    let now = Instant::now();
    let names = ["b", "a", "", "b", "a", ""];
    let invocations = names.iter().map(|name| invocation((!name.is_empty()).then_some(*name), None)).collect();
    let done = together(names.len(), move |outcomes| answer.send(outcomes).unwrap());
    let pieces = Piece::by_tenant(job(invocations), done, now);
    assert_eq!(pieces.len(), 3);
    for piece in pieces.into_iter().rev() {
        let name = piece.tenant().as_deref().unwrap_or("").to_owned();
        assert_eq!(piece.len(), 2);
        piece.answer((0..2).map(|nth| Outcome::Value(format!("{name}{nth}"))), Held::default());
    }
    let values = ["b0", "a0", "0", "b1", "a1", "1"].map(|value| Outcome::Value(value.to_owned()));
    assert_eq!(answers.try_recv().unwrap(), values);
}
