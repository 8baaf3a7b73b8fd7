use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::transaction::{Limits, Transaction};

fn message(json: &Value, style: Style) -> Message {
    let transaction = Transaction::parse(Bytes::from(json.to_string()), &Limits::default()).expect("sound");
    Message::new(transaction, style)
}

fn text(message: &Message) -> String {
    String::from_utf8(message.to_vec()).expect("UTF-8")
}

fn set(message: &mut Message, key: &str, value: &str) {
    let path = KeyPath::parse(key, message.style() == Style::KONG);
    message.edit(&path, Some(value.as_bytes().to_vec()), Mode::Set).expect("an edit that can be made");
}

fn remove(message: &mut Message, key: &str) {
    let path = KeyPath::parse(key, message.style() == Style::KONG);
    message.edit(&path, None, Mode::Set).expect("an edit that can be made");
}

/// Scenario: every unusual key that was observed in Kong.
/// Guarantees: the member is where Kong puts it; a backslash before a character other than a dot is kept by default,
/// and becomes a dot with the quirks.
#[test]
fn key_paths_as_kong_reads_them() {
    for (key, emitted) in [
        ("a", r#"{"a":"V"}"#),
        ("a.b.c", r#"{"a":{"b":{"c":"V"}}}"#),
        (r"a\.b", r#"{"a.b":"V"}"#),
        (r"a.b\.c", r#"{"a":{"b.c":"V"}}"#),
        (r"a\.b.c", r#"{"a.b":{"c":"V"}}"#),
        (r"a\.b.c\.d", r#"{"a.b":{"c.d":"V"}}"#),
        (".a", r#"{".a":"V"}"#),
        (r"\.a", r#"{".a":"V"}"#),
        ("a.", r#"{"a":{"":"V"}}"#),
        (r"a\.", r#"{"a.":"V"}"#),
        ("a..b", r#"{"a":{"":{"b":"V"}}}"#),
        (r"a\..b", r#"{"a.":{"b":"V"}}"#),
        (r"a.\.b", r#"{"a":{".b":"V"}}"#),
        (".", r#"{".":"V"}"#),
        ("..", r#"{".":{"":"V"}}"#),
        ("...", r#"{".":{"":{"":"V"}}}"#),
        ("..a", r#"{".":{"a":"V"}}"#),
        ("", r#"{"":"V"}"#),
        ("é.ü", r#"{"é":{"ü":"V"}}"#),
        ("a b", r#"{"a b":"V"}"#),
        ("a\tb", r#"{"a\tb":"V"}"#),
        ("1", r#"{"1":"V"}"#),
    ] {
        for style in [Style::default(), Style::KONG] {
            let mut message = message(&json!({}), style);
            set(&mut message, key, r#""V""#);
            assert_eq!(text(&message), emitted, "{key}");
        }
    }
    for (key, default, quirks) in [
        (r"a\b", r#"{"a\\b":1}"#, r#"{"a.":1}"#),
        (r"a\nb", r#"{"a\\nb":1}"#, r#"{"a.b":1}"#),
        (r"a\\b", r#"{"a\\\\b":1}"#, r#"{"a.b":1}"#),
        (r"a\", r#"{"a\\":1}"#, r#"{"a\\":1}"#),
        (r"a.b\x.c", r#"{"a":{"b\\x":{"c":1}}}"#, r#"{"a":{"b.":{"c":1}}}"#),
        ("a/b", r#"{"a/b":1}"#, r#"{"a\/b":1}"#),
        ("a[1]", r#"{"a":[1]}"#, r#"{"a[1]":1}"#),
    ] {
        for (style, emitted) in [(Style::default(), default), (Style::KONG, quirks)] {
            let mut message = message(&json!({}), style);
            set(&mut message, key, "1");
            assert_eq!(text(&message), emitted, "{key}");
        }
    }
}

/// Scenario: array indices.
/// Guarantees: elements are set, appended and removed; a key that is not an index is a name.
#[test]
fn array_indices() {
    let base = json!({"foo": [{"bar": 1}, {"bar": 2}], "o": {"x": 1}});
    for (key, value, emitted) in [
        ("foo[1].bar", Some("9"), json!({"foo": [{"bar": 9}, {"bar": 2}], "o": {"x": 1}})),
        ("foo[3]", Some("3"), json!({"foo": [{"bar": 1}, {"bar": 2}, 3], "o": {"x": 1}})),
        ("foo[4].a", Some("3"), json!({"foo": [{"bar": 1}, {"bar": 2}, null, {"a": 3}], "o": {"x": 1}})),
        ("foo[2]", None, json!({"foo": [{"bar": 1}], "o": {"x": 1}})),
        ("foo[1]", None, json!({"foo": [null, {"bar": 2}], "o": {"x": 1}})),
        ("foo[9].bar", None, base.clone()),
        ("o[1]", Some("2"), json!({"foo": [{"bar": 1}, {"bar": 2}], "o": {"x": 1, "1": 2}})),
        ("o[0]", Some("2"), json!({"foo": [{"bar": 1}, {"bar": 2}], "o": {"x": 1}, "o[0]": 2})),
        ("n[1][2]", Some("2"), json!({"foo": [{"bar": 1}, {"bar": 2}], "o": {"x": 1}, "n": [[null, 2]]})),
        ("foo.x", Some("2"), base.clone()),
    ] {
        let mut message = message(&base, Style::default());
        let edited = message.edit(&KeyPath::parse(key, false), value.map(|text| text.as_bytes().to_vec()), Mode::Set);
        assert_eq!(edited, Ok(()), "{key}");
        assert_eq!(serde_json::from_str::<Value>(&text(&message)).expect("JSON"), emitted, "{key}");
    }
    let mut message = message(&base, Style::default());
    let sparse = message.edit(&KeyPath::parse("foo[99]", false), Some(b"1".to_vec()), Mode::Set);
    assert!(matches!(sparse, Err(EditError::Sparse { .. })));
    set(&mut message, "l", "[7]");
    set(&mut message, "l.x", "8");
    assert!(text(&message).ends_with(r#""l":{"1":7,"x":8}}"#));
}

/// Scenario: an index that is too high, below parents that are missing, are arrays, or would change their type.
/// Guarantees: the edit fails, and the message is unchanged.
#[test]
fn a_sparse_index_leaves_no_parents_behind() {
    for key in ["n.m[33]", "n[2][33]", "foo[4].a[33]", "l.x[33]", "o[1].b[33]", "foo[99]"] {
        let mut message = message(&json!({"foo": [{"bar": 1}], "o": {"x": 1}}), Style::default());
        set(&mut message, "l", "[7]");
        let before = text(&message);
        let edited = message.edit(&KeyPath::parse(key, false), Some(b"1".to_vec()), Mode::Set);
        assert!(matches!(edited, Err(EditError::Sparse { .. })), "{key}: {edited:?}");
        assert_eq!(text(&message), before, "{key}");
    }
}

/// Scenario: values set, overwritten and removed at every depth, among numbers in any notation.
/// Guarantees: untouched members are unchanged byte for byte; removing a missing member creates nothing.
#[test]
fn untouched_text_is_unchanged() {
    let raw = r#"{"n":1.50e0,"request":{"size": 12345678901234567890,"headers":{"a":"\u00e9\/"}},"tries":[],"e":{}}"#;
    let transaction = Transaction::parse(Bytes::from_static(raw.as_bytes()), &Limits::default()).expect("sound");
    let mut message = Message::new(transaction, Style::default());
    remove(&mut message, "nope.a.b");
    assert_eq!(text(&message), raw);
    set(&mut message, "request.headers.b", "2");
    remove(&mut message, "e");
    set(&mut message, "p", r#"{"a":1}"#);
    set(&mut message, "p.b", "2");
    let edited = concat!(
        r#"{"n":1.50e0,"request":{"size":12345678901234567890,"headers":{"a":"\u00e9\/","b":2}},"#,
        r#""tries":[],"p":{"a":1,"b":2}}"#
    );
    assert_eq!(text(&message), edited);
}

/// Scenario: paths through a string, a number and null.
/// Guarantees: the edit gives Kong's error, and the message is unchanged.
#[test]
fn a_path_through_a_value_is_an_error() {
    let base = json!({"client_ip": "10.0.0.9", "n": 1, "z": null, "a": {"b": true}});
    for (key, error) in [
        ("client_ip.x", "Subkey 'client_ip' is not a table. It's 10.0.0.9."),
        ("n.x.y", "Subkey 'n' is not a table. It's 1."),
        ("z.x", "Subkey 'z' is not a table. It's userdata: NULL."),
        ("a.b.c", "Subkey 'b' is not a table. It's true."),
    ] {
        for mode in [Mode::Set, Mode::Add, Mode::Replace] {
            let mut message = message(&base, Style::default());
            let result = message.edit(&KeyPath::parse(key, false), Some(b"1".to_vec()), mode);
            let whole = format!("The key '{key}' could not be used as a serialize value. {error}");
            assert_eq!(result.map_err(|error| error.to_string()), Err(whole));
            assert_eq!(text(&message), base.to_string());
        }
    }
}

/// Scenario: the three modes on present and missing members.
/// Guarantees: `add` keeps a present member, `replace` creates none, and `add` finds headers case-insensitively.
#[test]
fn modes() {
    let base = json!({"a": false, "request": {"headers": {"x-id": "1"}}});
    for (key, value, mode, emitted) in [
        ("a", Some("1"), Mode::Add, base.clone()),
        ("b", Some("1"), Mode::Add, json!({"a": false, "request": {"headers": {"x-id": "1"}}, "b": 1})),
        ("a", Some("1"), Mode::Replace, json!({"a": 1, "request": {"headers": {"x-id": "1"}}})),
        ("b.c", Some("1"), Mode::Replace, base.clone()),
        ("a", None, Mode::Replace, json!({"request": {"headers": {"x-id": "1"}}})),
        ("a", None, Mode::Add, base.clone()),
        ("request.headers.X_Id", Some("1"), Mode::Add, base.clone()),
    ] {
        let mut message = message(&base, Style::default());
        let value = value.map(|text| text.as_bytes().to_vec());
        assert_eq!(message.edit(&KeyPath::parse(key, false), value, mode), Ok(()));
        assert_eq!(text(&message), emitted.to_string(), "{key} {mode:?}");
    }
}

/// Scenario: credentials in several spellings among other headers.
/// Guarantees: each becomes one string, nothing else changes, and `_context` is never written.
#[test]
fn credentials_are_redacted() {
    let base = json!({
        "request": {"headers": {"authorization": ["a", "b"], "Proxy-Authorization": "", "cookie": "c"}},
        "response": {"headers": {"authorization": "kept"}},
        "_context": {"secret": 1},
    });
    let written: Value = serde_json::from_str(&text(&message(&base, Style::default()))).expect("JSON");
    let headers = json!({"authorization": "REDACTED", "Proxy-Authorization": "REDACTED", "cookie": "c"});
    assert_eq!(written["request"]["headers"], headers);
    assert_eq!(written["response"], base["response"]);
    assert_eq!(written.get("_context"), None);
}

/// Scenario: edits inside and around a redacted header, and one that sets it again.
/// Guarantees: no message or error contains the secret unless a script wrote it.
#[test]
fn secrets_stay_secret_under_edits() {
    let base = json!({"request": {"headers": {"authorization": ["s3cret", "s3cret2"], "a": 1}}});
    for style in [Style::default(), Style::KONG] {
        for key in
            ["request.headers.b", "request.headers.authorization[1]", "request.headers.authorization.x", "request.x"]
        {
            let mut message = message(&base, style);
            let _ = message.edit(&KeyPath::parse(key, false), Some(b"1".to_vec()), Mode::Set);
            assert!(!text(&message).contains("s3cret"), "{key}: {}", text(&message));
        }
        let mut message = message(&json!({"request": {"headers": {"authorization": "s3cret"}}}), style);
        let error =
            message.edit(&KeyPath::parse("request.headers.authorization.x", false), Some(b"1".to_vec()), Mode::Set);
        assert!(error.is_err_and(|error| error.to_string().ends_with("It's REDACTED.")));
        set(&mut message, "request.headers.authorization", "\"s3cret\"");
        assert!(text(&message).contains("s3cret"));
    }
}

/// Scenario: `kong_quirks` with values that it changes.
/// Guarantees: escapes, digits and empty tables equal Kong's.
#[test]
fn quirks() {
    let base = json!({"url": "http://x/y", "big": 9_007_199_254_740_992_u64, "list": [], "route": {"paths": [], "tags": []}, "tries": []});
    let mut message = message(&base, Style::KONG);
    remove(&mut message, "nope.a.b");
    let written = concat!(
        r#"{"url":"http:\/\/x\/y","big":9.007199254741e+15,"list":{},"route":{"paths":[],"tags":[]},"tries":[],"#,
        r#""nope":{"a":{}}}"#
    );
    assert_eq!(text(&message), written);
}

/// Scenario: an edit exactly at the nesting limit by its key, by its value and by both; each with one level more; a
/// second edit inside the value of the first.
/// Guarantees: the first edits succeed; the others fail with Kong's error and change nothing, so that no traversal of a
/// message can exhaust the stack.
#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| format!("{}\"{{[\"{}", "[".repeat(levels), "]".repeat(levels));
    let key = |parts: usize| vec!["a"; parts].join(".");
    for (parts, levels) in [(1000, 0), (1, 999), (500, 500)] {
        let mut message = message(&json!({}), Style::default());
        set(&mut message, &key(parts), &nested(levels));
        let before = text(&message);
        assert_eq!(before.matches(['{', '[']).count(), 1000 + 2);
        for (parts, levels) in [(parts + 1, levels), (parts, levels + 1)] {
            let path = KeyPath::parse(&key(parts), false);
            let error = message.edit(&path, Some(nested(levels).into_bytes()), Mode::Set).unwrap_err();
            assert!(error.to_string().starts_with("Cannot serialise, excessive nesting (1001)"), "{error}");
        }
        assert_eq!(text(&message), before);
    }
}

/// A member of a transaction: its name, its value, and the whitespace between its parts and after it.
type Member = (&'static str, &'static str, [&'static str; 4]);

fn member() -> impl Strategy<Value = Member> {
    let space = || prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("  ")];
    let value = prop_oneof![
        Just("1"),
        Just("\"x\""),
        Just("[1, {}]"),
        Just("{\"y\": {}}"),
        Just("{ }"),
        Just("{\"tags\":{}}"),
    ];
    let name = prop_oneof![Just("a"), Just("b"), Just("tags"), Just("route"), Just("_context"), Just("\\u005fcontext")];
    (name, value, [space(), space(), space(), space()])
}

proptest! {
    /// Scenario: any list of edits with any keys, values and modes, in both styles.
    /// Guarantees: no panic, the result is one line of valid JSON, and a failed edit changes nothing.
    #[test]
    fn any_edits_leave_valid_json(
        edits in prop::collection::vec(
            (r"(a|b|\.|\\|\[1\]|\[2\]|request|headers|é){0,5}", prop::option::of(0..5_usize), 0..3_usize),
            0..12,
        ),
        quirks in any::<bool>(),
    ) {
        let base = json!({"a": {"b": [1, {"a": []}]}, "request": {"headers": {"authorization": "x"}}, "b": "s"});
        let mut message = message(&base, Style::of(quirks));
        for (key, value, mode) in edits {
            let value = value.map(|at| ["1", "\"x\"", "{\"a\":{}}", "[]", "[1,[2]]"][at].as_bytes().to_vec());
            let before = text(&message);
            let mode = [Mode::Set, Mode::Add, Mode::Replace][mode];
            let failed = message.edit(&KeyPath::parse(&key, quirks), value, mode).is_err();
            let after = text(&message);
            prop_assert!(serde_json::from_str::<Value>(&after).is_ok_and(|value| value.is_object()), "{}", after);
            prop_assert!(!failed || before == after);
        }
    }

    /// Scenario: a value set at any simple path.
    /// Guarantees: it is read back at that path, and removing it restores everything except parents that were created.
    #[test]
    fn a_set_value_is_read_back(parts in prop::collection::vec("[a-z]{1,3}", 1..4)) {
        let mut message = message(&json!({"k": 1}), Style::default());
        let key = parts.join(".");
        prop_assume!(parts[0] != "k");
        set(&mut message, &key, "\"V\"");
        let value: Value = serde_json::from_str(&text(&message)).expect("JSON");
        prop_assert_eq!(value.pointer(&format!("/{}", parts.join("/"))), Some(&json!("V")));
        remove(&mut message, &parts[0]);
        prop_assert_eq!(text(&message), r#"{"k":1}"#);
    }

    /// Scenario: transactions with arbitrary whitespace, some of whose members are never logged, occur twice, or are
    /// empty arrays sent as objects; an occasional edit.
    /// Guarantees: the message is the same whether members are copied together or written one by one.
    #[test]
    fn members_copied_together_equal_those_copied_singly(
        members in proptest::collection::vec(member(), 0..8),
        edited in proptest::option::of(prop_oneof![Just("a"), Just("b"), Just("c")]),
    ) {
        let written = |(name, value, [a, b, c, d]): &Member| format!("{a}\"{name}\"{b}:{c}{value}{d}");
        let input = format!("{{{}}}", members.iter().map(written).collect::<Vec<_>>().join(","));
        let transaction = Transaction::parse(Bytes::from(input), &Limits::default()).expect("sound");
        let mut message = Message::new(transaction, Style::default());
        let mut expected: Vec<(&str, String)> = Vec::new();
        for (name, value, _) in members.iter().filter(|(name, ..)| !name.ends_with("context")) {
            let value = match (*name, *value) {
                ("tags", "{ }") => "[]",
                ("route", "{\"tags\":{}}") => "{\"tags\":[]}",
                (_, value) => value,
            };
            // The last duplicate of a name is used, at its own position.
            expected.retain(|(known, _)| known != name);
            expected.push((name, value.to_owned()));
        }
        if let Some(name) = edited {
            set(&mut message, name, "7");
            match expected.iter_mut().find(|(known, _)| *known == name) {
                Some(member) => member.1 = "7".to_owned(),
                None => expected.push((name, "7".to_owned())),
            }
        }
        let expected: Vec<_> = expected.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        prop_assert_eq!(text(&message), format!("{{{}}}", expected.join(",")));
    }
}
