//! Modules are replaced while subscriptions live on: nothing lost, nothing doubled, nothing out of order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::checker::check;
use crate::support::client::Client;
use crate::support::host::{Host, request};
use crate::support::{eventually, guests, with_enough_time};

const ROOMY: &str = "[delivery]\noutbox = { messages = 100000, bytes = \"64MiB\" }\n";

fn tick(seq: u64) -> Value {
    json!({"channel": "ticks", "type": "tick", "data": {"seq": seq, "id": (seq % 3).to_string()}})
}

/// Sequence number and version of a message.
fn told(message: &Value, field: &str) -> (u64, String) {
    let value = &message["payload"]["data"][field];
    (value["seq"].as_u64().unwrap_or_else(|| panic!("{message}")), value["version"].as_str().unwrap().to_owned())
}

/// A task that publishes ticks one by one, numbered from 1, until it is stopped.
struct Publishing {
    stop: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Publishing {
    fn start(host: &Arc<Host>) -> Self {
        let (stop, published) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (host, stopped, count) = (Arc::clone(host), Arc::clone(&stop), Arc::clone(&published));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let seq = count.load(Ordering::Relaxed) + 1;
                host.publish(&[tick(seq)]).await;
                count.store(seq, Ordering::Relaxed);
            }
        });
        Self { stop, published, task }
    }

    /// Waits until so many more events have been accepted.
    async fn goes_on(&self, events: u64) {
        let enough = self.published.load(Ordering::Relaxed) + events;
        eventually("events are published", || self.published.load(Ordering::Relaxed) >= enough).await;
    }

    /// Stops; the number of the last event.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.published.load(Ordering::Relaxed)
    }
}

async fn stop(host: Arc<Host>) {
    Arc::into_inner(host).expect("nobody else holds the host").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_neither_lost_nor_doubled_nor_reordered_by_swaps() {
    let versions = [guests::version(1).await, guests::version(2).await, guests::version(3).await];
    let host = Arc::new(Host::start(&["swap"], ROOMY).await);
    // Compiled before, so that the swaps come in quick succession.
    for version in &versions {
        host.deploy("swap", version).await;
    }
    let mut readers = Vec::new();
    for filter in ["", "(id: \"0\")", "(id: \"1\")", "(id: \"2\")"] {
        let mut client = Client::connect(host.address).await;
        for operation in 0..3 {
            client
                .subscribe(&operation.to_string(), &format!("subscription {{ tick{filter} {{ seq version }} }}"))
                .await;
        }
        client.barrier().await;
        readers.push(tokio::spawn(async move {
            let mut received: Vec<Vec<(u64, String)>> = vec![Vec::new(); 3];
            loop {
                let message = client.message().await;
                if message["type"] == "complete" || message["payload"]["data"]["tick"]["seq"] == 0 {
                    break (filter, received);
                }
                let operation: usize = message["id"].as_str().unwrap().parse().unwrap();
                received[operation].push(told(&message, "tick"));
            }
        }));
    }
    let publishing = Publishing::start(&host);
    for round in 0..9 {
        let report = host.deploy("swap", &versions[round % 3]).await;
        assert_eq!((report["moved"].as_u64(), &report["unchanged"]), (Some(12), &json!(false)), "{report}");
        // The first of them may have been numbered before the swap; those that follow are for this version.
        publishing.goes_on(5).await;
    }
    let last = publishing.stop().await;
    // The end, for every reader: one message with the number 0 for each filter.
    let end = |id: u64| json!({"channel": "ticks", "type": "tick", "data": {"seq": 0, "id": id.to_string()}});
    host.publish(&[end(0), end(1), end(2)]).await;

    let mut answered: BTreeMap<u64, String> = BTreeMap::new();
    for reader in readers {
        let (filter, received) = reader.await.unwrap();
        for received in received {
            let wanted = |seq: &u64| filter.is_empty() || filter.contains(&format!("\"{}\"", seq % 3));
            let expected: Vec<u64> = (1..=last).filter(wanted).collect();
            // The reader stops at the first end it sees; all before it must be there.
            let numbers: Vec<u64> = received.iter().map(|(seq, _)| *seq).collect();
            assert_eq!(check(&expected, &numbers), [], "{filter}");
            for (seq, version) in received {
                let first = answered.entry(seq).or_insert_with(|| version.clone());
                assert_eq!(*first, version, "event {seq} was answered by two versions");
            }
        }
    }
    assert!(answered.values().collect::<std::collections::BTreeSet<_>>().len() == 3, "all versions have answered");
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_version_owes_comes_before_anything_of_the_new_one() {
    let next = guests::version(1).await;
    let module = guests::table("swap", "wall = \"60s\"").await;
    with_enough_time(async |ms| {
        let host = Arc::new(Host::start(&["swap"], &module).await);
        host.deploy("swap", &next).await;
        let (status, _) = host.post("/admin/modules/swap/rollback", &[], b"").await;
        assert_eq!(status, 200);
        let mut client = Client::connect(host.address).await;
        client.subscribed("s", "subscription { slow { seq version } }").await;
        let event = |seq: u64, ms: u64| json!({"channel": "slow", "type": "slow", "data": {"seq": seq, "ms": ms}});
        host.publish(&[event(1, ms)]).await;
        let swap = {
            let (host, next) = (Arc::clone(&host), next.clone());
            tokio::spawn(async move { host.deploy("swap", &next).await })
        };
        // Live as soon as the generation counts one more, although the old version still has something to say.
        eventually("the new version is live", || host.runtime.generation().number == 4).await;
        let still_owes = host.runtime.delivery().metrics().deliveries.get() == 0;
        let quick: Vec<_> = (2..=5).map(|seq| event(seq, 0)).collect();
        host.publish(&quick).await;
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(told(&client.message().await, "slow"));
        }
        let expected: Vec<_> =
            (1..=5).map(|seq| (seq, if seq == 1 { "version-0000" } else { "version-0001" }.to_owned())).collect();
        assert_eq!(seen, expected);
        let report = swap.await.unwrap();
        drop(client);
        stop(host).await;
        still_owes && report["ms"]["drained"].as_u64() > report["ms"]["live"].as_u64()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_during_a_swap_misses_nothing() {
    let versions = [guests::version(1).await, guests::version(2).await];
    let host = Arc::new(Host::start(&["swap"], ROOMY).await);
    for version in &versions {
        host.deploy("swap", version).await;
    }
    let publishing = Publishing::start(&host);
    let (finish, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let swapping = {
        let (host, finish, swaps) = (Arc::clone(&host), Arc::clone(&finish), Arc::clone(&swaps));
        tokio::spawn(async move {
            while !finish.load(Ordering::Relaxed) {
                host.deploy("swap", &versions[swaps.load(Ordering::Relaxed) % 2]).await;
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    for visit in 0..4 {
        let before = swaps.load(Ordering::Relaxed);
        let mut client = Client::connect(host.address).await;
        client.subscribe("a", "subscription { tick { seq } }").await;
        client.subscribe("b", "subscription { tick(id: \"1\") { seq version } }").await;
        let mut received = BTreeMap::from([("a", Vec::new()), ("b", Vec::new())]);
        // Until both have got something to compare, and a swap that began after the client came is complete.
        while received.values().any(|numbers| numbers.len() < 10) || swaps.load(Ordering::Relaxed) < before + 2 {
            assert!(!swapping.is_finished(), "no more versions are deployed");
            let message = client.message().await;
            let seq = message["payload"]["data"]["tick"]["seq"].as_u64().unwrap_or_else(|| panic!("{message}"));
            received.get_mut(message["id"].as_str().unwrap()).unwrap().push(seq);
        }
        // From the first that it got to the last one, everything that is for it.
        for (operation, numbers) in &received {
            let range = numbers[0]..=*numbers.last().unwrap();
            let expected: Vec<u64> = range.filter(|seq| *operation == "a" || seq % 3 == 1).collect();
            assert_eq!(check(&expected, numbers), [], "{operation}");
        }
        // Half of them say that they go.
        if visit % 2 == 0 {
            client.send(json!({"id": "a", "type": "complete"})).await;
            client.send(json!({"id": "b", "type": "complete"})).await;
        }
    }
    finish.store(true, Ordering::Relaxed);
    swapping.await.unwrap();
    publishing.stop().await;
    let registry = &host.runtime.services().registry;
    eventually("nothing is left behind", || registry.is_empty()).await;
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_subscriptions_that_do_not_fit_end_and_only_if_that_is_wanted() {
    let host = Host::start(&["swap"], "").await;
    let next = guests::compiled(guests::built("swap_next").await).await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("keep", "subscription { tick { seq version } }").await;
    client
        .send(json!({"id": "argument", "type": "subscribe", "payload": {
            "query": "subscription ($id: ID) { tick(id: $id) { version } }", "variables": {"id": "1"}}}))
        .await;
    for id in ["gone1", "gone2"] {
        client.subscribed(id, "subscription { removed { seq } }").await;
    }

    let (status, answer) = host.put("swap", &next, "").await;
    assert_eq!(status, 409, "{answer}");
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "SUBSCRIPTIONS_DO_NOT_FIT");
    assert_eq!(error["extensions"]["fields"][0]["field"], "removed");
    assert_eq!(error["extensions"]["fields"][0]["subscriptions"], 2);
    assert!(error["message"].as_str().unwrap().contains("--force"), "{answer}");
    host.publish(&[tick(1)]).await;
    for _ in 0..4 {
        let message = client.message().await;
        assert_eq!(message["type"], "next", "the old version still serves: {message}");
    }

    let (status, report) = host.put("swap", &next, "?force=true").await;
    assert_eq!(
        (status, &report["ended"][0]["subscriptions"], &report["moved"]),
        (200, &json!(2), &json!(2)),
        "{report}"
    );
    for _ in 0..2 {
        let message = client.message().await;
        assert_eq!(message["type"], "error", "{message}");
        assert!(message["id"].as_str().unwrap().starts_with("gone"), "{message}");
        assert_eq!(message["payload"][0]["extensions"]["code"], "SCHEMA_CHANGED");
    }
    host.publish(&[tick(4)]).await;
    let mut versions = BTreeMap::new();
    for _ in 0..2 {
        let message = client.message().await;
        let version = message["payload"]["data"]["tick"]["version"].clone();
        versions.insert(message["id"].as_str().unwrap().to_owned(), version);
    }
    assert_eq!(
        versions,
        BTreeMap::from([("keep".to_owned(), json!("version-next")), ("argument".to_owned(), json!("version-next"))])
    );
    // What is new can be subscribed to on the same connection.
    client.subscribed("new", "subscription { added { seq } }").await;
    assert_eq!(host.subscriptions(), 3);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_comes_and_goes_while_others_serve() {
    let swap = guests::compiled(guests::built("swap").await).await;
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("e", "subscription { counted { seq } }").await;
    let report = host.deploy("extra", &swap).await;
    assert_eq!((&report["previous"], report["generation"].as_u64()), (&Value::Null, Some(2)));
    client.subscribed("t", "subscription { tick { seq } }").await;
    host.publish(&[tick(1)]).await;
    assert_eq!(client.next("t").await["data"]["tick"]["seq"], 1);

    // The same fields twice: refused with both names.
    let (status, answer) = host.put("other", &swap, "").await;
    assert_eq!(status, 422, "{answer}");
    let message = answer["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("extra") && message.contains("other") && message.contains("tick"), "{message}");

    let remove = |query: &'static str| request(host.address, "DELETE", query, &[], b"");
    assert_eq!(remove("/admin/modules/extra").await.0, 409);
    assert_eq!(remove("/admin/modules/extra?force=true").await.0, 200);
    assert_eq!(client.message().await["payload"][0]["extensions"]["code"], "SCHEMA_CHANGED");
    assert_eq!(remove("/admin/modules/extra").await.0, 404);
    host.emit("counts", "counted", json!({"seq": 7})).await;
    assert_eq!(client.next("e").await["data"]["counted"]["seq"], 7);
    // Its versions are kept.
    assert_eq!(host.post("/admin/modules/extra/rollback", &[], b"").await.0, 200);
    client.subscribed("t2", "subscription { tick { seq } }").await;
    host.publish(&[tick(2)]).await;
    assert_eq!(client.next("t2").await["data"]["tick"]["seq"], 2);
    host.stop().await;
}
