//! A resolver completes, and its subscribers leave in their own time: nobody else goes with them.

use std::time::Instant;

use serde_json::json;
use subcast::session::Session;

use crate::support::client::Client;
use crate::support::component::{Act, Field, Handmade};
use crate::support::eventually;
use crate::support::host::Host;

/// Each event is for the cohorts whose `n` it reaches within five; all cohorts stand in one bucket of the index, since nothing
/// is an equality. Every answer is the last.
fn completing() -> Handmade {
    let predicate = Some("event.data.n <= args.n && event.data.n > args.n - 5".to_owned());
    Handmade {
        schema: b"type Subscription { f(n: Int!): Int }".to_vec(),
        fields: vec![Field { predicate, ..Field::named("f") }],
        resolve: Act::Answer(br#"[{"last":7}]"#.to_vec()),
        ..Handmade::default()
    }
}

const FAR: &str = "subscription { f(n: 9) }";
const NEAR: &str = "subscription { f(n: 1) }";

async fn hears_the_last(client: &mut Client) {
    assert_eq!(client.next("a").await, json!({"data": {"f": 7}}));
    assert_eq!(client.message().await, json!({"id": "a", "type": "complete"}));
    // The session has left by then.
    client.barrier().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_late_after_a_completion_takes_nobody_out_of_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("completing.wasm");
    std::fs::write(&component, completing().encode()).unwrap();
    let module = format!("[[module]]\nname = \"completing\"\npath = \"{}\"\n", component.display());
    let host = Host::start(&[], &module).await;
    let event = |n: u32| json!({"n": n});
    for neighbour_goes in [false, true] {
        let mut neighbour = Client::connect(host.address).await;
        if neighbour_goes {
            neighbour.subscribed("a", NEAR).await;
        }
        // Its client does not read: nothing of its outbox is taken, until it is gone.
        let mut late = Session::new(host.runtime.services().clone(), Vec::new(), Instant::now());
        late.handle_text(r#"{"type":"connection_init"}"#, Instant::now());
        let subscribe = json!({"id": "a", "type": "subscribe", "payload": {"query": FAR}}).to_string();
        late.handle_text(&subscribe, Instant::now());
        let mut early = Client::connect(host.address).await;
        early.subscribed("a", FAR).await;
        if !neighbour_goes {
            neighbour.subscribed("a", NEAR).await;
        }
        assert_eq!(host.subscriptions(), 3);

        host.emit("c", "e", event(5)).await;
        hears_the_last(&mut early).await;
        if neighbour_goes {
            host.emit("c", "e", event(0)).await;
            hears_the_last(&mut neighbour).await;
        }
        let mut again = Client::connect(host.address).await;
        again.subscribed("a", FAR).await;
        drop(late);
        assert_eq!(host.subscriptions(), if neighbour_goes { 1 } else { 2 });
        if !neighbour_goes {
            host.emit("c", "e", event(0)).await;
            hears_the_last(&mut neighbour).await;
        }
        host.emit("c", "e", event(5)).await;
        hears_the_last(&mut again).await;
    }
    eventually("nothing is left", || host.runtime.services().registry.is_empty()).await;
    host.stop().await;
}
