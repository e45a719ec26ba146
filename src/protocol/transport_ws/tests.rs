//! Every rule of the protocol and every failure seen in other servers, as a transcript; then what transcripts cannot say.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::transcript::play;
use super::{Config, Connection};
use crate::ids::OperationId;
use crate::protocol::{CloseCode, Output};

/// One test for each file in `transcripts/`.
macro_rules! transcripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                play(include_str!(concat!("transcripts/", stringify!($name), ".txt")));
            }
        )*
        const TRANSCRIPTS: &[&str] = &[$(stringify!($name)),*];
    };
}

transcripts! {
    a_binary_message_closes_with_4400
    a_client_complete_during_preparation_cancels_silently
    a_client_complete_for_an_unknown_id_is_ignored
    a_client_complete_is_not_echoed_and_nothing_follows
    a_client_is_pinged_while_it_is_authenticated
    a_duplicate_id_closes_with_4409
    a_duplicate_id_is_4409_even_at_the_limit
    a_duplicate_id_while_preparing_closes_with_4409
    a_failed_event_leaves_the_subscription_alive
    a_long_id_is_cut_in_the_close_reason
    a_malformed_complete_closes_with_4400
    a_malformed_message_before_init_closes_with_4400
    a_malformed_subscribe_closes_with_4400
    a_message_that_only_servers_send_closes_with_4400
    a_payload_that_is_no_object_closes_with_4400
    a_ping_is_answered_with_its_payload
    a_ping_with_a_token_is_answered_without_it
    a_pong_gets_no_answer
    a_pong_keeps_the_connection_alive
    a_query_gets_one_result_and_a_complete
    a_rejected_init_closes_with_4403
    a_second_init_closes_with_4429
    a_second_init_while_the_first_is_pending_closes_with_4429
    a_silent_client_is_pinged_after_12_s_and_gone_after_12_more
    a_slow_consumer_is_closed_with_1013
    a_subscription_from_init_to_complete
    a_token_in_a_ping_before_the_ack_is_ignored
    accept_without_a_pending_init_does_nothing
    an_error_ends_the_operation_without_a_complete
    an_expired_principal_closes_with_4403
    an_id_is_free_after_an_error
    an_id_is_free_after_the_client_completed_it
    an_id_is_free_after_the_server_completed_it
    an_id_of_257_bytes_closes_with_4400
    an_init_payload_may_be_null_or_absent
    any_message_is_a_sign_of_life
    deep_variables_refuse_one_operation_and_keep_the_socket
    drain_closes_with_1012
    escapes_in_type_and_id_are_read_and_written
    hostile_nesting_closes_with_4400
    messages_before_init_do_not_extend_the_init_timeout
    no_init_in_time_closes_with_4408
    nothing_but_pong_is_sent_before_the_ack
    nothing_is_sent_for_an_operation_that_has_not_started
    operations_interleave_and_end_one_by_one
    positions_travel_in_a_protocol_ping
    slow_authentication_is_not_an_init_timeout
    something_else_called_authorization_is_echoed
    subscribe_before_ack_closes_with_4401
    subscribe_before_init_closes_with_4401
    text_that_is_no_message_closes_with_4400
    the_first_close_is_the_only_one
    too_many_operations_refuse_one_and_keep_the_socket
    unknown_members_of_a_message_are_ignored
}

#[test]
fn every_transcript_is_played() {
    let folder = Path::new(file!()).parent().unwrap().join("transcripts");
    let files = std::fs::read_dir(folder).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(files, TRANSCRIPTS.iter().map(|&name| name.to_owned()).collect());
}

fn acknowledged(now: Instant) -> Connection {
    let mut connection = Connection::new(Arc::default(), now);
    connection.handle_text(r#"{"type":"connection_init"}"#, now);
    connection.accept();
    while connection.poll_output().is_some() {}
    connection
}

fn subscribe(connection: &mut Connection, id: &str, now: Instant) {
    let text = serde_json::json!({ "type": "subscribe", "id": id, "payload": { "query": "subscription { a }" } });
    connection.handle_text(&text.to_string(), now);
}

#[test]
fn the_state_is_acknowledged_before_the_ack_is_taken() {
    let now = Instant::now();
    let mut connection = Connection::new(Arc::default(), now);
    connection.handle_text(r#"{"type":"connection_init"}"#, now);
    connection.accept();
    subscribe(&mut connection, "1", now);
    assert!(matches!(connection.poll_output(), Some(Output::Authenticate { .. })));
    assert_eq!(connection.poll_output(), Some(Output::Send(r#"{"type":"connection_ack"}"#.to_owned())));
    assert!(matches!(connection.poll_output(), Some(Output::Subscribe { .. })));
}

#[test]
fn an_id_is_free_before_its_last_message_is_taken() {
    let now = Instant::now();
    let mut connection = acknowledged(now);
    let id = OperationId::new("1");
    subscribe(&mut connection, "1", now);
    assert!(connection.start(&id));
    connection.complete(&id);
    assert!(!connection.is_active(&id));
    subscribe(&mut connection, "1", now);
    while let Some(output) = connection.poll_output() {
        assert!(!matches!(output, Output::Close { .. }), "{output:?}");
    }
    assert!(connection.start(&id));
}

#[test]
fn a_close_overtakes_everything_but_messages() {
    let now = Instant::now();
    let mut connection = acknowledged(now);
    subscribe(&mut connection, "1", now);
    connection.handle_text(r#"{"type":"ping"}"#, now);
    subscribe(&mut connection, "1", now);
    assert_eq!(connection.poll_output(), Some(Output::Send(r#"{"type":"pong"}"#.to_owned())));
    assert!(matches!(connection.poll_output(), Some(Output::Close { code: CloseCode::SubscriberAlreadyExists, .. })));
    assert_eq!(connection.poll_output(), None);
    assert_eq!(connection.poll_timeout(), None);
    assert_eq!(connection.operations(), 0);
}

#[test]
fn a_timeout_that_is_not_due_does_nothing() {
    let now = Instant::now();
    let mut connection = Connection::new(Arc::default(), now);
    connection.handle_timeout(now + Duration::from_millis(2999));
    assert_eq!(connection.poll_output(), None);
    assert_eq!(connection.poll_timeout(), Some(now + Duration::from_secs(3)));
}

#[test]
fn the_depth_bound_counts_the_message_itself() {
    let now = Instant::now();
    for (levels, fine) in [(3, true), (4, false)] {
        let config = Config { max_depth: 5, ..Config::default() };
        let mut connection = Connection::new(Arc::new(config), now);
        let arrays = "[".repeat(levels) + &"]".repeat(levels);
        connection.handle_text(&format!(r#"{{"type":"connection_init","payload":{{"a":{arrays}}}}}"#), now);
        assert_eq!(matches!(connection.poll_output(), Some(Output::Authenticate { .. })), fine, "{levels}");
    }
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Connection>() <= 192, "{}", size_of::<Connection>());
    assert!(size_of::<Output>() <= 128, "{}", size_of::<Output>());
}
