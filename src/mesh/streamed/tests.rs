use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn parse(line: &str) -> Result<(String, String), StreamedLineError> {
    let StreamedLine { address, message } = StreamedLine::parse(line.as_bytes())?;
    Ok((address, String::from_utf8(message.into()).expect("the line is UTF-8")))
}

/// Scenario: lines of TrafficLogs and of MeshAccessLogs, among them texts that only look like the other form.
/// Guarantees: the address and what kuma-dp would send are found; of a text one line end is left to whatever sends it.
#[test]
fn both_forms() {
    for (line, address, message) in [
        ("127.0.0.1:5000;a text; and more", "127.0.0.1:5000", "a text; and more"),
        ("logs.example:5000;", "logs.example:5000", ""),
        ("[::1]:5000;{\"address\": 1}", "[::1]:5000", "{\"address\": 1}"),
        ("h:1; text \r", "h:1", " text \r"),
        (r#"{"address":"h:1","message":"a text\n"}"#, "h:1", "a text"),
        (r#"{"address":"h:1","message":"two ends\n\n"}"#, "h:1", "two ends\n"),
        (r#" {"message":"no end","address":"h:1"} "#, "h:1", "no end"),
        (r#"{"Address":"h:1","MESSAGE":"any case","more":[{}]}"#, "h:1", "any case"),
        (r#"{"address":"x:9","message":1,"address":"h:1","address":null,"message":"the last"}"#, "h:1", "the last"),
        (r#"{"address":"h:1"}"#, "h:1", "null"),
        (r#"{"address":"h:1","message":[true,null,""]}"#, "h:1", r#"[true,null,""]"#),
        (
            r#"{"address":"h:1","message":{"b":1,"a":{"d":"<&>","c":2.50}}}"#,
            "h:1",
            r#"{"a":{"c":2.5,"d":"\u003c\u0026\u003e"},"b":1}"#,
        ),
    ] {
        assert_eq!(parse(line), Ok((address.to_owned(), message.to_owned())), "{line}");
    }
}

/// Scenario: lines without an address, with something else in its place, and JSON that is none.
/// Guarantees: each is refused, and the error shows the beginning of the line without its control characters.
#[test]
fn refusals() {
    for (line, expected) in [
        ("no semicolon", "expected `ADDRESS;TEXT` or a JSON object with `address` and `message`, not `no semicolon`"),
        ("", "`ADDRESS;TEXT`"),
        (";text", "expected an address, HOST:PORT, and not ``"),
        ("127.0.0.1;text", "HOST:PORT, and not `127.0.0.1`"),
        ("host:name;text", "HOST:PORT, and not `host:name`"),
        ("host:0;text", "HOST:PORT, and not `host:0`"),
        ("a\u{1b}[2J;text", r"HOST:PORT, and not `a\u{1b}[2J`"),
        (r#"{"message":"m"}"#, "and not ``"),
        (r#"{"address":7,"message":"m"}"#, "`ADDRESS;TEXT`"),
        (r#"{"address":"h:1","message":1e999}"#, "`ADDRESS;TEXT`"),
        (r#"{"address":"h:1","message":"m"} x"#, "`ADDRESS;TEXT`"),
        ("null", "`ADDRESS;TEXT`"),
    ] {
        let error = parse(line).expect_err(line).to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
    let long = parse(&"x".repeat(10_000)).expect_err("no address").to_string();
    assert!(long.len() < 300, "{long}");
}

/// Scenario: numbers of every size, and texts with what Go escapes.
/// Guarantees: they are written as Go writes a double and a text (encoding/json).
#[test]
fn values_are_written_as_in_go() {
    for (given, expected) in [
        ("0", "0"),
        ("-0", "-0"),
        ("7", "7"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("-1.5E-10", "-1.5e-10"),
        ("100000000000000000000", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("9007199254740993", "9007199254740992"),
        ("0.1", "0.1"),
        ("123456789.123456789", "123456789.12345679"),
        ("\"\\u0008\\f\\n\\r\\t\\u0001\\u007f\"", "\"\\b\\f\\n\\r\\t\\u0001\u{7f}\""),
        ("\"\\u2028\\u2029\\u00e9\\ud83d\\ude00\\/\"", "\"\\u2028\\u2029é😀/\""),
        ("{\"b\":1,\"a\":2,\"a\":3, \"\":[ ] }", "{\"\":[],\"a\":3,\"b\":1}"),
    ] {
        let written = go_json::rewritten(given).expect(given);
        assert_eq!(String::from_utf8(written).expect("it is text"), expected, "{given}");
    }
    assert_eq!(go_json::rewritten("\"\\ud800\""), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whether both are the same value, with numbers as doubles.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap_or_default(), other.as_f64().unwrap_or_default());
            (one - other).abs() <= f64::EPSILON * one.abs()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

proptest! {
    /// Scenario: any bytes as a line.
    /// Guarantees: it is read or refused, without a panic; an address that is found stands in the line, and the message is not
    /// longer than six times the line.
    #[test]
    fn any_line(line in prop_oneof![any::<Vec<u8>>(), "\\{?[a-z:;\"{}0-9, ]{0,60}".prop_map(String::into_bytes)]) {
        if let Ok(StreamedLine { address, message }) = StreamedLine::parse(&line) {
            prop_assert!(split_host_port(&address).is_some());
            prop_assert!(message.len() <= 6 * line.len().max(1));
        }
    }

    /// Scenario: any text and any JSON value, wrapped as a MeshAccessLog's line is.
    /// Guarantees: the text arrives as it is, but for one line end; the value means the same, is one line, has no character that Go
    /// escapes, and does not change when it is written once more.
    #[test]
    fn any_message(text in any::<String>(), value in any_json()) {
        let line = |message: &Value| json!({"address": "h:1", "message": message}).to_string();
        let sent = StreamedLine::parse(line(&json!(text)).as_bytes()).expect("it has an address").message;
        prop_assert_eq!(&sent[..], text.strip_suffix('\n').unwrap_or(&text).as_bytes());
        if !value.is_string() {
            let sent = StreamedLine::parse(line(&value).as_bytes()).expect("it has an address").message;
            let read: Value = serde_json::from_slice(&sent).expect("it is JSON");
            prop_assert!(same(&value, &read), "{} is not {}", value, read);
            prop_assert!(!sent.iter().any(|byte| b"<>&\n".contains(byte)));
            let again = go_json::rewritten(std::str::from_utf8(&sent).expect("it is text"));
            prop_assert_eq!(again.as_deref(), Some(&sent[..]));
        }
    }
}
