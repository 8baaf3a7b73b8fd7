use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Transaction, Rejection> {
    Transaction::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

/// Scenario: valid and invalid JSON of every kind.
/// Guarantees: exactly the objects that RFC 8259 allows are accepted, and a rejection has the offset of the error.
#[test]
fn accepts_json_objects_only() {
    for good in [
        "{}",
        " { } ",
        r#"{"a":1}"#,
        r#"{"a":-0.5e+10,"b":[],"c":[1,[2]],"d":{"e":null},"f":true,"g":false,"h":"\u00e9\n\/"}"#,
    ] {
        assert!(parse(good).is_ok(), "{good}");
    }
    for (bad, offset) in [
        ("", 0),
        ("[]", 0),
        ("1", 0),
        ("{", 1),
        ("{}x", 2),
        (r#"{"a"}"#, 4),
        (r#"{"a":}"#, 5),
        (r#"{"a":1,}"#, 7),
        (r#"{"a":01}"#, 6),
        (r#"{"a":1.}"#, 7),
        (r#"{"a":+1}"#, 5),
        (r#"{"a":tru}"#, 5),
        (r#"{"a":"\x"}"#, 6),
        (r#"{"a":"\u12g4"}"#, 6),
        ("{\"a\":\"\n\"}", 6),
        (r#"{"a":"open}"#, 11),
        (r#"{a:1}"#, 1),
        (r#"{"a":[1 2]}"#, 8),
        (r#"{"a":NaN}"#, 5),
    ] {
        let rejection = parse(bad).expect_err(bad);
        assert_eq!(rejection.offset, offset, "{bad}: {rejection}");
    }
    let broken = Transaction::parse(Bytes::from_static(b"{\"a\":\"\xff\"}"), &Limits::default());
    assert_eq!(broken.expect_err("invalid UTF-8").offset, 6);
}

/// Scenario: transactions beyond each limit.
/// Guarantees: they are rejected as too large, and one within the limits is accepted.
#[test]
fn enforces_the_limits() {
    let limits = Limits { max_bytes: 40, max_depth: 3, max_members: 4 };
    let parse = |text: &str| Transaction::parse(Bytes::copy_from_slice(text.as_bytes()), &limits);
    assert!(parse(r#"{"a":{"b":{}},"c":[1]}"#).is_ok());
    for (past, reason) in [
        (r#"{"a":{"b":{"c":{}}}}"#, "nested deeper than 3 levels"),
        (r#"{"a":[1,2,3,4]}"#, "more than 4 members"),
        (r#"{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#, "larger than 40 bytes"),
    ] {
        let rejection = parse(past).expect_err(past);
        assert!(rejection.too_large);
        assert_eq!(rejection.reason, reason);
    }
}

/// Scenario: a name that occurs twice, plain and escaped.
/// Guarantees: the last value is used, and the index contains nothing of the first `request`.
#[test]
fn the_last_duplicate_wins() {
    let twice =
        parse(r#"{"request":{"headers":{"a":"1"}},"x":1,"re\u0071uest":{"method":"GET"},"x":2}"#).expect("sound");
    assert_eq!(twice.get("x").and_then(View::number), Some(2.0));
    assert_eq!(twice.root().count(), 2);
    assert_eq!(twice.members_at(Level::RequestHeaders).count(), 0);
    assert_eq!(twice.get("request").and_then(|request| request.get("method")?.text()).as_deref(), Some("GET"));
}

/// Scenario: a pretty-printed transaction.
/// Guarantees: it becomes one line with unchanged strings and numbers.
#[test]
fn line_breaks_between_tokens_are_removed() {
    let pretty = parse("{\n\t\"a b\": \"x  y\",\r\n  \"n\": [ 1.50, 2 ]\n}").expect("sound");
    assert_eq!(pretty.bytes(), r#"{"a b":"x  y","n":[1.50,2]}"#);
}

/// Scenario: numbers whose text in Kong was observed.
/// Guarantees: the text is the same.
#[test]
fn numbers_as_kong_writes_them() {
    for (number, text) in [
        (1.0, "1"),
        (3.5, "3.5"),
        (99_999_999_999_999.0, "99999999999999"),
        (1e14, "1e+14"),
        (1e15, "1e+15"),
        (123_456_789_012_345.0, "1.2345678901234e+14"),
        (9_007_199_254_740_992.0, "9.007199254741e+15"),
        (9_223_372_036_854_775_808.0, "9.2233720368548e+18"),
        (1e21, "1e+21"),
        (1e100, "1e+100"),
        (f64::MAX, "1.7976931348623e+308"),
        (5e-324, "4.9406564584125e-324"),
        (0.1 + 0.2, "0.3"),
        (1.0 / 3.0, "0.33333333333333"),
        (2.0 / 3.0, "0.66666666666667"),
        (1e-4, "0.0001"),
        (1e-5, "1e-05"),
        (1.234e-5, "1.234e-05"),
        (std::f64::consts::PI, "3.1415926535898"),
        (1_700_000_000_123.0, "1700000000123"),
        (1_700_000_000.123, "1700000000.123"),
        (-0.0, "-0"),
        (-7.0, "-7"),
    ] {
        let mut out = Vec::new();
        text::push_number(&mut out, number, Numbers::Kong);
        assert_eq!(String::from_utf8_lossy(&out), text);
    }
    let mut exact = Vec::new();
    text::push_number(&mut exact, 9_007_199_254_740_992.0, Numbers::Exact);
    assert_eq!(exact, b"9007199254740992");
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn to_json(view: View<'_>) -> serde_json::Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match view.value() {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        // Not by serde_json, which is off by a bit for some fractions unless it is built with `float_roundtrip`.
        Value::Number(_) => match text(view.raw()).parse::<i64>() {
            Ok(whole) => whole.into(),
            Err(_) => text(view.raw()).parse::<f64>().expect("a JSON number").into(),
        },
        Value::String(value) => text(&value).into(),
        Value::Array(elements) => elements.into_iter().map(to_json).collect::<Vec<_>>().into(),
        Value::Object(members) => members
            .into_iter()
            .map(|(key, value)| (text(&key), to_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

proptest! {
    /// Scenario: any JSON object, written compactly and pretty-printed.
    /// Guarantees: the views read the values that serde_json wrote, and a compacted text has the same value.
    #[test]
    fn reads_what_serde_json_writes(members in prop::collection::btree_map("[a-z]{0,3}|request|response", json(), 0..6)) {
        let value: serde_json::Value = members.into_iter().collect::<serde_json::Map<_, _>>().into();
        let compact = parse(&value.to_string()).expect("sound");
        prop_assert_eq!(to_json(View::new(compact.bytes())), value.clone());
        let pretty = parse(&serde_json::to_string_pretty(&value).expect("serializable")).expect("sound");
        prop_assert_eq!(pretty.bytes(), compact.bytes());
        for (key, span) in compact.root() {
            let name = String::from_utf8_lossy(key.of(compact.bytes())).into_owned();
            prop_assert_eq!(to_json(View::new(span.of(compact.bytes()))), value[&name].clone());
        }
    }

    /// Scenario: JSON with one byte changed, cut or added, and random bytes.
    /// Guarantees: the scanner accepts exactly the texts that serde_json accepts as an object, and never panics.
    #[test]
    fn agrees_with_serde_json(value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3) {
        let mut text = format!("{{\"k\":{value}}}").into_bytes();
        let at = at.index(text.len());
        match how {
            0 => text[at] = byte,
            1 => drop(text.remove(at)),
            _ => text.insert(at, byte),
        }
        let ours = Transaction::parse(Bytes::from(text.clone()), &Limits::default()).is_ok();
        let theirs = serde_json::from_slice::<std::collections::HashMap<String, serde::de::IgnoredAny>>(&text).is_ok();
        let sound = std::str::from_utf8(&text).is_ok();
        prop_assert_eq!(ours, theirs && sound, "{}", String::from_utf8_lossy(&text));
    }

    /// Scenario: any string, escaped in both styles.
    /// Guarantees: unescaping returns the original, and serde_json agrees.
    #[test]
    fn escaping_round_trips(content in any::<String>(), kong in any::<bool>()) {
        let escaping = if kong { Escaping::Kong } else { Escaping::Json };
        let mut out = Vec::new();
        prop_assert!(!text::push_string(&mut out, content.as_bytes(), escaping));
        let unescaped = text::unescape(&out[1..out.len() - 1]);
        prop_assert_eq!(unescaped.as_ref(), content.as_bytes());
        prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("a JSON string"), content);
    }
}

/// Scenario: members added to an empty object, one with white space at its end, and one that cannot be empty, with an object
/// in their value.
/// Guarantees: each is what parsing the longer text gives: bytes, members in order, lookups.
#[test]
fn members_can_be_added() {
    for text in ["{}", "{ }", r#"{"a":1 }"#, r#"{"request":{"headers":{"x":"y"}},"b":[]}"#] {
        let mut transaction = parse(text).expect("valid");
        transaction.add_members(&[("route", br#"{"name":"r","empty":{}}"#), ("service", b"null")]);
        transaction.add_members(&[]);
        let again = parse(std::str::from_utf8(transaction.bytes()).expect("UTF-8")).expect("still valid");
        assert_eq!(again.bytes(), transaction.bytes());
        assert_eq!(again.root().collect::<Vec<_>>(), transaction.root().collect::<Vec<_>>());
        assert_eq!(again.traits(), transaction.traits());
        let name = transaction.get("route").and_then(|route| route.get("name")).and_then(View::text);
        assert_eq!(name.as_deref(), Some("r"));
        assert!(transaction.get("service").is_some_and(View::is_null));
    }
}
