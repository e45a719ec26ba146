use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::seen::Recent;
use super::*;
use crate::event::Channel;
use crate::protocol::publish::Published;

fn event(channel: &str, source: &str, id: &str) -> Event {
    Event {
        id: id.into(),
        channel: Channel::new(channel),
        kind: "t".into(),
        time: "2026-01-01T00:00:00Z".into(),
        source: source.into(),
        data: "{}".into(),
        value: serde_json::json!({}),
        charge: crate::event::EventCharge::default(),
    }
}

fn publish(bus: &MemoryBus, events: &[(&str, bool)], now: Instant) -> (Accepted, Vec<(u64, String)>) {
    let mut delivered = Vec::new();
    let events = events
        .iter()
        .map(|(id, identified)| Published { event: event("c", "s", id), identified: *identified })
        .collect();
    let accepted = bus
        .publish(events, now, |sequenced| delivered.push((sequenced.position.offset, sequenced.event.id.to_string())));
    (accepted, delivered)
}

#[test]
fn events_are_numbered_in_the_order_given() {
    let bus = MemoryBus::new();
    let (accepted, delivered) = publish(&bus, &[("a", false), ("b", false)], Instant::now());
    assert_eq!(accepted, Accepted { published: 2, duplicates: 0 });
    assert_eq!(delivered, [(1, "a".to_owned()), (2, "b".to_owned())]);
    assert_eq!(bus.position().offset, 2);
}

#[test]
fn a_repeated_identity_is_acknowledged_but_not_published_again() {
    let bus = MemoryBus::new();
    let now = Instant::now();
    publish(&bus, &[("a", true)], now);
    let (accepted, delivered) = publish(&bus, &[("a", true), ("b", true), ("b", true)], now);
    assert_eq!(accepted, Accepted { published: 1, duplicates: 2 });
    assert_eq!(delivered.len(), 1);
}

#[test]
fn an_identity_that_the_publisher_did_not_give_is_never_a_duplicate() {
    let bus = MemoryBus::new();
    let (accepted, _) = publish(&bus, &[("a", false), ("a", false)], Instant::now());
    assert_eq!(accepted.published, 2);
}

/// Whether the event is new; it is remembered.
fn is_new(seen: &Seen, event: &Event, now: Instant) -> bool {
    let identity = seen.identity(event);
    let known = seen.knows(identity, now);
    seen.remember(identity, now);
    !known
}

#[test]
fn identities_are_per_channel_and_source() {
    let seen = Seen::new(1_000);
    let now = Instant::now();
    assert!(is_new(&seen, &event("c", "s", "1"), now));
    assert!(is_new(&seen, &event("d", "s", "1"), now));
    assert!(is_new(&seen, &event("c", "t", "1"), now));
    assert!(!is_new(&seen, &event("c", "s", "1"), now));
}

#[test]
fn an_identity_is_forgotten_after_the_window() {
    let seen = Seen::new(1_000);
    let start = Instant::now();
    let event = event("c", "s", "1");
    assert!(is_new(&seen, &event, start));
    assert!(!is_new(&seen, &event, start + WINDOW.checked_sub(Duration::from_secs(1)).unwrap()));
    assert!(is_new(&seen, &event, start + WINDOW));
}

#[test]
fn the_oldest_identity_is_forgotten_beyond_the_capacity() {
    let seen = Seen::new(1_000);
    let mut recent = Recent::new(2);
    let now = Instant::now();
    let identities = ["1", "2", "3"].map(|id| seen.identity(&event("c", "s", id)));
    for identity in identities {
        recent.remember(identity, now);
    }
    assert_eq!(identities.map(|identity| recent.knows(identity, now)), [false, true, true]);
}

#[test]
fn at_most_the_capacity_is_remembered_whatever_the_channel() {
    const CAPACITY: usize = 6_400;
    let seen = Seen::new(CAPACITY);
    let now = Instant::now();
    let events: Vec<_> = (0..2 * CAPACITY).map(|n| event("c", "s", &n.to_string())).collect();
    assert!(events.iter().all(|event| is_new(&seen, event, now)));
    let known = |event: &&Event| seen.knows(seen.identity(event), now);
    let remembered = events.iter().filter(known).count();
    assert!((CAPACITY * 9 / 10..=CAPACITY).contains(&remembered), "{remembered}");
    // Nearly all of the newer half: a part of the identities is at most a few percent ahead of the others.
    let newer = events[CAPACITY..].iter().filter(known).count();
    assert!(newer > CAPACITY * 9 / 10, "{newer}");
}

#[test]
fn concurrent_publishers_of_the_same_events_do_not_reorder_a_channel() {
    const ROUNDS: usize = 20_000;
    const EVENTS: usize = 8;
    const PUBLISHERS: usize = 3;
    let bus = MemoryBus::new();
    let start = Barrier::new(PUBLISHERS);
    let delivered = Mutex::new(vec![Vec::new(); ROUNDS]);
    std::thread::scope(|scope| {
        for _ in 0..PUBLISHERS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let channels = [format!("a{round}"), format!("b{round}")];
                    let batch = (0..EVENTS)
                        .map(|n| Published { event: event(&channels[n % 2], "s", &n.to_string()), identified: true });
                    let batch = batch.collect();
                    start.wait();
                    let now = Instant::now();
                    bus.publish(batch, now, |Sequenced { position, event }| {
                        delivered.lock().unwrap()[round].push((position.offset, event));
                    });
                }
            });
        }
    });
    for (round, delivered) in delivered.into_inner().unwrap().into_iter().enumerate() {
        for channel in 0..2 {
            let name = [format!("a{round}"), format!("b{round}")][channel].clone();
            let of_channel: Vec<_> = delivered.iter().filter(|(_, event)| event.channel.as_str() == name).collect();
            let ids: Vec<usize> = of_channel.iter().map(|(_, event)| event.id.parse().unwrap()).collect();
            assert_eq!(ids, (0..EVENTS).filter(|n| n % 2 == channel).collect::<Vec<_>>(), "round {round}, {name}");
            assert!(of_channel.is_sorted_by_key(|(offset, _)| offset), "round {round}, {name}: {of_channel:?}");
        }
    }
}

#[test]
fn a_duplicate_is_acknowledged_after_the_first_event_is_delivered() {
    let bus = Arc::new(MemoryBus::new());
    let (acknowledge, acknowledged) = mpsc::sync_channel(1);
    let mut repeating = None;
    publish_one(&bus, || {
        let (bus, acknowledge) = (Arc::clone(&bus), acknowledge.clone());
        repeating = Some(std::thread::spawn(move || {
            let accepted = publish_one(&bus, || panic!("a duplicate is not delivered"));
            acknowledge.send(accepted).unwrap();
        }));
        // The repetition ends in microseconds if it does not wait; a busy machine can only hide a fault here, not show one.
        let early = acknowledged.recv_timeout(Duration::from_millis(200));
        assert_eq!(early, Err(mpsc::RecvTimeoutError::Timeout), "acknowledged before the first event was delivered");
    });
    repeating.unwrap().join().unwrap();
    assert_eq!(acknowledged.recv(), Ok(Accepted { published: 0, duplicates: 1 }));
}

#[test]
fn an_event_whose_delivery_panics_is_published_when_it_is_repeated() {
    let bus = MemoryBus::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| publish_one(&bus, || panic!("on purpose"))));
    assert!(panicked.is_err());
    assert_eq!(publish_one(&bus, || ()), Accepted { published: 1, duplicates: 0 });
    assert_eq!(publish_one(&bus, || ()), Accepted { published: 0, duplicates: 1 });
}

/// Publishes always the same identified event.
fn publish_one(bus: &MemoryBus, mut deliver: impl FnMut()) -> Accepted {
    let events = vec![Published { event: event("c", "s", "1"), identified: true }];
    bus.publish(events, Instant::now(), |_| deliver())
}
