//! Who may meet in one instance: secrets that one call leaves behind, and what others find of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use subcast::outcome::Outcome;
use subcast::sandbox::{Isolation, Limits};
use tokio::time::timeout;

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::guests;
use crate::support::host::Host;
use crate::support::sandbox::{Bench, answer, limits, value};

/// One more than there are instances, and two that are easily taken for none.
const TENANTS: [Option<&str>; 5] = [Some("a"), None, Some("b"), Some(""), Some("None")];

/// What each tenant found, over many rounds: first all at once, then one by one.
async fn found(isolation: Isolation) -> Vec<(usize, Value)> {
    let limits = Limits { isolation, instances: 3, ..limits() };
    let bench = Bench::start("isolation", 2, limits).await;
    let mut found = Vec::new();
    for round in 0..40 {
        // The number gives each tenant a recursion limit of its own, a trace that is no text.
        let jobs: Vec<_> = (0..TENANTS.len())
            .map(|nth| {
                // In a different order each time, so that no instance sees the same neighbours again.
                let tenant = (nth * (1 + round % 4) + round) % TENANTS.len();
                (tenant, bench.submit("keeps", &json!({"seq": tenant}), &[TENANTS[tenant]; 2]))
            })
            .collect();
        for (tenant, job) in jobs {
            found.extend(answer(job).await.iter().map(|outcome| (tenant, value(outcome))));
        }
    }
    bench.sandbox.shutdown().await;
    found
}

/// Traces that are not the tenant's own.
fn foreign(tenant: usize, found: &Value) -> Vec<String> {
    let own = [format!("secret-{}-{tenant}", TENANTS[tenant].unwrap_or("None")), (500 + tenant).to_string()];
    let traces: Vec<String> = serde_json::from_value(found["traces"].clone()).unwrap();
    let foreign = |trace: &String| {
        let mut rest = trace.split_once(": ").unwrap().1.to_owned();
        for own in &own {
            rest = rest.replace(own, "");
        }
        rest.chars().any(|left| left.is_ascii_alphanumeric())
    };
    traces.into_iter().filter(foreign).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_shared_isolation_calls_find_what_others_left() {
    let found = found(Isolation::Shared).await;
    let places: std::collections::BTreeSet<String> = found
        .iter()
        .flat_map(|(tenant, found)| foreign(*tenant, found))
        .map(|trace| trace.split_once(": ").unwrap().0.to_owned())
        .collect();
    // Each of them: so that the other tests look where there is something to be found.
    assert_eq!(places.len(), 19, "{places:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_per_tenant_isolation_nobody_finds_anything_of_another_tenant() {
    let found = found(Isolation::PerTenant).await;
    for (tenant, found) in &found {
        assert_eq!(foreign(*tenant, found), Vec::<String>::new(), "{:?}", TENANTS[*tenant]);
    }
    assert!(found.iter().any(|(_, found)| found["calls"].as_u64() > Some(1)), "no instance was ever used twice");
    assert!(found.iter().any(|(_, found)| found["traces"] != json!([])), "nobody found anything of their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_per_call_isolation_every_call_is_the_first() {
    for (tenant, found) in found(Isolation::PerCall).await {
        assert_eq!(found, json!({"traces": [], "calls": 1}), "{:?}", TENANTS[tenant]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_calls_nothing_of_what_the_host_handed_over_stays_behind() {
    let limits = Limits {
        instances: 1,
        cpu: Duration::from_secs(20),
        wall: Duration::from_mins(1),
        memory: 256 << 20,
        ..limits()
    };
    let bench = Bench::start("isolation", 1, limits).await;
    let ways = [
        "returns",
        "raises",
        "raises for the client",
        "leaves a task",
        "leaves a timer",
        "waits for ever",
        "makes a circle",
        "logs",
    ];
    let search = async |number: usize| {
        let secret = format!("secret-of-search{number}");
        let data = json!({"secret": format!("{secret}data")});
        value(&answer(bench.submit("searches", &data, &[Some(&secret)])).await[0])["traces"].clone()
    };
    for (number, way) in ways.into_iter().enumerate() {
        let data =
            json!({"way": way, "secret": format!("secret-of-event{number}"), format!("secret-of-key{number}"): 1});
        // Two principals in one batch: the second is not to find the first either.
        let tenants = [format!("secret-of-a{number}"), format!("secret-of-b{number}")];
        answer(bench.submit("uses", &data, &[Some(&tenants[0]), Some(&tenants[1])])).await;
        assert_eq!(search(number).await, json!([]), "{way}");
    }
    // One instance for all of it, and a search that finds what a resolver itself has kept.
    let data = json!({"way": "keeps", "secret": "secret-of-event"});
    answer(bench.submit("uses", &data, &[Some("secret-of-tenant")])).await;
    assert_eq!(search(ways.len()).await, json!(["secret-of-event", "secret-of-tenant"]));
    assert_eq!((bench.metric("instances_started_total", ""), bench.metric("calls_stopped_total", "")), (1, 0));
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_tenant_does_not_starve_another() {
    let limits = Limits { isolation: Isolation::PerTenant, instances: 1, ..limits() };
    let bench = Bench::start("isolation", 1, limits).await;
    let flood: Vec<_> = (0..30_000).map(|_| bench.submit("counts", &json!({}), &[Some("flood")])).collect();
    for _ in 0..3 {
        let quiet = answer(bench.submit("counts", &json!({}), &[Some("quiet")])).await;
        // From a fresh instance, or from the one before, if that had not been taken back yet.
        assert!(value(&quiet[0])["seq"].as_u64() <= Some(3), "{quiet:?}");
    }
    // Whoever has to wait for the flood is answered at its end.
    let waiting = bench.sandbox.metrics().waiting.get();
    assert!(waiting > 1_000, "{waiting} of the flood still wait");
    for job in flood {
        assert!(value(&answer(job).await[0])["seq"].as_u64() > Some(0));
    }
    let replaced = bench.metric("instances_retired_total", "tenant");
    assert!((1..=20).contains(&replaced), "{replaced}");
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_call_takes_long_does_not_hold_back_the_answers_of_others() {
    let wall = Duration::from_mins(1);
    let limits = Limits { isolation: Isolation::PerTenant, instances: 2, wall, ..Limits::default() };
    let bench = Bench::start("isolation", 2, limits).await;
    let tenants = [Some("a"), Some("slow"), Some("b"), Some("c"), Some("slow")];
    let mut parts = bench.parts("dawdles", &json!({"seq": 1, "seconds": {"slow": 4}}), &tenants);
    let mut order = Vec::new();
    while let Some(part) = timeout(PATIENCE, parts.recv()).await.expect("all parts in time") {
        for (place, outcome) in part {
            assert_eq!(value(&outcome)["seq"], 1);
            order.push(place);
        }
    }
    order[..3].sort_unstable();
    assert_eq!(order, [0, 2, 3, 1, 4], "the slow tenant's come last");
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_waited_too_long_is_told_so_while_every_instance_is_busy() {
    for isolation in [Isolation::Shared, Isolation::PerTenant] {
        let (wall, patience) = (Duration::from_mins(1), Duration::from_millis(300));
        let limits = Limits { isolation, instances: 1, wall, patience, ..Limits::default() };
        let bench = Bench::start("isolation", 1, limits).await;
        let data = json!({"seq": 1, "seconds": {"slow": 5}});
        let slow = bench.submit("dawdles", &data, &[Some("slow")]);
        let quick: Vec<_> = (0..40).map(|_| bench.submit("dawdles", &data, &[Some("quick")])).collect();
        for job in quick {
            let Outcome::Failed(failure) = &answer(job).await[0] else { panic!("it had no instance") };
            assert_eq!(failure.code.as_deref(), Some("OVERLOADED"), "{failure:?}");
        }
        assert_eq!(bench.metric("invocations_shed_total", ""), 40);
        assert_eq!(value(&answer(slow).await[0])["seq"], 1, "{isolation:?}: it was still being worked on");
        bench.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_are_told_when_all_that_they_wait_for_has_expired() {
    let (wall, patience) = (Duration::from_mins(1), Duration::from_millis(100));
    let limits = Limits { instances: 1, wall, patience, ..Limits::default() };
    let bench = Bench::start("isolation", 1, limits).await;
    let slow = bench.submit("dawdles", &json!({"seq": 1, "seconds": {"slow": 5}}), &[Some("slow")]);
    let waiting = bench.submit("dawdles", &json!({"seq": 1, "seconds": {}}), &vec![None; 2_000]);
    let began = Instant::now();
    bench.sandbox.ready(&[Arc::clone(&bench.module)]).await;
    // They wait for two seconds at most, whatever happens.
    assert!(began.elapsed() < Duration::from_millis(1_700), "{:?}", began.elapsed());
    assert!(answer(waiting).await.iter().all(|outcome| matches!(outcome, Outcome::Failed(_))));
    assert_eq!(value(&answer(slow).await[0])["seq"], 1);
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tenants_than_instances_are_all_served() {
    const TENANTS: usize = 300;
    let limits = Limits { isolation: Isolation::PerTenant, instances: 2, ..limits() };
    let bench = Bench::start("isolation", 2, limits).await;
    let names: Vec<String> = (0..TENANTS).map(|number| number.to_string()).collect();
    let all: Vec<_> = names.iter().map(|name| Some(name.as_str())).collect();
    // One job for all of them: it comes back whole, in its order.
    let outcomes = answer(bench.submit("keeps", &json!({"seq": 1}), &all)).await;
    assert_eq!(outcomes.len(), TENANTS);
    for outcome in &outcomes {
        assert_eq!(value(outcome), json!({"traces": [], "calls": 1}));
    }
    assert!(bench.metric("instances", "") <= 2);
    bench.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instance_that_was_used_least_recently_is_recycled() {
    let limits = Limits { isolation: Isolation::PerTenant, instances: 2, ..limits() };
    let steps = [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("a", 3), ("b", 1), ("a", 4), ("c", 1)];
    let mut wrong = Vec::new();
    // An instance has been used when it waits for work again, which is some time after its answer.
    for pause in [50, 200, 800, 3_200].map(Duration::from_millis) {
        let bench = Bench::start("isolation", 2, limits).await;
        wrong.clear();
        for (step, (tenant, calls)) in steps.into_iter().enumerate() {
            let outcomes = answer(bench.submit("keeps", &json!({"seq": 1}), &[Some(tenant)])).await;
            let counted = value(&outcomes[0])["calls"].clone();
            if counted != calls {
                wrong.push(format!("step {step}, tenant {tenant}: call {counted}"));
            }
            tokio::time::sleep(pause).await;
        }
        bench.sandbox.shutdown().await;
        if wrong.is_empty() {
            return;
        }
    }
    panic!("{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_of_tokens_do_not_share_an_invocation_under_per_tenant_isolation() {
    let secret = "a secret of at least 32 bytes .....";
    let jwt = "[auth]\njwt = { algorithms = [\"HS256\"], secret_env = \"SUBCAST_TEST_SECRET\" }\n";
    let path = guests::built("isolation").await;
    let module =
        format!("[[module]]\nname = \"isolation\"\npath = \"{}\"\nisolation = \"per-tenant\"\n", path.display());
    let host = Host::start_with_secret(&["isolation"], &format!("{jwt}{module}"), secret).await;
    let token = |claims: Value| {
        let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
        json!({"authorization": format!("Bearer {token}")})
    };
    let mut clients = Vec::new();
    // Two of one tenant, another one, a number that is spelt like a text, and two that are one double.
    let numbers = ["9007199254740992", "9007199254740993"].map(|digits| serde_json::from_str(digits).unwrap());
    for tenant in [json!("a"), json!("a"), json!("b"), json!(7), json!("7")].into_iter().chain(numbers) {
        let payload = token(json!({"sub": "s", "tenant_id": tenant, "exp": 4_000_000_000_u64}));
        let mut client = Client::connect_with(host.address, payload).await;
        client.subscribed("f", "subscription { finds { traces calls } }").await;
        clients.push(client);
    }
    for round in 1..=3 {
        host.emit("secrets", "visit", json!({"seq": 1})).await;
        for client in &mut clients {
            let found = client.next("f").await["data"]["finds"].clone();
            // However often instances are replaced, none has served more than this tenant's events.
            assert!(found["calls"].as_u64() <= Some(round), "{found}");
        }
        // a, b, 7, "7", and the two numbers beyond 2⁵³.
        assert_eq!(host.runtime.delivery().metrics().invocations.get(), 6 * round);
    }
    drop(clients);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_a_tenant_subscribes_where_tenants_are_isolated() {
    let secret = "a secret of at least 32 bytes .....";
    let jwt = "[auth]\njwt = { algorithms = [\"HS256\"], secret_env = \"SUBCAST_TEST_SECRET\" }\n";
    let path = guests::built("isolation").await;
    let module =
        format!("[[module]]\nname = \"isolation\"\npath = \"{}\"\nisolation = \"per-tenant\"\n", path.display());
    let host = Host::start_with_secret(&["isolation"], &format!("{jwt}{module}"), secret).await;
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let mut payloads = vec![json!({})];
    let claims = ["null", "[\"a\"]", "{\"id\":1}", "true", "1.0", "1e2"].map(|claim| format!(",\"tenant_id\":{claim}"));
    for claim in claims.iter().map(String::as_str).chain([""]) {
        let claims: Value = serde_json::from_str(&format!("{{\"sub\":\"s\",\"exp\":4000000000{claim}}}")).unwrap();
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
        payloads.push(json!({"authorization": format!("Bearer {token}")}));
    }
    for payload in payloads {
        let mut client = Client::connect_with(host.address, payload.clone()).await;
        client.subscribe("f", "subscription { finds { traces calls } }").await;
        let said = client.message().await;
        assert_eq!((&said["type"], &said["id"]), (&json!("error"), &json!("f")), "{payload}: {said}");
        let message = said["payload"][0]["message"].as_str().unwrap();
        assert!(message.contains("Subscription.finds") && message.contains("names no tenant"), "{message}");
    }
    assert_eq!(host.subscriptions(), 0);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_quick_under_any_isolation() {
    for isolation in [Isolation::Shared, Isolation::PerTenant, Isolation::PerCall] {
        let limits = Limits { isolation, ..limits() };
        let bench = Bench::start("isolation", 2, limits).await;
        let mut times = Vec::new();
        for _ in 0..200 {
            let began = Instant::now();
            assert!(value(&bench.ask("counts", json!({})).await)["seq"].as_u64() > Some(0));
            times.push(began.elapsed());
        }
        times.sort();
        // Generous, for busy machines: they take less than 5 ms on a quiet one. One call after the other is the worst case
        // for fresh instances: the next is warmed meanwhile.
        assert!(times[100] < Duration::from_millis(250), "{isolation:?}: {:?}", times[100]);
        bench.sandbox.shutdown().await;
    }
}
