//! How swaps end: late, given up, or while the host stops.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use subcast::deploy::{DeployError, Permission};
use subcast::event::{Channel, Event};
use subcast::protocol::publish;

use crate::support::client::Client;
use crate::support::host::Host;
use crate::support::{eventually, guests};

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_whose_old_answers_never_come_holds_nobody_back() {
    let host = Host::start(&["swap"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("t", "subscription { tick { seq } }").await;
    let registry = &host.runtime.services().registry;
    // An event whose answer is lost: its place in the lane is taken, and nobody is asked.
    let value = json!({"seq": 1, "id": "a"});
    let event = Event {
        id: "1".into(),
        channel: Channel::new("ticks"),
        kind: "tick".into(),
        time: "2026-01-01T00:00:00Z".into(),
        source: "test".into(),
        data: value.to_string().into(),
        value,
        charge: subcast::event::EventCharge::default(),
    };
    let mut reserved = 0;
    registry.matching(&event, |found| {
        for cohort in found.cohorts {
            let _ = cohort.reserve();
            reserved += 1;
        }
    });
    assert_eq!(reserved, 1);
    let live = registry.generation();
    let next = live.next(live.modules().to_vec(), host.runtime.config().graphql_limits()).unwrap();
    let preparation = registry.prepare(Arc::new(next));
    preparation.enter_all();
    let (published, drain) = host.runtime.delivery().switch(preparation, false).unwrap();
    let old = Arc::downgrade(&live);
    drop(live);
    host.emit("ticks", "tick", json!({"seq": 2, "id": "a"})).await;
    assert!(!drain.within(Duration::from_millis(50)).await, "the answer never comes");
    published.finish();
    assert_eq!(client.next("t").await["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR");
    assert_eq!(client.next("t").await, json!({"data": {"tick": {"seq": 2}}}));
    eventually("the old generation is gone", || old.strong_count() == 0).await;
    drop(client);
    eventually("nothing is left behind", || registry.is_empty()).await;
    host.stop().await;
}

/// A host whose first version has an answer to give that takes longer than the test, and the next version.
async fn owing() -> (Arc<Host>, PathBuf, Client) {
    let module = guests::built("swap").await;
    let module = format!("[[module]]\nname = \"swap\"\npath = \"{}\"\nwall = \"60s\"\n", module.display());
    let (host, next) = (Arc::new(Host::start(&["swap"], &module).await), guests::version(1).await);
    let mut client = Client::connect(host.address).await;
    client.subscribed("s", "subscription { slow { seq } }").await;
    host.publish(&[json!({"channel": "slow", "type": "slow", "data": {"seq": 1, "ms": 30_000}})]).await;
    (host, next, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_is_given_up_once_it_is_live_keeps_its_turn_until_it_is_complete() {
    let (host, next, _client) = owing().await;
    let deployer = Arc::clone(host.runtime.deployer());
    let deployment = tokio::spawn({
        let deployer = Arc::clone(&deployer);
        async move { deployer.deploy_file("swap", &next, Permission::default()).await }
    });
    eventually("the new version is live", || host.runtime.generation().number == 2).await;
    deployment.abort();
    assert!(deployment.await.is_err_and(|error| error.is_cancelled()), "it had ended: nothing was given up");
    let back = tokio::spawn(async move { deployer.rollback("swap", None, Permission::default()).await });
    // For longer than a rollback takes that does not wait.
    for _ in 0..200 {
        assert_eq!(host.runtime.generation().number, 2, "the next swap began before the one before was complete");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!back.is_finished());
    host.runtime.drain().await;
    // Once the host stops nobody is left to be served, so the turn may have come all the same.
    let back = back.await.unwrap();
    assert!(matches!(back, Ok(_) | Err(DeployError::Stopping)), "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_live_says_so_although_the_host_stops() {
    let (host, next, _client) = owing().await;
    let deployment = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.put("swap", &next, "").await }
    });
    eventually("the new version is live", || host.runtime.generation().number == 2).await;
    assert!(!deployment.is_finished(), "the old version owes nothing, so the test shows nothing");
    let stopped = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.runtime.drain().await }
    });
    let (status, report) = deployment.await.unwrap();
    assert_eq!((status, &report["generation"]), (200, &json!(2)), "{report}");
    assert!(stopped.await.unwrap(), "everything ends by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_not_live_when_the_host_stops_is_given_up() {
    let host = Host::start(&["swap"], "").await;
    let next = guests::version(1).await;
    host.runtime.tasks().stopping().cancel();
    let deployed = host.runtime.deployer().deploy_file("swap", &next, Permission::default()).await;
    assert!(matches!(deployed, Err(DeployError::Stopping)), "{deployed:?}");
    assert_eq!(host.runtime.generation().number, 1);
    host.stop().await;
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_cut_off_is_not_acknowledged() {
    let host = Host::start(&["engine"], "").await;
    let event = |seq: u32| json!({"channel": "counts", "type": "counted", "id": format!("cut {seq}"), "data": {}});
    let lines: Vec<_> = (0..600).map(|seq| event(seq).to_string()).collect();
    subcast::fault::plant("publish batch", "cut 256");
    let headers = [("content-type", "application/x-ndjson")];
    let (status, body) = host.post("/events", &headers, lines.join("\n").as_bytes()).await;
    assert_eq!((status, body.contains("a part of the events may have been published")), (503, true), "{body}");
    // A host that is to stop does not pause between batches, and publishes all that it acknowledges.
    host.runtime.tasks().stopping().cancel();
    let mut stamp = subcast::runtime::stamp;
    let limits = publish::Limits::default();
    let none = |_: &str| None;
    let events =
        publish::parse("application/x-ndjson", &none, lines.join("\n").as_bytes(), &mut stamp, &limits).unwrap();
    let accepted = host.runtime.publish(events).await.unwrap();
    assert_eq!((accepted.published, accepted.duplicates), (600 - 256, 256));
    host.stop().await;
}
