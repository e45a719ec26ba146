//! Swaps that come at once, or while somebody subscribes: who comes first, and who waits for whom.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subcast::deploy::Permission;

use crate::support::client::Client;
use crate::support::component::{Act, Handmade};
use crate::support::host::{Host, deploy};
use crate::support::{eventually, guests};

async fn stop(host: Arc<Host>) {
    Arc::into_inner(host).expect("nobody else holds the host").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_at_the_same_time_come_one_after_the_other() {
    let versions = [guests::version(1).await, guests::version(2).await, guests::version(3).await];
    let host = Arc::new(Host::start(&["swap"], "").await);
    let deployments: Vec<_> = versions
        .iter()
        .map(|version| {
            let (host, version) = (Arc::clone(&host), version.clone());
            tokio::spawn(async move { host.deploy("swap", &version).await })
        })
        .collect();
    let mut steps = Vec::new();
    for deployment in deployments {
        let report = deployment.await.unwrap();
        steps.push((report["generation"].as_u64().unwrap(), report["previous"].clone(), report["digest"].clone()));
    }
    steps.sort_by_key(|step| step.0);
    assert_eq!(steps.iter().map(|step| step.0).collect::<Vec<_>>(), [2, 3, 4]);
    // Each found what the one before it had left.
    assert!(steps.windows(2).all(|pair| pair[1].1 == pair[0].2), "{steps:?}");
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_nobody_waits_for_any_more_is_completed() {
    let next = guests::version(1).await;
    // The client does not read meanwhile, and must not be closed for that: it would take its places in rosters along.
    let host = Host::start(&["swap"], "[server]\nping_interval = \"10m\"\n").await;
    let before = Arc::downgrade(&host.runtime.generation());
    let mut client = Client::connect(host.address).await;
    client.subscribed("t", "subscription { slow { seq version } }").await;
    host.emit("slow", "slow", json!({"seq": 1, "ms": 900})).await;
    let deployer = Arc::clone(host.runtime.deployer());
    let swap = tokio::spawn(async move { deployer.deploy_file("swap", &next, Permission::default()).await });
    eventually("the next version is live", || host.runtime.generation().number == 2).await;
    swap.abort();
    assert!(swap.await.is_err_and(|error| error.is_cancelled()), "it had ended: nothing was given up");
    // What the old version owes, and then it goes.
    let answer = json!({"data": {"slow": {"seq": 1, "version": "version-0000"}}});
    assert_eq!(client.next("t").await, answer);
    eventually("the generation before is gone", || before.upgrade().is_none()).await;
    // It is on record, too.
    host.runtime.deployer().rollback("swap", None, Permission::default()).await.unwrap();
    assert_eq!(host.runtime.generation().number, 3);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_does_not_wait_for_versions_that_are_only_on_their_way() {
    let (bad, better) = (guests::version(1).await, guests::version(2).await);
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let host = Arc::new(Host::start(&["swap"], &format!("[admin]\nstore = {store:?}\n")).await);
    host.deploy("swap", &bad).await;
    // One that takes two seconds to be refused, and one that came after it.
    let endless = Handmade { describe: Act::Loop, ..Handmade::default() }.encode();
    let kept = store.join(format!("{}.wasm", hex::encode(Sha256::digest(&endless))));
    let address = host.address;
    let first = tokio::spawn(async move { deploy(address, "swap", &endless, "", &[]).await });
    eventually("the first one has arrived", || kept.exists()).await;
    let second = {
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.deploy("swap", &better).await })
    };
    let (status, report) = host.post("/admin/modules/swap/rollback", &[], b"").await;
    assert_eq!(status, 200, "{report}");
    assert!(!first.is_finished() && !second.is_finished(), "nobody was on the way, so the test shows nothing");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["generation"], 3, "{report}");
    let (status, refusal) = first.await.unwrap();
    assert_eq!((status, &refusal["errors"][0]["extensions"]["stage"]), (422, &json!("start")), "{refusal}");
    let after = second.await.unwrap();
    assert_eq!((&after["generation"], &after["previous"]), (&json!(4), &report["digest"]), "{after}");
    assert!(!kept.exists(), "what was refused is not kept");
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_waits_for_a_swap_that_is_under_way() {
    let next = guests::version(1).await;
    let host = Arc::new(Host::start(&["swap"], "").await);
    let mut client = Client::connect(host.address).await;
    client.subscribed("s", "subscription { slow { seq version } }").await;
    let event = |seq: u64, ms: u64| json!({"channel": "slow", "type": "slow", "data": {"seq": seq, "ms": ms}});
    host.publish(&[event(1, 900)]).await;
    let swap = {
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.deploy("swap", &next).await })
    };
    eventually("the new version is live", || host.runtime.generation().number == 2).await;
    let back = {
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.post("/admin/modules/swap/rollback", &[], b"").await })
    };
    host.publish(&[event(2, 0)]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!swap.is_finished(), "the old version owes nothing, so the test shows nothing");
    assert_eq!((host.runtime.generation().number, back.is_finished()), (2, false));
    let report = swap.await.unwrap();
    let (status, answer) = back.await.unwrap();
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["generation"], &answer["previous"]), (&json!(3), &report["digest"]));
    host.publish(&[event(3, 0)]).await;
    for (seq, version) in [(1, "version-0000"), (2, "version-0001"), (3, "version-0000")] {
        assert_eq!(client.next("s").await, json!({"data": {"slow": {"seq": seq, "version": version}}}));
    }
    drop(client);
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribes_while_a_swap_is_prepared_is_served_by_both_generations() {
    let host = Host::start(&["swap"], "").await;
    let registry = &host.runtime.services().registry;
    let live = registry.generation();
    let next = live.next(live.modules().to_vec(), host.runtime.config().graphql_limits()).unwrap();
    let preparation = registry.prepare(Arc::new(next));
    preparation.enter_all();
    drop(live);
    // Nobody enters these into the next generation but themselves.
    let mut client = Client::connect(host.address).await;
    client.subscribe("gone", "subscription { tick { seq } }").await;
    client.subscribed("t", "subscription { tick { seq } }").await;
    client.send(json!({"id": "gone", "type": "complete"})).await;
    client.barrier().await;
    host.emit("ticks", "tick", json!({"seq": 1, "id": "a"})).await;
    let (published, drained) = host.runtime.delivery().switch(preparation, false).unwrap();
    host.emit("ticks", "tick", json!({"seq": 2, "id": "a"})).await;
    drained.await.unwrap();
    published.finish();
    host.emit("ticks", "tick", json!({"seq": 3, "id": "a"})).await;
    for seq in 1..=3 {
        assert_eq!(client.next("t").await, json!({"data": {"tick": {"seq": seq}}}));
    }
    drop(client);
    eventually("nothing is left behind", || host.runtime.services().registry.is_empty()).await;
    host.stop().await;
}
