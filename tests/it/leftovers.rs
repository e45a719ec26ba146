//! What is over leaves nothing behind: no subscription, no task, no descriptor, no instance.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::support::client::Client;
use crate::support::host::Host;
use crate::support::process::Process;
use crate::support::{PATIENCE, eventually};

/// A connection with three subscriptions, one of them in a cohort of its own.
async fn subscriber(address: SocketAddr, number: usize) -> Client {
    let mut client = Client::connect(address).await;
    client.subscribe("a", "subscription { counted { seq } }").await;
    client.subscribe("b", &format!("subscription {{ userUpdated(id: {number}) {{ id }} }}")).await;
    client.subscribed("c", &format!("subscription {{ orderPlaced(order_id: \"{number}\") {{ id }} }}")).await;
    client
}

/// Resets the connection: no close frame, no FIN.
fn reset(client: Client) {
    client.socket.get_ref().set_zero_linger().unwrap();
    drop(client);
}

/// What a host holds: descriptors, threads, instances.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    threads: usize,
    instances: f64,
}

impl Held {
    /// Waits until no connection and no subscription is left and the host holds no more than `most`.
    async fn settled(host: &Process, most: &Self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let open = host.metric("subcast_connections").await + host.metric("subcast_subscriptions").await;
            let instances = host.metric("subcast_instances").await;
            let held = Self { descriptors: host.count("fd"), threads: host.count("task"), instances };
            // Idle threads of the runtime may have ended meanwhile. The question itself takes a descriptor for a moment.
            if open < 0.5
                && held.descriptors == most.descriptors
                && held.threads <= most.threads
                && held.instances <= most.instances
            {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{open} open; {held:?} instead of {most:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_reset_connections_leave_nothing_behind() {
    let host = Process::serve("engine").await;
    // Before anyone has connected: from then on, a question about the metrics would count itself.
    let descriptors = host.count("fd");
    // One round first, so that what is made once (threads, the warm instances) is there.
    for number in 0..5 {
        reset(subscriber(host.address, number).await);
    }
    let warm = Held { descriptors, threads: usize::MAX, instances: f64::MAX };
    Held::settled(&host, &warm).await;
    let instances = host.metric("subcast_instances").await;
    let before = Held { descriptors, threads: host.count("task"), instances };

    let mut clients = Vec::new();
    for number in 0..200 {
        clients.push(subscriber(host.address, number).await);
    }
    assert!((host.metric("subcast_subscriptions").await - 600.0).abs() < 0.5);
    assert!((host.metric("subcast_connections").await - 200.0).abs() < 0.5);
    assert!(host.count("fd") >= descriptors + 200);
    // Results are on their way to all of them when they go.
    host.emit("counts", "counted", json!({"seq": 1})).await;
    clients.into_iter().for_each(reset);
    Held::settled(&host, &before).await;
    assert_eq!(host.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_cohort_does_not_end_it_for_the_others() {
    const QUERY: &str = "subscription { counted { seq } }";
    let host = Host::start(&["engine"], "").await;
    let mut stays = Client::connect(host.address).await;
    stays.subscribe("stays", QUERY).await;
    stays.subscribed("leaves", QUERY).await;
    let mut completes = Client::connect(host.address).await;
    completes.subscribed("a", QUERY).await;
    let mut resets = Client::connect(host.address).await;
    resets.subscribed("a", QUERY).await;
    assert_eq!(host.subscriptions(), 4);

    stays.send(json!({"id": "leaves", "type": "complete"})).await;
    stays.barrier().await;
    completes.send(json!({"id": "a", "type": "complete"})).await;
    completes.barrier().await;
    reset(resets);
    eventually("three have left", || host.subscriptions() == 1).await;
    let events: Vec<_> = (1..=5).map(|n| json!({"channel": "counts", "type": "counted", "data": {"seq": n}})).collect();
    host.publish(&events).await;
    for n in 1..=5 {
        assert_eq!(stays.next("stays").await, json!({"data": {"counted": {"seq": n}}}));
    }
    // Who completed gets nothing more, and the connection serves on.
    completes.subscribed("b", QUERY).await;
    host.emit("counts", "counted", json!({"seq": 6})).await;
    assert_eq!(completes.next("b").await, json!({"data": {"counted": {"seq": 6}}}));
    drop((stays, completes));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_empty_and_tasks_end_with_their_connections() {
    let host = Host::start(&["engine"], "").await;
    let tasks = host.runtime.tasks().count();
    let mut clients = Vec::new();
    for number in 0..20 {
        clients.push(subscriber(host.address, number).await);
    }
    assert_eq!(host.subscriptions(), 60);
    let rest = clients.split_off(10);
    clients.into_iter().for_each(reset);
    eventually("the reset half has left", || host.subscriptions() == 30).await;
    // Who stays in the shared cohort still gets its events.
    host.emit("counts", "counted", json!({"seq": 7})).await;
    let mut rest = rest.into_iter();
    let mut one = rest.next().unwrap();
    assert_eq!(one.next("a").await["data"]["counted"]["seq"], 7);
    drop((one, rest));
    eventually("nothing is left", || host.runtime.services().registry.is_empty()).await;
    eventually("all tasks have ended", || host.runtime.tasks().count() == tasks).await;
    host.stop().await;
}
