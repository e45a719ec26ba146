//! Swaps that come at once, or while somebody subscribes: who comes first, and who waits for whom.

use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subcast::deploy::Permission;

use crate::support::client::Client;
use crate::support::component::{Act, Handmade};
use crate::support::host::{Host, deploy};
use crate::support::{PATIENCE, eventually, guests, with_enough_time};

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
    let module = guests::table("swap", "wall = \"60s\"").await;
    with_enough_time(async |ms| {
        // The client does not read meanwhile, and must not be closed for that: it would take its places in rosters along.
        let host = Host::start(&["swap"], &format!("[server]\nping_interval = \"10m\"\n{module}")).await;
        let before = Arc::downgrade(&host.runtime.generation());
        let mut client = Client::connect(host.address).await;
        client.subscribed("t", "subscription { slow { seq version } }").await;
        host.emit("slow", "slow", json!({"seq": 1, "ms": ms})).await;
        let (deployer, next) = (Arc::clone(host.runtime.deployer()), next.clone());
        let swap = tokio::spawn(async move { deployer.deploy_file("swap", &next, Permission::default()).await });
        eventually("the next version is live", || host.runtime.generation().number == 2).await;
        swap.abort();
        let is_given_up = swap.await.is_err_and(|error| error.is_cancelled());
        // What the old version owes, and then it goes.
        let answer = json!({"data": {"slow": {"seq": 1, "version": "version-0000"}}});
        assert_eq!(client.next("t").await, answer);
        eventually("the generation before is gone", || before.upgrade().is_none()).await;
        // It is on record, too.
        host.runtime.deployer().rollback("swap", None, Permission::default()).await.unwrap();
        assert_eq!(host.runtime.generation().number, 3);
        drop(client);
        host.stop().await;
        is_given_up
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_does_not_wait_for_versions_that_are_only_on_their_way() {
    let (bad, better) = (guests::version(1).await, guests::version(2).await);
    // Some that take two seconds each to be refused, as many as may be uploaded beside another one; on a slow machine the
    // rollback takes longer than one of them.
    for count in [1, 2, 3, 3, 3] {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let host = Arc::new(Host::start(&["swap"], &format!("[admin]\nstore = {store:?}\n")).await);
        host.deploy("swap", &bad).await;
        let (mut first, mut kept) = (Vec::new(), Vec::new());
        for number in 0..count {
            let schema = format!("type Subscription {{ f: Int }} # {number}");
            let endless = Handmade { describe: Act::Loop, schema: schema.into_bytes(), ..Handmade::default() }.encode();
            kept.push(store.join(format!("{}.wasm", hex::encode(Sha256::digest(&endless)))));
            let address = host.address;
            first.push(tokio::spawn(async move { deploy(address, "swap", &endless, "", &[]).await }));
        }
        let all_refused = || first.iter().all(tokio::task::JoinHandle::is_finished);
        eventually("one has arrived", || kept.iter().any(|path| path.exists()) || all_refused()).await;
        // One that comes after them.
        let second = {
            let (host, better) = (Arc::clone(&host), better.clone());
            tokio::spawn(async move { host.deploy("swap", &better).await })
        };
        let (status, report) = host.post("/admin/modules/swap/rollback", &[], b"").await;
        assert_eq!(status, 200, "{report}");
        let were_on_their_way = !all_refused() && !second.is_finished();
        let report: Value = serde_json::from_str(&report).unwrap();
        for first in first {
            let (status, refusal) = first.await.unwrap();
            assert_eq!((status, &refusal["errors"][0]["extensions"]["stage"]), (422, &json!("start")), "{refusal}");
        }
        let after = second.await.unwrap();
        assert!(kept.iter().all(|path| !path.exists()), "what was refused is not kept");
        if were_on_their_way {
            assert_eq!(report["generation"], 3, "{report}");
            assert_eq!((&after["generation"], &after["previous"]), (&json!(4), &report["digest"]), "{after}");
        }
        stop(host).await;
        if were_on_their_way {
            return;
        }
    }
    panic!("the rollback always came after the versions on their way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_waits_for_a_swap_that_is_under_way() {
    let next = guests::version(1).await;
    let module = guests::table("swap", "wall = \"60s\"").await;
    with_enough_time(async |ms| {
        let host = Arc::new(Host::start(&["swap"], &module).await);
        let mut client = Client::connect(host.address).await;
        client.subscribed("s", "subscription { slow { seq version } }").await;
        let event = |seq: u64, ms: u64| json!({"channel": "slow", "type": "slow", "data": {"seq": seq, "ms": ms}});
        host.publish(&[event(1, ms)]).await;
        let swap = {
            let (host, next) = (Arc::clone(&host), next.clone());
            tokio::spawn(async move { host.deploy("swap", &next).await })
        };
        eventually("the new version is live", || host.runtime.generation().number == 2).await;
        let back = {
            let host = Arc::clone(&host);
            tokio::spawn(async move { host.post("/admin/modules/swap/rollback", &[], b"").await })
        };
        host.publish(&[event(2, 0)]).await;
        // As long as the old version owes its answer. Looked at before the answer is looked for, so that an end of the
        // swap between the two looks is no fault.
        let mut looks = 0;
        let answered = || host.runtime.delivery().metrics().deliveries.get() > 0;
        eventually("the old version answers", || {
            let (number, is_back) = (host.runtime.generation().number, back.is_finished());
            let is_over = answered();
            if !is_over {
                assert_eq!((number, is_back), (2, false), "the rollback did not wait");
                looks += 1;
            }
            is_over
        })
        .await;
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
        // Some hundred milliseconds, in which a rollback that does not wait would be done.
        looks > 20
    })
    .await;
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
    let (published, drain) = host.runtime.delivery().switch(preparation, false).unwrap();
    host.emit("ticks", "tick", json!({"seq": 2, "id": "a"})).await;
    assert!(drain.within(PATIENCE).await);
    published.finish();
    host.emit("ticks", "tick", json!({"seq": 3, "id": "a"})).await;
    for seq in 1..=3 {
        assert_eq!(client.next("t").await, json!({"data": {"tick": {"seq": seq}}}));
    }
    drop(client);
    eventually("nothing is left behind", || host.runtime.services().registry.is_empty()).await;
    host.stop().await;
}
