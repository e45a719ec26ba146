//! What is over leaves nothing behind: no subscription, no task, no descriptor, no instance.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::MaybeTlsStream;

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
    if let MaybeTlsStream::Plain(stream) = client.socket.get_ref() {
        let stream: &TcpStream = stream;
        stream.set_zero_linger().unwrap();
    }
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_reset_connections_leave_nothing_behind() {
    let host = Process::serve("engine").await;
    // One round first, so that what is made once (threads, buffers of the allocator, instances) is there.
    for number in 0..5 {
        reset(subscriber(host.address, number).await);
    }
    settled(&host).await;
    let before = (host.count("fd"), host.count("task"), host.metric("subcast_instances").await);
    let mut clients = Vec::new();
    for number in 0..200 {
        clients.push(subscriber(host.address, number).await);
    }
    assert!((host.metric("subcast_subscriptions").await - 600.0).abs() < 0.5);
    assert!(host.count("fd") >= before.0 + 200);
    host.emit("counts", "counted", json!({"seq": 1})).await;
    clients.into_iter().for_each(reset);
    settled(&host).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let after = (host.count("fd"), host.count("task"), host.metric("subcast_instances").await);
        // Idle threads of the runtime's blocking pool may have ended meanwhile.
        if after.0 == before.0 && after.1 <= before.1 && after.2 <= before.2 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{after:?} instead of {before:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(host.terminate().await, Some(0));
}

/// Waits until no connection and no subscription is left.
async fn settled(host: &Process) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while host.metric("subcast_connections").await + host.metric("subcast_subscriptions").await > 0.5 {
        assert!(tokio::time::Instant::now() < deadline, "connections or subscriptions are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
