//! Numbers that no double holds, all the way from publishers and tokens to subscribers.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::host::Host;

const IDS: [&str; 12] = [
    "-18446744073709551617",
    "-9223372036854775809",
    "-9007199254740993",
    "0",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551617",
    "1234567890123456789012345678901234567890",
    "1234567890123456789012345678901234567891",
];

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_a_number_as_its_id_reaches_the_subscriber_with_its_digits_and_no_other() {
    let host = Host::start(&["engine"], "").await;
    let mut client = Client::connect(host.address).await;
    for id in IDS {
        // As text, as a literal number, and as a number in the variables.
        client
            .subscribed(&format!("text {id}"), &format!("subscription {{ userUpdated(id: \"{id}\") {{ id }} }}"))
            .await;
        client
            .subscribed(&format!("literal {id}"), &format!("subscription {{ userUpdated(id: {id}) {{ id }} }}"))
            .await;
        let request =
            json!({"query": "subscription($id: ID) { userUpdated(id: $id) { id } }", "variables": {"id": read(id)}});
        client.send(json!({"id": format!("variable {id}"), "type": "subscribe", "payload": request})).await;
        client.barrier().await;
    }
    for id in IDS {
        let shifted = if id == "0" { "0e5".to_owned() } else { format!("{id}0e-1") };
        for spelling in [id.to_owned(), format!("\"{id}\""), format!("{id}.0"), shifted] {
            host.emit("users", "userUpdated", read(&format!("{{\"id\":{spelling},\"name\":\"x\"}}"))).await;
            let mut heard = Vec::new();
            for _ in 0..3 {
                let message = client.message().await;
                let data = message["payload"]["data"]["userUpdated"].clone();
                heard.push(message["id"].as_str().unwrap().to_owned());
                // Python reads what has a fraction as a double, and the resolver returns that.
                if !spelling.contains('.') && !spelling.contains('e') {
                    assert_eq!(data, json!({"id": id}), "{spelling}");
                }
            }
            heard.sort();
            assert_eq!(heard, ["literal", "text", "variable"].map(|kind| format!("{kind} {id}")), "{spelling}");
        }
    }
    client.barrier().await;
    drop(client);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resolvers_see_claims_with_all_their_digits() {
    let secret = "a secret of at least 32 bytes .....";
    let jwt = "[auth]\njwt = { algorithms = [\"HS256\"], secret_env = \"SUBCAST_TEST_SECRET\" }\n";
    let host = Host::start_with_secret(&["engine"], jwt, secret).await;
    let claims = read("{\"sub\":\"a\",\"exp\":4000000000,\"account\":18446744073709551617}");
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let mut client = Client::connect_with(host.address, json!({"authorization": format!("Bearer {token}")})).await;
    client.subscribed("m", "subscription { mine { claims } }").await;
    host.emit("mine", "mine", json!({})).await;
    assert_eq!(client.next("m").await["data"]["mine"]["claims"], claims);
    drop(client);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_beyond_every_double_are_refused_at_the_door_and_long_ones_pass() {
    let host = Host::start(&["engine"], "").await;
    let publish = async |number: &str| {
        let event = format!("{{\"channel\":\"any\",\"type\":\"t\",\"data\":{{\"n\":{number}}}}}");
        host.post("/events", &[("content-type", "application/json")], event.as_bytes()).await
    };
    for number in ["1e400", "-1e309", "1e1000000000", "1e99999999999999999999999"] {
        let (status, body) = publish(number).await;
        assert_eq!(status, 400, "{number}: {body}");
        assert!(body.contains("number out of range"), "{body}");
    }
    let long = "9".repeat(5_000);
    for number in [long.as_str(), "1e-400", "-0", "1E+2", "0.1000000000000000055511151231257827"] {
        assert_eq!(publish(number).await.0, 202, "{number}");
    }
    host.stop().await;
}
