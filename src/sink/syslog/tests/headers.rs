use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::rfc5424;
use crate::sink::syslog::format::{Encoder, Header};
use crate::sink::syslog::severity::{Facility, HeaderFields, Severities};

/// 2025-10-01 22:14:15.003, with two seconds of latency before.
const STARTED: u64 = 1_759_356_853_003;

fn levels(log_level: &str) -> Severities {
    serde_json::from_value(json!({
        "log_level": log_level, "successful_severity": "notice", "client_errors_severity": "warning",
        "server_errors_severity": "crit",
    }))
    .unwrap()
}

fn encode(log_level: &str, header: Header, message: &Value) -> Option<String> {
    let encoder = Encoder { severities: levels(log_level), facility: Facility::Local3, header, line: None };
    let line = encoder.encode(&message.to_string().into())?;
    Some(String::from_utf8(line.to_vec()).unwrap())
}

/// Scenario: statuses at the bounds of the classes, an L4 session, and statuses changed by custom fields.
/// Guarantees: the severities are Kong's; without a numeric status the message counts as a success.
#[test]
fn the_status_decides_the_severity() {
    let priority = |message: Value| {
        let line = encode("debug", Header::rfc5424("h", "kong"), &message).unwrap();
        rfc5424::parse(line.as_bytes()).unwrap().priority - 19 * 8
    };
    let of_status = |status: Value| priority(json!({"response": {"status": status}}));
    for (status, severity) in [(200, 5), (399, 5), (400, 4), (499, 4), (500, 2), (599, 2)] {
        assert_eq!(of_status(status.into()), severity, "{status}");
    }
    assert_eq!(of_status("500".into()), 5);
    assert_eq!(of_status(Value::Null), 5);
    assert_eq!(priority(json!({"session": {"status": 502}})), 5);
    assert_eq!(priority(json!({"response": null})), 5);
    assert_eq!(priority(json!({"response": "x", "upstream_status": 500})), 5);
}

/// Scenario: each log level against the three severities.
/// Guarantees: a message is sent if it is at least as urgent as `log_level`.
#[test]
fn the_log_level_filters() {
    let sent = |log_level: &str| {
        [200, 404, 503].map(|status| {
            encode(log_level, Header::rfc5424("h", "kong"), &json!({"response": {"status": status}})).is_some()
        })
    };
    assert_eq!(sent("debug"), [true, true, true]);
    assert_eq!(sent("notice"), [true, true, true]);
    assert_eq!(sent("warning"), [false, true, true]);
    assert_eq!(sent("err"), [false, false, true]);
    assert_eq!(sent("crit"), [false, false, true]);
    assert_eq!(sent("alert"), [false, false, false]);
}

/// Scenario: one message in each format.
/// Guarantees: the header follows the format, with the time at which the transaction ended.
#[test]
fn headers() {
    let message = json!({"started_at": STARTED, "latencies": {"request": 2000}, "response": {"status": 200}});
    let line = |header: Header| encode("info", header, &message).unwrap();
    let process = std::process::id();
    assert_eq!(
        line(Header::rfc5424("gate way", "kong")),
        format!("<157>1 2025-10-01T22:14:15.003Z gate_way kong {process} - - {message}")
    );
    assert_eq!(
        line(Header::loggly("h", "key", &["a".into(), r#"b"]\"#.into()])),
        format!(r#"<157>1 2025-10-01T22:14:15Z h kong - - [key@41058 tag="a" tag="b\"\]\\"] {message}"#)
    );
    assert!(line(Header::loggly("h", "key", &[])).contains(" [key@41058] {"));
    let local = Timestamp::from_millisecond(1_759_356_855_003).unwrap().to_zoned(TimeZone::system());
    let local = local.strftime("%b %e %H:%M:%S").to_string();
    assert_eq!(line(Header::rfc3164(Some("h"), "a:b[1]")), format!("<157>{local} h a_b_1_[{process}]: {message}"));
    assert_eq!(line(Header::rfc3164(None, "kong")), format!("<157>{local} kong[{process}]: {message}"));
}

/// Scenario: invalid times, and times of an L4 session.
/// Guarantees: a session's latency is used; a time that is not between 1970 and 9999 is replaced by the time of
/// sending.
#[test]
fn odd_times() {
    let ended = |message: Value| HeaderFields::read(message.to_string().as_bytes()).ended;
    assert_eq!(ended(json!({"started_at": 1000, "latencies": {"session": 500, "kong": 1}})), Some(1500.0));
    assert_eq!(ended(json!({"started_at": 1000, "latencies": {"request": -1}})), Some(1000.0));
    assert_eq!(ended(json!({"started_at": "1000"})), None);
    let before = Timestamp::now();
    for started in [json!(null), json!(-1), json!(1e300), json!("now"), json!(253_402_300_800_000_u64)] {
        let line = encode("info", Header::rfc5424("h", "kong"), &json!({"started_at": started})).unwrap();
        let at: Timestamp = rfc5424::parse(line.as_bytes()).unwrap().timestamp.parse().unwrap();
        assert!(at.as_millisecond() >= before.as_millisecond() && at <= Timestamp::now(), "{line}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let name = prop_oneof![
            Just("response".to_owned()),
            Just("status".to_owned()),
            Just("started_at".to_owned()),
            Just("latencies".to_owned()),
            any::<String>(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Scenario: any message, host name, program, key and tags.
    /// Guarantees: the line matches the grammar of RFC 5424; its MSG is the unchanged JSON, and its parameters are the
    /// tags.
    #[test]
    fn every_line_matches_the_grammar(
        message in any_json(), host in any::<String>(), ident in any::<String>(), key in any::<String>(),
        tags in prop::collection::vec(any::<String>(), 0..4),
    ) {
        let key: String = key.chars().take(36).collect();
        for header in [Header::rfc5424(&host, &ident), Header::loggly(&host, &key, &tags)] {
            let loggly = header == Header::loggly(&host, &key, &tags);
            let line = encode("debug", header, &message).unwrap();
            let read = rfc5424::parse(line.as_bytes()).map_err(TestCaseError::fail)?;
            prop_assert_eq!(read.message, message.to_string());
            let parameters: Vec<_> = read.elements.into_iter().flat_map(|(_, parameters)| parameters).collect();
            let expected: Vec<_> = tags.iter().map(|tag| ("tag".to_owned(), tag.clone())).collect();
            prop_assert_eq!(parameters, if loggly { expected } else { Vec::new() });
        }
    }
}

/// Scenario: lines that violate the grammar.
/// Guarantees: the tests' parser rejects each.
#[test]
fn the_parser_is_strict() {
    let sound = r#"<13>1 2025-10-01T22:14:15.003Z h kong - - [a@1 t="x\]"] {}"#;
    assert!(rfc5424::parse(sound.as_bytes()).is_ok());
    for (from, to) in [
        ("<13>", "<013>"),
        ("<13>", "<192>"),
        (">1 ", ">2 "),
        ("-01T", "-32T"),
        ("15.003Z", "15.Z"),
        ("15.003Z", "15"),
        (" h ", "  "),
        (" kong ", " k\u{e4} "),
        ("\\]", "]"),
        ("\\]", "\\n"),
        ("\"]", "\" ]"),
        ("a@1", "a=1"),
        ("] {}", "]{}"),
        (r#"[a@1 t="x\]"]"#, ""),
    ] {
        let line = sound.replacen(from, to, 1);
        assert!(rfc5424::parse(line.as_bytes()).is_err(), "{line}");
    }
}
