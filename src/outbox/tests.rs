use super::*;

fn limits(policy: SlowConsumer) -> Limits {
    Limits { messages: 3, bytes: 1000, policy }
}

fn operation(id: &str) -> Arc<Operation> {
    Arc::new(Operation::new(OperationId::new(id)))
}

fn payload(text: &str) -> Payload {
    Arc::from(text)
}

/// `id:payload+dropped` or `id:complete`, in order.
fn taken(outbox: &Outbox) -> Vec<String> {
    let mut items = Vec::new();
    outbox.take(100, &mut items);
    items
        .iter()
        .map(|item| match item {
            Item::Next { operation, payload, dropped: 0 } => format!("{}:{payload}", operation.id),
            Item::Next { operation, payload, dropped } => format!("{}:{payload}+{dropped}", operation.id),
            Item::Complete { operation } => format!("{}:complete", operation.id),
            Item::Error { operation, errors } => format!("{}:{errors}", operation.id),
        })
        .collect()
}

#[test]
fn items_come_out_in_order() {
    let outbox = Outbox::new(limits(SlowConsumer::Close));
    let a = operation("a");
    assert_eq!(outbox.push(&a, &payload("1")), Pushed::Queued);
    assert_eq!(outbox.push(&a, &payload("2")), Pushed::Queued);
    outbox.complete(&a);
    assert_eq!(taken(&outbox), ["a:1", "a:2", "a:complete"]);
}

#[test]
fn close_refuses_everything_after_the_overflow() {
    let outbox = Outbox::new(limits(SlowConsumer::Close));
    let a = operation("a");
    for text in ["1", "2", "3"] {
        assert_eq!(outbox.push(&a, &payload(text)), Pushed::Queued);
    }
    assert_eq!(outbox.push(&a, &payload("4")), Pushed::Overflowed);
    assert!(outbox.overflowed());
    assert_eq!(outbox.push(&a, &payload("5")), Pushed::Overflowed);
    assert!(taken(&outbox).is_empty());
}

#[test]
fn drop_oldest_tells_how_many_were_dropped() {
    let outbox = Outbox::new(limits(SlowConsumer::DropOldest));
    let a = operation("a");
    for text in ["1", "2", "3"] {
        assert_eq!(outbox.push(&a, &payload(text)), Pushed::Queued);
    }
    assert_eq!(outbox.push(&a, &payload("4")), Pushed::Dropped(1));
    assert_eq!(outbox.push(&a, &payload("5")), Pushed::Dropped(1));
    assert_eq!(taken(&outbox), ["a:3+2", "a:4", "a:5"]);
}

#[test]
fn drop_oldest_spares_other_operations_while_the_own_one_has_something() {
    let outbox = Outbox::new(limits(SlowConsumer::DropOldest));
    let (a, b) = (operation("a"), operation("b"));
    assert_eq!(outbox.push(&b, &payload("x")), Pushed::Queued);
    for text in ["1", "2"] {
        assert_eq!(outbox.push(&a, &payload(text)), Pushed::Queued);
    }
    assert_eq!(outbox.push(&a, &payload("3")), Pushed::Dropped(1));
    assert_eq!(taken(&outbox), ["b:x", "a:2+1", "a:3"]);
}

#[test]
fn keep_latest_keeps_only_the_newest_of_the_operation() {
    let outbox = Outbox::new(limits(SlowConsumer::KeepLatest));
    let a = operation("a");
    for text in ["1", "2", "3"] {
        assert_eq!(outbox.push(&a, &payload(text)), Pushed::Queued);
    }
    assert_eq!(outbox.push(&a, &payload("4")), Pushed::Dropped(3));
    assert_eq!(taken(&outbox), ["a:4+3"]);
}

#[test]
fn bytes_are_bounded_too() {
    let outbox = Outbox::new(limits(SlowConsumer::DropOldest));
    let a = operation("a");
    assert_eq!(outbox.push(&a, &payload(&"x".repeat(900))), Pushed::Queued);
    assert_eq!(outbox.push(&a, &payload(&"y".repeat(200))), Pushed::Dropped(1));
    let mut items = Vec::new();
    outbox.take(10, &mut items);
    assert!(matches!(&items[..], [Item::Next { dropped: 1, payload, .. }] if payload.starts_with('y')));
}

#[test]
fn a_payload_beyond_the_limit_fits_into_an_empty_outbox() {
    let outbox = Outbox::new(limits(SlowConsumer::Close));
    assert_eq!(outbox.push(&operation("a"), &payload(&"x".repeat(5000))), Pushed::Queued);
}

#[test]
fn the_end_of_an_operation_is_never_dropped() {
    let outbox = Outbox::new(limits(SlowConsumer::DropOldest));
    let (a, b) = (operation("a"), operation("b"));
    outbox.complete(&a);
    outbox.complete(&a);
    outbox.complete(&a);
    let _ = outbox.push(&b, &payload("1"));
    assert_eq!(taken(&outbox), ["a:complete", "a:complete", "a:complete", "b:1"]);
}

#[test]
fn forget_removes_what_waits_for_one_operation() {
    let outbox = Outbox::new(limits(SlowConsumer::Close));
    let (a, b) = (operation("a"), operation("b"));
    let _ = outbox.push(&a, &payload("1"));
    let _ = outbox.push(&b, &payload("2"));
    outbox.forget(&a.id);
    assert_eq!(taken(&outbox), ["b:2"]);
}
