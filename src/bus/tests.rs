use std::time::{Duration, Instant};

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

#[test]
fn identities_are_per_channel_and_source() {
    let mut seen = Seen::new(10);
    let now = Instant::now();
    assert!(seen.insert(&event("c", "s", "1"), now));
    assert!(seen.insert(&event("d", "s", "1"), now));
    assert!(seen.insert(&event("c", "t", "1"), now));
    assert!(!seen.insert(&event("c", "s", "1"), now));
}

#[test]
fn an_identity_is_forgotten_after_the_window() {
    let mut seen = Seen::new(10);
    let start = Instant::now();
    assert!(seen.insert(&event("c", "s", "1"), start));
    assert!(!seen.insert(&event("c", "s", "1"), start + WINDOW.checked_sub(Duration::from_secs(1)).unwrap()));
    assert!(seen.insert(&event("c", "s", "1"), start + WINDOW));
}

#[test]
fn the_oldest_identity_is_forgotten_beyond_the_capacity() {
    let mut seen = Seen::new(2);
    let now = Instant::now();
    for id in ["1", "2", "3"] {
        assert!(seen.insert(&event("c", "s", id), now));
    }
    assert!(!seen.insert(&event("c", "s", "3"), now));
    assert!(seen.insert(&event("c", "s", "1"), now));
}
