//! What must not come into service: the version before serves on, and the answer says where and why it stopped.

use std::ops::Range;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use wasmparser::{Parser, Payload};

use crate::support::client::Client;
use crate::support::component::{Act, Handmade};
use crate::support::host::{Host, deploy};
use crate::support::{credential, eventually, guests};

/// The stage and the sentence of a refusal.
fn refusal(answer: &Value) -> (&str, &str) {
    let error = &answer["errors"][0];
    (error["extensions"]["stage"].as_str().unwrap_or_default(), error["message"].as_str().unwrap_or_default())
}

async fn still_serves(host: &Host, client: &mut Client, seq: u64) {
    host.emit("ticks", "tick", json!({"seq": seq, "id": "1"})).await;
    assert_eq!(client.next("t").await, json!({"data": {"tick": {"seq": seq, "version": "version-0000"}}}));
}

/// Where the instructions of a component's largest function are. With others there its shape still holds.
fn largest_function(component: &[u8]) -> Range<usize> {
    let bodies = Parser::new(0).parse_all(component).filter_map(|payload| match payload.unwrap() {
        Payload::CodeSectionEntry(body) => {
            Some(body.get_operators_reader().unwrap().original_position()..body.range().end)
        }
        _ => None,
    });
    bodies.max_by_key(Range::len).expect("a component has functions")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hold_is_refused_and_the_old_version_serves_on() {
    // The client does not read while the host compiles.
    let host = Host::start(&["swap"], "[server]\nping_interval = \"10m\"\n").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("t", "subscription { tick { seq version } }").await;
    let good = std::fs::read(guests::version(1).await).unwrap();
    let mut broken = good.clone();
    broken[largest_function(&good)].fill(0xff);
    let failing = guests::patched("swap", "bad", &[("version-0000", "version-bad!")]).await;
    let failing = guests::compiled(failing).await;
    let failing = std::fs::read(failing).unwrap();
    let traps = Handmade { start: Act::Trap, ..Handmade::default() }.encode();
    let wants = Handmade { capabilities: vec!["fetch".to_owned()], ..Handmade::default() }.encode();
    let cases: [(&str, &[u8], u16, &str, &str); 8] = [
        ("text", b"print('hello')", 422, "verify", "not a WebAssembly component"),
        ("a core module", b"\0asm\x01\0\0\0", 422, "verify", "core WebAssembly module"),
        ("another world", b"\0asm\x0d\0\x01\0", 422, "verify", "not of resolvers"),
        ("half a component", &good[..good.len() / 2], 422, "verify", "damaged"),
        ("code that is not valid", &broken, 422, "compile", "illegal opcode"),
        ("a trap at its start", &traps, 422, "start", "unreachable"),
        ("a capability that is not granted", &wants, 403, "verify", "`fetch` of [[module]] swap"),
        ("an example that fails", &failing, 422, "self-test", "Subscription.tested fails for its own example"),
    ];
    for (number, (what, component, expected, stage, sentence)) in (1..).zip(cases) {
        let (status, answer) = deploy(host.address, "swap", component, "", &[]).await;
        assert_eq!(status, expected, "{what}: {answer}");
        let (found, message) = refusal(&answer);
        assert!(found.starts_with(stage) && message.contains(sentence), "{what}: {answer}");
        still_serves(&host, &mut client, number).await;
    }
    assert_eq!(host.runtime.generation().number, 1);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_off_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let host = Host::start(&["swap"], &format!("[admin]\nstore = \"{}\"\n", store.display())).await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("t", "subscription { tick { seq version } }").await;
    let component = std::fs::read(guests::version(1).await).unwrap();
    let head = format!(
        "PUT /admin/modules/swap HTTP/1.1\r\nhost: {}\r\ncontent-type: application/wasm\r\n{}content-length: {}\r\n\r\n",
        host.address,
        credential::line(host.address),
        component.len()
    );
    let left = || -> Vec<String> {
        let entries = std::fs::read_dir(&store).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| name != "lock").collect()
    };
    for part in [0, 1000, component.len() - 1] {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&component[..part]).await.unwrap();
        eventually("the upload has begun", || left().len() == 1).await;
        drop(stream);
        eventually("nothing is left of the upload", || left().is_empty()).await;
    }
    still_serves(&host, &mut client, 1).await;
    assert_eq!(host.runtime.generation().number, 1);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_room_for_one_more_instance_serves_the_old_version() {
    let next = guests::version(1).await;
    let host = Host::start(&["swap"], "[sandbox]\ninstances = 1\n").await;
    let mut client = Client::connect(host.address).await;
    client.subscribed("t", "subscription { tick { seq version } }").await;
    for seq in 1..3 {
        let (status, answer) = host.put("swap", &next, "").await;
        assert_eq!(status, 503, "{answer}");
        assert!(refusal(&answer).1.contains("raise [sandbox] instances"), "{answer}");
        still_serves(&host, &mut client, seq).await;
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shows_more_than_before_needs_a_word() {
    let host = Host::start(&["swap"], "").await;
    let wider = guests::patched("swap", "wider", &[("event.data.seq >= 1000", "event.data.seq >=  999")]).await;
    let wider = guests::compiled(wider).await;
    let (status, answer) = host.put("swap", &wider, "").await;
    assert_eq!((status, &answer["errors"][0]["extensions"]["code"]), (409, &json!("WIDENS_ACCESS")), "{answer}");
    let (_, message) = refusal(&answer);
    assert!(message.contains("Subscription.guarded") && message.contains("--allow-widening"), "{message}");
    let (status, report) = host.put("swap", &wider, "?allow_widening=true").await;
    assert_eq!(status, 200, "{report}");
    assert!(report["widened"][0].as_str().unwrap().contains("event.data.seq >= 1000"), "{report}");
    // Recorded with the version.
    let (_, modules) = host.get("/admin/modules/swap").await;
    let modules: Value = serde_json::from_str(&modules).unwrap();
    assert_eq!(modules["versions"][1]["widened"], report["widened"], "{modules}");
    // A directive that is gone, too, although the type has another name now.
    let component = |schema: &str| {
        let schema = format!("directive @staff on FIELD_DEFINITION type Subscription {{ f: {schema} }}");
        Handmade { schema: schema.into_bytes(), ..Handmade::default() }.encode()
    };
    let (guarded, open) = (component("User } type User { id: ID @staff"), component("Person } type Person { id: ID"));
    assert_eq!(deploy(host.address, "handmade", &guarded, "", &[]).await.0, 200);
    let (status, answer) = deploy(host.address, "handmade", &open, "", &[]).await;
    assert_eq!((status, &answer["errors"][0]["extensions"]["code"]), (409, &json!("WIDENS_ACCESS")), "{answer}");
    assert!(refusal(&answer).1.contains("User.id: @staff is removed or changed"), "{answer}");
    assert_eq!(deploy(host.address, "handmade", &open, "?allow_widening=true", &[]).await.0, 200);
    assert_eq!(deploy(host.address, "handmade", &guarded, "", &[]).await.0, 200, "the narrower way needs no word");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_listens_only_where_it_may() {
    let swap = guests::compiled(guests::built("swap").await).await;
    let grant = "[[module]]\nname = \"extra\"\nchannels = [\"ticks\", \"te*\"]\n";
    let host = Host::start(&["engine"], grant).await;
    let (status, answer) = host.put("extra", &swap, "").await;
    assert_eq!(status, 403, "{answer}");
    let (stage, message) = refusal(&answer);
    assert_eq!(stage, "verify");
    assert!(message.contains("Subscription.slow listens to `slow`") && message.contains("`channels`"), "{message}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_signed_modules_come_in_where_keys_are_configured() {
    let folder = tempfile::tempdir().unwrap();
    let subcast = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_subcast")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let key = folder.path().join("key.pem");
    let key = key.to_str().unwrap();
    let public = subcast(&["sign", "--key", key]);
    let sign = |component: &std::path::Path| {
        let copy = folder.path().join(component.file_name().unwrap());
        std::fs::copy(component, &copy).unwrap();
        subcast(&["sign", copy.to_str().unwrap(), "--key", key]);
        copy
    };
    let signed = sign(&guests::built("swap").await);
    let config = format!(
        "[admin]\ntrusted_keys = [\"{public}\"]\n[[module]]\nname = \"swap\"\npath = \"{}\"\n",
        signed.display()
    );
    let host = Host::start(&[], &config).await;
    let next = sign(&guests::version(1).await);
    let component = std::fs::read(&next).unwrap();
    let signature = std::fs::read_to_string(format!("{}.sig", next.display())).unwrap();
    let other = std::fs::read_to_string(format!("{}.sig", signed.display())).unwrap();
    for (headers, sentence) in
        [(vec![], "not signed"), (vec![("subcast-signature", other.trim())], "of none of the keys")]
    {
        let (status, answer) = deploy(host.address, "swap", &component, "", &headers).await;
        assert_eq!(status, 403, "{answer}");
        assert!(refusal(&answer).1.contains(sentence), "{answer}");
    }
    let (status, report) =
        deploy(host.address, "swap", &component, "", &[("subcast-signature", signature.trim())]).await;
    assert_eq!(status, 200, "{report}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_routes_want_what_they_say() {
    let host = Host::start(&["swap"], "").await;
    let component = b"\0asm";
    let put = async |path: &str, headers: &[(&str, &str)]| {
        crate::support::host::request(host.address, "PUT", path, headers, component).await
    };
    let wasm = ("content-type", "application/wasm");
    assert_eq!(put("/admin/modules/swap", &[]).await.0, 415);
    assert_eq!(put("/admin/modules/swap", &[wasm, ("origin", "https://evil.example")]).await.0, 403);
    assert_eq!(put("/admin/modules/swap", &[wasm, ("authorization", "")]).await.0, 401);
    assert_eq!(put("/admin/modules/swap", &[wasm, ("authorization", "Bearer 0123456789abcdef")]).await.0, 401);
    assert_eq!(put("/admin/modules/swap?forse=true", &[wasm]).await.0, 400);
    for name in ["..%2Fx", ".hidden", "a%20b", &"a".repeat(65)] {
        let (status, body) = put(&format!("/admin/modules/{name}"), &[wasm]).await;
        assert_eq!(status, 400, "{name}: {body}");
    }
    assert_eq!(put("/admin/modules", &[wasm]).await.0, 405);
    assert_eq!(host.post("/admin/modules/nobody/rollback", &[], b"").await.0, 404);
    assert_eq!(host.post("/admin/modules/swap/rollback", &[], b"").await.0, 409);
    for to in ["1234567", "../../etc", "1234567%26", "ABCDEF12"] {
        let (status, body) = host.post(&format!("/admin/modules/swap/rollback?to={to}"), &[], b"").await;
        assert_eq!(status, 400, "{to}: {body}");
    }
    assert_eq!(host.post("/admin/modules/swap/rollback?to=abcdef12", &[], b"").await.0, 409);
    assert_eq!(put("/admin/modules/swap?to=12345678", &[wasm]).await.0, 400);
    assert_eq!(host.get("/admin/modules/nobody").await.0, 404);
    let (status, body) = host.get("/admin/modules").await;
    let modules: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &modules["modules"][0]["name"], &modules["generation"]), (200, &json!("swap"), &json!(1)));
    host.stop().await;
}
