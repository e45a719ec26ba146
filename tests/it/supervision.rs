//! Panics, planted where work is shared: each costs what it happened in, is counted, and lets the rest go on. What the host
//! cannot go on without ends it.
#![cfg(debug_assertions)]

use std::time::Instant;

use serde_json::{Value, json};
use subcast::fault;

use crate::support::client::{Client, Seen};
use crate::support::host::Host;
use crate::support::process::Process;
use crate::support::{PATIENCE, eventually};

fn counted(id: &str, seq: u64) -> Value {
    json!({"channel": "counts", "type": "counted", "id": id, "data": {"seq": seq}})
}

async fn panics(host: &Host, place: &str) -> u64 {
    let (_, text) = host.get("/metrics").await;
    let line = text.lines().find(|line| line.starts_with(&format!("subcast_panics_total{{where=\"{place}\"}}")));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// The opaque error, of which clients learn no more than an id.
fn is_opaque(payload: &Value) -> bool {
    payload["errors"][0]["message"] == "Internal server error"
        && payload["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
}

/// What the event that meets a planted panic costs: its own answer, and not those of the events around it.
async fn costs_its_answer(place: &str, counted_at: &str, mark: &str) {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    let before = panics(&host, counted_at).await;
    fault::plant(place, mark);
    let id = |number: u32| format!("{place} {number}");
    host.publish(&[counted(&id(1), 1), counted(&id(2), 424_242), counted(&id(3), 3)]).await;
    assert_eq!(client.next("a").await["data"]["counted"]["seq"], 1);
    let lost = client.next("a").await;
    assert!(is_opaque(&lost), "{lost}");
    assert_eq!(client.next("a").await["data"]["counted"]["seq"], 3);
    assert!(panics(&host, counted_at).await > before);
    assert_eq!(host.get("/readyz").await.0, 200);
    drop(client);
    eventually("nothing is left", || host.runtime.services().registry.is_empty()).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_an_answer_is_filed_costs_that_answer() {
    costs_its_answer("settle", "delivery", "settle 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_a_value_is_projected_costs_that_answer() {
    costs_its_answer("project", "projection", "424242").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_a_job_is_handed_to_the_sandbox_costs_that_answer() {
    costs_its_answer("submit", "publish", "submit 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_slot_costs_what_it_had_in_hand() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    let before = panics(&host, "guest").await;
    fault::plant("guest", "slot 1");
    host.publish(&[counted("slot 1", 1)]).await;
    let lost = client.next("a").await;
    assert!(is_opaque(&lost), "{lost}");
    host.publish(&[counted("slot 2", 2)]).await;
    assert_eq!(client.next("a").await["data"]["counted"]["seq"], 2);
    // Its subscriber may have the error before the thread has noticed that the slot's task has ended.
    let deadline = Instant::now() + PATIENCE;
    while panics(&host, "guest").await <= before {
        assert!(Instant::now() < deadline, "the panic is never counted");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_predicate_withholds_the_event_from_its_cohort() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    fault::plant("predicate", "predicate 1");
    host.publish(&[counted("predicate 1", 1), counted("predicate 2", 2)]).await;
    assert_eq!(client.next("a").await["data"]["counted"]["seq"], 2);
    assert!(panics(&host, "predicate").await > 0);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_thread_for_large_values_costs_that_value_and_a_swap_still_drains() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { searched { ... on User { id name } } }").await;
    let found = |id: &str, count: usize| {
        let one = json!({"__typename": "User", "id": id, "name": "n".repeat(20)});
        json!({"results": vec![one; count]})
    };
    fault::plant("project large", "planted-large");
    host.emit("search", "searched", found("planted-large", 4_000)).await;
    host.emit("search", "searched", found("2", 4_000)).await;
    let lost = client.next("a").await;
    assert!(is_opaque(&lost), "{lost}");
    assert_eq!(client.next("a").await["data"]["searched"].as_array().unwrap().len(), 4_000);
    assert!(panics(&host, "large values").await > 0);

    fault::plant("project large", "planted-again");
    host.emit("search", "searched", found("planted-again", 4_000)).await;
    let registry = &host.runtime.services().registry;
    let live = registry.generation();
    let next = live.next(live.modules().to_vec(), host.runtime.config().graphql_limits()).unwrap();
    let preparation = registry.prepare(next.into());
    preparation.enter_all();
    let (published, drain) = host.runtime.delivery().switch(preparation, false).unwrap();
    host.emit("search", "searched", found("3", 1)).await;
    assert!(drain.within(PATIENCE).await, "the swap drains");
    published.finish();
    let lost = client.next("a").await;
    assert!(is_opaque(&lost), "{lost}");
    assert_eq!(client.next("a").await["data"]["searched"][0]["id"], "3");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_connection_ends_that_connection_alone() {
    let host = Host::start(&["engine"], "").await;
    let mut stays = Client::connect(host.address).await;
    stays.subscribed("a", "subscription { counted { seq } }").await;
    let mut ends = Client::connect(host.address).await;
    ends.subscribed("a", "subscription { counted { seq } }").await;
    fault::plant("session", "fault of a session");
    ends.subscribe("fault of a session", "subscription { counted { seq } }").await;
    assert_eq!(ends.seen().await, Seen::Closed(None));
    eventually("its subscription has ended with it", || host.subscriptions() == 1).await;
    host.publish(&[counted("after the fault of a session", 1)]).await;
    assert_eq!(stays.next("a").await["data"]["counted"]["seq"], 1);
    assert!(panics(&host, "task").await > 0);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_delivery_has_ended_is_not_ready() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    assert_eq!(host.get("/readyz").await.0, 200);
    fault::plant("deliver", "fault of delivery");
    host.publish(&[counted("fault of delivery", 1)]).await;
    eventually("the alarm is raised", || host.runtime.alarm().is_raised()).await;
    assert_eq!(host.get("/readyz").await, (503, "failed\n".to_owned()));
    assert_eq!(host.runtime.alarm().reason(), "delivery has ended by a panic");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_delivery_has_ended_ends_with_a_message_and_a_failure() {
    let host = Process::serve_faulty("engine", "deliver=fault of a process").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("a", "subscription { counted { seq } }").await;
    let event = counted("fault of a process", 1);
    host.publish(&event).await;
    assert_eq!(client.close_code().await, Some(1012));
    let (code, log) = host.ended().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("the host could not go on: delivery has ended by a panic"), "{log}");
}
