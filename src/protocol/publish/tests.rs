//! Each form, each refusal and its words, and bytes that nobody meant.

use proptest::prelude::*;
use serde_json::json;

use super::{Kind, Limits, Place, Problem, PublishError, Published, Stamp, parse, rfc3339};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const CLOUD_EVENT: &str = "application/cloudevents+json";
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

type Header = (&'static str, &'static str);

/// Headers of a complete binary `CloudEvent`.
const BINARY: [Header; 5] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "e1"),
    ("ce-source", "/billing"),
    ("ce-type", "orderPaid"),
    ("ce-channel", "orders:42"),
];

fn publish_with(
    content_type: &str,
    headers: &[Header],
    body: &[u8],
    limits: &Limits,
) -> Result<Vec<Published>, PublishError> {
    let mut stamps = 0;
    let mut stamp = || {
        stamps += 1;
        Stamp { id: format!("stamped-{stamps}"), time: "2026-01-01T00:00:00Z".to_owned() }
    };
    let lookup = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    parse(content_type, &lookup, body, &mut stamp, limits)
}

fn publish(content_type: &str, body: &str) -> Result<Vec<Published>, PublishError> {
    publish_with(content_type, &[], body.as_bytes(), &Limits::default())
}

fn one(content_type: &str, body: &str) -> Published {
    let mut published = publish(content_type, body).unwrap();
    assert_eq!(published.len(), 1);
    published.remove(0)
}

fn refusal(content_type: &str, body: &str) -> String {
    publish(content_type, body).unwrap_err().to_string()
}

fn binary(replace: &[Header], body: &str) -> Result<Vec<Published>, PublishError> {
    // The first of a name counts; an empty value here means: not sent.
    let headers: Vec<Header> = replace.iter().chain(&BINARY).copied().collect();
    let sent = |name: &str| headers.iter().find(|(known, _)| *known == name).filter(|(_, value)| !value.is_empty());
    let headers: Vec<Header> = BINARY.iter().filter_map(|(name, _)| sent(name)).chain(replace).copied().collect();
    let headers: Vec<Header> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    publish_with(JSON, &headers, body.as_bytes(), &Limits::default())
}

#[test]
fn a_plain_event_is_read_as_it_came() {
    let body = r#"{"channel":"users","type":"userUpdated","data":{ "b": 1.50, "a":[1e2] },"id":"7","time":"2026-01-31T12:00:00+01:00","source":"app"}"#;
    let Published { event, identified } = one(JSON, body);
    assert_eq!(event.channel.as_str(), "users");
    assert_eq!(&*event.kind, "userUpdated");
    assert_eq!(&*event.data, r#"{ "b": 1.50, "a":[1e2] }"#);
    assert_eq!((event.value["a"][0].as_f64(), event.value["b"].as_f64()), (Some(100.0), Some(1.5)));
    assert_eq!((&*event.id, &*event.time, &*event.source), ("7", "2026-01-31T12:00:00+01:00", "app"));
    assert!(identified);
}

#[test]
fn what_is_absent_or_null_is_stamped() {
    let bare = one(JSON, r#"{"channel":"c","type":"t","data":null}"#);
    assert_eq!((&*bare.event.id, &*bare.event.time, &*bare.event.source), ("stamped-1", "2026-01-01T00:00:00Z", ""));
    assert_eq!((&*bare.event.data, bare.identified), ("null", false));
    let nulls = one(JSON, r#"{"channel":"c","type":"t","data":1,"id":null,"time":null,"source":null}"#);
    assert_eq!((&*nulls.event.id, nulls.identified), ("stamped-1", false));
    let identified = one(JSON, r#"{"channel":"c","type":"t","data":1,"id":"x"}"#);
    assert_eq!((&*identified.event.id, &*identified.event.time), ("x", "2026-01-01T00:00:00Z"));
    assert!(identified.identified);
}

#[test]
fn an_array_brings_many_events_in_order() {
    let body = r#" [{"channel":"a","type":"t","data":1}, {"channel":"b","type":"t","data":2}] "#;
    let channels: Vec<_> = publish(JSON, body).unwrap().iter().map(|one| one.event.channel.to_string()).collect();
    assert_eq!(channels, ["a", "b"]);
    assert_eq!(publish(JSON, "[]").unwrap(), []);
}

#[test]
fn each_line_brings_an_event_and_blank_lines_none() {
    let body = "{\"channel\":\"a\",\"type\":\"t\",\"data\":1}\r\n\n  \n{\"channel\":\"b\",\"type\":\"t\",\"data\":2}";
    let ids: Vec<_> = publish(LINES, body).unwrap().iter().map(|one| one.event.id.to_string()).collect();
    assert_eq!(ids, ["stamped-1", "stamped-2"]);
    assert_eq!(publish(LINES, "").unwrap(), []);
    assert_eq!(publish(LINES, "\n\n").unwrap(), []);
}

#[test]
fn a_bad_line_is_refused_with_its_number_and_nothing_is_published() {
    let good = r#"{"channel":"a","type":"t","data":1}"#;
    let error = publish(LINES, &format!("{good}\n\n{good}\n{{\"channel\":\n{good}\n")).unwrap_err();
    assert_eq!((error.place, error.kind()), (Place::Line(4), Kind::BadRequest));
    assert_eq!(error.to_string(), "line 4: not valid JSON: EOF while parsing a value at column 11");
    assert_eq!(refusal(LINES, &format!("{good}\n[{good}]")), "line 2: an event must be a JSON object");
    let not_text = publish_with(LINES, &[], b"\n\"\xff\"", &Limits::default()).unwrap_err();
    assert_eq!(not_text.to_string(), "line 2: not valid UTF-8");
}

#[test]
fn a_bad_element_is_refused_with_its_index() {
    let good = r#"{"channel":"a","type":"t","data":1}"#;
    assert_eq!(refusal(JSON, &format!("[{good},{good},7]")), "event [2]: an event must be a JSON object");
    assert!(refusal(JSON, &format!("[{good},{{}}]")).starts_with("event [1]: channel is missing"));
    assert!(
        refusal(JSON, &format!("[{good},\n{good}")).starts_with("not valid JSON: EOF while parsing a list at line 2")
    );
}

#[test]
fn unknown_members_are_refused_with_the_nearest_known_one() {
    let event = |member: &str| refusal(JSON, &format!(r#"{{"channel":"a","type":"t","data":1,"{member}":1}}"#));
    assert_eq!(event("tiem"), r#"unknown member "tiem": did you mean "time"?"#);
    assert_eq!(event("Channel"), r#"unknown member "Channel": did you mean "channel"?"#);
    assert_eq!(event("chanel"), r#"unknown member "chanel": did you mean "channel"?"#);
    assert_eq!(event("zzz"), r#"unknown member "zzz": an event has channel, type, data, id, time and source"#);
    let long = event(&"é".repeat(5000));
    assert!(long.len() < 256, "{long}");
}

#[test]
fn refusals_say_what_is_wrong_and_what_to_do() {
    let cases = [
        ("", "not valid JSON: EOF while parsing a value at column 0"),
        ("7", "an event must be a JSON object"),
        ("{} {}", "not valid JSON: trailing characters at column 4"),
        (r#"{"type":"t","data":1}"#, "channel is missing: name the channel"),
        (r#"{"channel":null,"type":"t","data":1}"#, "channel is missing: name the channel"),
        (r#"{"channel":"c","data":1}"#, "type is missing: say what happened"),
        (r#"{"channel":"c","type":"t"}"#, "data is missing: send the event's payload as JSON"),
        (r#"{"channel":5,"type":"t","data":1}"#, "channel must be a string"),
        (r#"{"channel":"c","type":["t"],"data":1}"#, "type must be a string"),
        (r#"{"channel":"","type":"t","data":1}"#, "channel must not be empty"),
        (r#"{"channel":"c","type":"","data":1}"#, "type must not be empty"),
        (r#"{"channel":"c","type":"t","data":1,"id":""}"#, "id must not be empty"),
        (r#"{"channel":"c\n","type":"t","data":1}"#, "channel must not contain control characters"),
        (r#"{"channel":"c","type":"t\u0000","data":1}"#, "type must not contain control characters"),
        (r#"{"channel":"c","type":"t","data":1,"source":"\u0085"}"#, "source must not contain control characters"),
        (r#"{"channel":"c","type":"t","data":1,"time":"yesterday"}"#, "time must be RFC 3339 with a zone"),
        (r#"{"channel":"c","channel":"d","type":"t","data":1}"#, "channel occurs more than once"),
        (r#"{"channel":"c","type":"t","data":{"n":1e999}}"#, "data cannot be read: number out of range"),
        (r#"{"channel":"c","type":"t","data":"\ud800"}"#, "data cannot be read: "),
    ];
    for (body, words) in cases {
        let error = publish(JSON, body).unwrap_err();
        assert!(error.to_string().starts_with(words), "{body}: {error}");
        assert_eq!(error.kind(), Kind::BadRequest, "{body}");
    }
}

#[test]
fn names_have_at_most_255_bytes() {
    let event = |length: usize| format!(r#"{{"channel":"{}","type":"t","data":1}}"#, "c".repeat(length));
    assert_eq!(one(JSON, &event(255)).event.channel.as_str().len(), 255);
    assert_eq!(refusal(JSON, &event(256)), "channel is longer than 255 bytes");
}

#[test]
fn data_may_be_64_levels_deep() {
    let event =
        |depth: usize| format!(r#"{{"channel":"c","type":"t","data":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    one(JSON, &event(64));
    assert_eq!(refusal(JSON, &event(65)), "data is nested more than 64 levels deep");
    assert_eq!(refusal(JSON, &event(100_000)), "data is nested more than 64 levels deep");
    refusal(JSON, &"[".repeat(100_000));
}

#[test]
fn too_much_is_refused_as_too_large() {
    let event = r#"{"channel":"c","type":"t","data":1}"#;
    let limits = Limits { events: 2, event_bytes: event.len(), ..Limits::default() };
    let publish = |content_type: &str, body: String| publish_with(content_type, &[], body.as_bytes(), &limits);
    assert_eq!(publish(LINES, [event; 2].join("\n")).unwrap().len(), 2);
    for (content_type, body) in [(LINES, [event; 3].join("\n")), (JSON, format!("[{}]", [event; 3].join(",")))] {
        let error = publish(content_type, body).unwrap_err();
        assert_eq!((error.problem.clone(), error.kind()), (Problem::TooManyEvents { limit: 2 }, Kind::TooLarge));
    }
    let longer = event.replace('1', "12");
    let error = publish(LINES, format!("{event}\n{longer}")).unwrap_err();
    assert_eq!((error.place, error.kind()), (Place::Line(2), Kind::TooLarge));
}

#[test]
fn content_types_are_told_apart_whatever_their_case_and_parameters() {
    let event = r#"{"channel":"c","type":"t","data":1}"#;
    for fine in ["application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\"", "application/x-ndjson ; x=y"]
    {
        assert_eq!(publish(fine, event).unwrap().len(), 1, "{fine}");
    }
    for other in ["", "text/plain", "application/xml", "application/jsonx", "application/cloudevents+xml", "text/json"]
    {
        let error = publish(other, event).unwrap_err();
        assert_eq!(error.kind(), Kind::UnsupportedMediaType, "{other}");
        assert!(error.to_string().contains("send application/json"), "{error}");
    }
    let latin = publish("application/json; charset=latin1", event).unwrap_err();
    assert_eq!(
        (latin.to_string().as_str(), latin.kind()),
        (r#"charset "latin1" is not supported: send UTF-8"#, Kind::UnsupportedMediaType)
    );
}

#[test]
fn a_structured_cloud_event_maps_onto_an_event() {
    let body = r#"{"specversion":"1.0","id":"e1","source":"/billing","type":"orderPaid","channel":"orders:42","subject":"42",
        "time":"2026-01-31T12:00:00Z","datacontenttype":"application/json; charset=utf-8","traceparent":"00-1","data":{"total":1}}"#;
    let Published { event, identified } = one(CLOUD_EVENT, body);
    assert_eq!((event.channel.as_str(), &*event.kind, &*event.id), ("orders:42", "orderPaid", "e1"));
    assert_eq!((&*event.source, &*event.time, &*event.data), ("/billing", "2026-01-31T12:00:00Z", r#"{"total":1}"#));
    assert!(identified);
}

#[test]
fn a_batch_of_cloud_events_is_an_array() {
    let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","channel":"c","data":1}"#;
    assert_eq!(publish(CLOUD_EVENTS, &format!("[{event},{event}]")).unwrap().len(), 2);
    assert_eq!(refusal(CLOUD_EVENTS, event), "a batch must be a JSON array of events");
    assert!(refusal(CLOUD_EVENTS, &format!("[{event},{{}}]")).starts_with("event [1]: specversion is missing"));
}

#[test]
fn a_cloud_event_that_does_not_fit_is_refused() {
    let whole = json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "t", "channel": "c", "data": 1 });
    for (member, value, words) in [
        ("specversion", json!("0.3"), "specversion must be \"1.0\""),
        ("specversion", json!(null), "specversion is missing"),
        ("id", json!(null), "id is missing"),
        ("source", json!(null), "source is missing"),
        ("source", json!(""), "source must not be empty"),
        ("type", json!(null), "type is missing"),
        ("channel", json!(null), "channel is missing"),
        ("datacontenttype", json!("text/plain"), "datacontenttype \"text/plain\" is not supported"),
        ("data_base64", json!("e30="), "data_base64 is not supported: send JSON in data"),
        ("time", json!("2026-01-31"), "time must be RFC 3339"),
    ] {
        let mut event = whole.clone();
        event[member] = value;
        let refusal = refusal(CLOUD_EVENT, &event.to_string());
        assert!(refusal.starts_with(words), "{member}: {refusal}");
    }
    assert!(refusal(CLOUD_EVENT, &whole.to_string().replace(r#""data":1,"#, "")).starts_with("data is missing"));
}

#[test]
fn the_subject_of_a_cloud_event_is_no_channel() {
    let body = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"users","data":1}"#;
    assert!(refusal(CLOUD_EVENT, body).starts_with("channel is missing"));
}

#[test]
fn a_binary_cloud_event_has_its_attributes_in_headers() {
    let published = binary(&[("ce-time", "2026-01-31T12:00:00Z")], " {\"total\":1}\n").unwrap();
    let Published { event, identified } = &published[0];
    assert_eq!((event.channel.as_str(), &*event.kind, &*event.id), ("orders:42", "orderPaid", "e1"));
    assert_eq!((&*event.source, &*event.time, &*event.data), ("/billing", "2026-01-31T12:00:00Z", r#"{"total":1}"#));
    assert!(identified);
    // An array is data here, not a list of events.
    assert_eq!(binary(&[], "[1,2]").unwrap()[0].event.value, json!([1, 2]));
}

#[test]
fn headers_of_a_binary_cloud_event_are_decoded() {
    let channel = |value| binary(&[("ce-channel", value)], "1").map(|published| published[0].event.channel.to_string());
    assert_eq!(channel("Euro%20%E2%82%AC").unwrap(), "Euro €");
    assert_eq!(channel(r#""a \"b\" c""#).unwrap(), r#"a "b" c"#);
    for broken in ["%", "%4", "%zz", "%ff", "%+1"] {
        assert_eq!(channel(broken).unwrap_err().problem, Problem::Header("channel"), "{broken}");
    }
}

#[test]
fn a_binary_cloud_event_that_does_not_fit_is_refused() {
    for (header, value, body, words) in [
        ("ce-specversion", "", "1", "specversion is missing"),
        ("ce-specversion", "2.0", "1", "specversion must be \"1.0\""),
        ("ce-id", "", "1", "id is missing"),
        ("ce-source", "", "1", "source is missing"),
        ("ce-type", "", "1", "type is missing"),
        ("ce-channel", "", "1", "channel is missing"),
        ("ce-time", "noon", "1", "time must be RFC 3339"),
        ("ce-x", "", "", "data is missing"),
        ("ce-x", "", "{", "data cannot be read: EOF"),
        ("ce-x", "", "1 2", "data cannot be read: trailing characters"),
        ("ce-channel", "a%0Ab", "1", "channel must not contain control characters"),
    ] {
        let error = binary(&[(header, value)], body).unwrap_err();
        assert!(error.to_string().starts_with(words), "{header} {value:?} {body:?}: {error}");
    }
    let error = publish_with("text/plain", &BINARY, b"hello", &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::UnsupportedMediaType);
    assert_eq!(publish_with("application/vnd.app+json", &BINARY, b"1", &Limits::default()).unwrap().len(), 1);
}

#[test]
fn rfc_3339_is_checked_to_the_last_digit() {
    for fine in [
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00z",
        "2026-01-31 12:00:00.123456789-23:59",
        "2024-02-29T00:00:00Z",
        "2000-02-29T00:00:00Z",
        "1990-12-31T23:59:60Z",
    ] {
        assert!(rfc3339::is_valid(fine), "{fine}");
    }
    for wrong in [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00Z",
        "2026-1-31T12:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00Zx",
        "２026-01-01T00:00:00Z",
        "2026-01-01T00:00:00é",
        "+026-01-01T00:00:00Z",
    ] {
        assert!(!rfc3339::is_valid(wrong), "{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(
        form in prop_oneof![Just(JSON), Just(LINES), Just(CLOUD_EVENT), Just(CLOUD_EVENTS)],
        headers in prop_oneof![Just(&[][..]), Just(&BINARY[..])],
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"[\[{]{0,2}("(channel|type|data|id|time)":["\[{0-9a-z\\u]{0,9}[,}\]]){0,4}[}\]\n]{0,3}"#.prop_map(String::into_bytes),
        ],
    ) {
        if let Err(error) = publish_with(form, headers, &body, &Limits::default()) {
            prop_assert!(error.to_string().len() < 512);
        }
    }

    #[test]
    fn any_text_is_a_content_type_or_none(text in ".{0,80}") {
        let _ = publish(&text, "{}");
    }

    #[test]
    fn any_header_value_is_decoded_or_refused(value in ".{0,40}") {
        let lookup = |name: &str| Some(if name == "ce-specversion" { "1.0".to_owned() } else { value.clone() });
        let mut stamp = || Stamp { id: String::new(), time: String::new() };
        let _ = parse(JSON, &lookup, b"1", &mut stamp, &Limits::default());
    }

    #[test]
    fn an_event_that_was_written_is_read_back(
        channel in "[^\\p{Cc}]{1,40}", kind in "[a-zA-Z]{1,40}", text in ".{0,60}", number in any::<i64>(),
    ) {
        let data = json!({ "text": text, "number": number });
        let body = json!({ "channel": channel, "type": kind, "data": data });
        let event = one(LINES, &body.to_string()).event;
        prop_assert_eq!((event.channel.as_str(), &*event.kind, &event.value), (&*channel, &*kind, &data));
        prop_assert_eq!(&*event.data, data.to_string());
    }
}
