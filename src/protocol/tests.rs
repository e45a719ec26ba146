//! What the protocols share.

use super::nesting::deeper_than;
use super::{CloseCode, CloseReason, FramePrefix, Subprotocol, negotiate, next_frame};
use crate::ids::OperationId;

#[test]
fn graphql_transport_ws_wins_wherever_it_is_offered() {
    for offered in ["graphql-transport-ws", "graphql-ws, graphql-transport-ws", "a,graphql-transport-ws ,b"] {
        assert_eq!(negotiate(offered), Some(Subprotocol::GraphqlTransportWs), "{offered}");
    }
}

#[test]
fn other_subprotocols_are_not_served() {
    for offered in ["", "graphql-ws", "graphql-transport-ws2", "GraphQL-Transport-WS", "graphql transport ws", ",,,"] {
        assert_eq!(negotiate(offered), None, "{offered}");
    }
}

#[test]
fn a_close_reason_is_cut_at_the_last_character_that_fits() {
    assert_eq!(CloseReason::new("Forbidden").as_str(), "Forbidden");
    assert_eq!(CloseReason::new(&"a".repeat(123)).as_str().len(), 123);
    assert_eq!(CloseReason::new(&"a".repeat(124)).as_str().len(), 123);
    // 31 characters of 4 bytes are 124 bytes.
    assert_eq!(CloseReason::new(&"😀".repeat(31)).as_str(), "😀".repeat(30));
}

#[test]
fn close_codes_have_their_numbers() {
    assert_eq!(CloseCode::ServiceRestart.as_u16(), 1012);
    assert_eq!(u16::from(CloseCode::SubscriberAlreadyExists), 4409);
    assert_eq!(CloseCode::Forbidden.to_string(), "4403");
}

#[test]
fn a_next_frame_escapes_the_id_and_keeps_the_payload() {
    let id = OperationId::new("a\"\\\n\u{7}é");
    let frame = next_frame(&id, r#"{"data": {"x":1.50}}"#);
    assert_eq!(frame, "{\"id\":\"a\\\"\\\\\\n\\u0007é\",\"type\":\"next\",\"payload\":{\"data\": {\"x\":1.50}}}");
    assert_eq!(FramePrefix::new(&id).frame(r#"{"data": {"x":1.50}}"#), frame);
    let parsed: serde_json::Value = serde_json::from_str(&frame).unwrap();
    assert_eq!(parsed["id"], id.as_str());
}

#[test]
fn nesting_counts_arrays_and_objects_outside_strings() {
    assert!(!deeper_than("1", 0));
    assert!(deeper_than("[]", 0));
    assert!(!deeper_than(r#"[{"a":[]}]"#, 3));
    assert!(deeper_than(r#"[{"a":[]}]"#, 2));
    assert!(!deeper_than("[[],[],[]]", 2));
    assert!(!deeper_than(r#"["[[[[\"[[[[\\",{}]"#, 2));
    assert!(!deeper_than("]]]]\"\\", 0));
}
