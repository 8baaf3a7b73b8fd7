use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::message::{KeyPath, Mode, Shape, ShapeOptions};
use crate::transaction::Limits;

mod cases;

/// A transaction with a base64 body and its header on one side.
fn transaction(side: &str, header: &Value, body: &[u8]) -> Value {
    let mut value = json!({"request": {"headers": {}}, "response": {"headers": {}}, "_context": {}});
    if !header.is_null() {
        value[side]["headers"]["content-type"] = header.clone();
    }
    value["_context"][format!("{side}_body")] = STANDARD.encode(body).into();
    value["_context"][format!("{side}_body_base64")] = true.into();
    value
}

fn message(value: &Value, style: Style) -> Message {
    let transaction = Transaction::parse(Bytes::from(value.to_string()), &Limits::default()).expect("sound");
    Message::new(transaction, style)
}

fn options(include: Include) -> BodyOptions {
    BodyOptions::new(include, 100)
}

fn shaped(message: &Message, options: &BodyOptions) -> Result<String, BodyError> {
    let shape = Shape::of(&json!({}), ShapeOptions { body: options, redact: &[], hash_key: None, kong_quirks: false })
        .expect("sound options");
    message.shaped(&shape).map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
}

/// The members that the bodies add to the request and the response, as text without the outer braces.
fn added(value: &Value, style: Style, options: &BodyOptions) -> Result<String, BodyError> {
    let message = message(value, style);
    let plain = String::from_utf8(message.to_vec()).expect("UTF-8");
    let whole = shaped(&message, options)?;
    let rest = whole.strip_prefix(&plain[..plain.len() - 1]).expect("members are added at the end");
    Ok(rest.trim_start_matches(',').trim_end_matches('}').to_owned() + if rest.ends_with("}}") { "}" } else { "" })
}

fn members(value: &Value, options: &BodyOptions) -> Result<Value, BodyError> {
    let text = shaped(&message(value, Style::default()), options)?;
    let mut value: Value = serde_json::from_str(&text).expect("JSON");
    let object = value.as_object_mut().expect("an object");
    object.shift_remove("request");
    object.shift_remove("response");
    Ok(value)
}

/// Scenario: every case of the table, as a request body and as a response body.
/// Guarantees: the message has exactly the expected members, in order; a broken body rejects the message with a reason
/// under `drop`, and stays raw under `keep`.
#[test]
fn the_rule() {
    let cases = cases::cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    for cases::Case { header, body, expected } in cases {
        for (side, include, prefix) in [("request", Include::REQUEST, ""), ("response", Include::RESPONSE, "response_")]
        {
            let shown = format!("{side}: {header} {:?}", String::from_utf8_lossy(&body));
            let value = transaction(side, &header, &body);
            let named = |value: &Value| {
                let members = value.as_object().expect("an object").iter();
                Value::Object(members.map(|(name, value)| (format!("{prefix}{name}"), value.clone())).collect())
            };
            let keep = BodyOptions { keep_broken: true, ..options(include) };
            match &expected {
                Ok(expected) => {
                    for options in [&options(include), &keep] {
                        let found = members(&value, options).expect(&shown);
                        assert_eq!(found.to_string(), named(expected).to_string(), "{shown}");
                    }
                }
                Err((reason, kept)) => {
                    let error = members(&value, &options(include)).expect_err(&shown);
                    assert!(error.reason.starts_with(&format!("{side}_body: {reason}")), "{shown}: {error}");
                    let mut found = members(&value, &keep).expect(&shown);
                    let object = found.as_object_mut().expect("an object");
                    let error = object.shift_remove(&format!("{prefix}body_error")).expect(&shown);
                    assert!(error.as_str().expect("a text").starts_with(reason), "{shown}: {error}");
                    assert_eq!(found.to_string(), named(kept).to_string(), "{shown}");
                }
            }
        }
    }
}

/// Scenario: no body, bodies that are not text, an L4 session, `include_body` for the other side and for both.
/// Guarantees: members exist only for bodies that are present and included, the request's before the response's; a
/// message without bodies is unchanged.
#[test]
fn members_exist_only_for_included_bodies() {
    let both = options(Include::BOTH);
    for context in
        [json!({}), json!({"request_body": null, "response_body": 7}), json!({"vars": {"a": "\\"}}), json!([])]
    {
        let value = json!({"request": {}, "_context": context});
        assert_eq!(members(&value, &both).unwrap(), json!({}), "{value}");
    }
    let session = json!({"session": {"received": 1}, "_context": {"request_body": "x", "response_body": "y"}});
    assert_eq!(members(&session, &both).unwrap(), json!({"session": {"received": 1}}));
    let value = json!({"request": {}, "_context": {"response_body": "r", "request_body": ""}});
    let added = added(&value, Style::default(), &both).unwrap();
    assert_eq!(
        added,
        r#""body":"","body_args":{},"body_base64":true,"response_body":"cg==","response_body_args":{},"response_body_base64":true"#
    );
    assert_eq!(members(&value, &options(Include::OFF)).unwrap(), json!({}));

    let plain = |value: &Value, include| {
        let options = options(include);
        let shape =
            Shape::of(&json!({}), ShapeOptions { body: &options, redact: &[], hash_key: None, kong_quirks: false })
                .unwrap();
        shape.is_plain(&message(value, Style::default()))
    };
    assert!(!plain(&value, Include::REQUEST) && plain(&value, Include::OFF));
    assert!(plain(&json!({"request": {}, "_context": {"vars": {"a": 1}}}), Include::BOTH));
    assert!(plain(&json!({"request": {"request_body": "x"}}), Include::BOTH));
    let escaped = r#"{"request":{},"_context":{"request\u005fbody":"x"}}"#;
    let escaped = Transaction::parse(Bytes::from(escaped), &Limits::default()).unwrap();
    assert!(shaped(&Message::new(escaped, Style::default()), &both).unwrap().contains(r#""body":"eA==""#));
}

/// Scenario: a body that is marked as base64 and is not.
/// Guarantees: the message is sent with a notice.
#[test]
fn not_base64() {
    let value = json!({"request": {}, "_context": {"request_body": "???", "request_body_base64": true}});
    let found = members(&value, &options(Include::REQUEST)).unwrap();
    assert_eq!(found, json!({"body_error": "request_body is not base64"}));
}

/// Scenario: bodies at and above `max_body_size`, some of them broken; `body_types` that contain the type and that do
/// not.
/// Guarantees: larger bodies have only their size and are not parsed; bodies of other types are absent; an invalid
/// media range is reported with its index.
#[test]
fn sizes_and_types() {
    let json = |body: &str| transaction("request", &json!("application/json; charset=utf-8"), body.as_bytes());
    let small = BodyOptions { max_size: Some(4), ..options(Include::REQUEST) };
    assert_eq!(members(&json("[12]"), &small).unwrap(), json!({"body": "[12]", "body_args": [12]}));
    assert!(members(&json("[12 "), &small).is_err());
    assert_eq!(members(&json("[123]"), &small).unwrap(), json!({"body_size": 5}));
    assert_eq!(members(&json("[1234"), &small).unwrap(), json!({"body_size": 5}));

    let types = |types: &[&str]| {
        let types = Some(types.iter().map(|range| (*range).to_owned()).collect());
        BodyOptions { types, ..options(Include::REQUEST) }
    };
    let taken = json!({"body": "{}", "body_args": {}});
    for (ranges, expected) in [
        (&["Application/JSON"][..], &taken),
        (&["text/*", "application/*"], &taken),
        (&["*/*"], &taken),
        (&["text/*", "application/xml"], &json!({})),
        (&[], &json!({})),
    ] {
        assert_eq!(members(&json("{}"), &types(ranges)).unwrap(), *expected, "{ranges:?}");
    }
    let wrong = types(&["text/*", "text"]);
    let error = Shape::of(&json!({}), ShapeOptions { body: &wrong, redact: &[], hash_key: None, kong_quirks: false })
        .unwrap_err();
    assert_eq!(error.field, "body_types[1]");
    assert!(error.reason.contains("`text`"), "{error}");
}

/// Scenario: edits of the body members: set, removed, edited below, in each mode, and one that fails; a log object that
/// has such a member.
/// Guarantees: the result is the same as if the body had been present before every edit.
#[test]
fn lua_has_the_last_word() {
    let both = options(Include::BOTH);
    let base = json!({"request": {"headers": {"content-type": "application/json"}},
        "_context": {"request_body": r#"{"password":"p","user":"u"}"#}});
    let edited = |value: &Value, edits: &[(&str, Option<&str>, Mode)]| {
        let mut message = message(value, Style::default());
        for (key, text, mode) in edits {
            let path = KeyPath::parse(key, false);
            message.edit(&path, text.map(|text| text.as_bytes().to_vec()), *mode).expect("can be made");
        }
        let mut value: Value = serde_json::from_str(&shaped(&message, &both).unwrap()).unwrap();
        value.as_object_mut().unwrap().remove("request");
        value
    };
    let (body, args) = (r#"{"password":"p","user":"u"}"#, json!({"password": "p", "user": "u"}));
    for (edits, expected) in [
        (&[("other", Some("1"), Mode::Set)][..], json!({"other": 1, "body": body, "body_args": args})),
        (&[("body", Some("1"), Mode::Set)], json!({"body": 1, "body_args": args})),
        (&[("body", None, Mode::Set)], json!({"body_args": args})),
        (&[("body", None, Mode::Set), ("body_args.password", None, Mode::Set)], json!({"body_args": {"user": "u"}})),
        (
            &[("body_args.more", Some("[1]"), Mode::Set), ("body", None, Mode::Set)],
            json!({"body_args": {"password": "p", "user": "u", "more": [1]}}),
        ),
        (&[("body", Some("1"), Mode::Add)], json!({"body": body, "body_args": args})),
        (&[("body", Some("1"), Mode::Replace)], json!({"body": 1, "body_args": args})),
        (&[("body.x", Some("1"), Mode::Set)], json!({"body": {"x": 1}, "body_args": args})),
        (&[("body_size", Some("1"), Mode::Set)], json!({"body_size": 1, "body": body, "body_args": args})),
        (&[("body_args", Some("1"), Mode::Set), ("body_args", None, Mode::Set)], json!({"body": body})),
    ] {
        assert_eq!(edited(&base, edits), expected, "{edits:?}");
    }
    let mut own = base.clone();
    own["body"] = "own".into();
    assert_eq!(edited(&own, &[]), json!({"body": "own", "body_args": args}));
    assert_eq!(edited(&own, &[("body", None, Mode::Set)]), json!({"body_args": args}));
}

/// Scenario: JSON and forms in Kong's style and in the default style.
/// Guarantees: in Kong's style numbers, slashes and empty arrays are as cjson writes them (arrays of a body are marked
/// as arrays); in the default style they are unchanged.
#[test]
fn styles() {
    let value = transaction(
        "request",
        &json!("application/json"),
        br#" { "a/b" : [ 1.0, 12345678901234567890, [] , "\/" ] } "#,
    );
    let only = options(Include::REQUEST);
    let with_args = |style| added(&value, style, &only).unwrap().split_once(r#","body_args":"#).unwrap().1.to_owned();
    assert_eq!(with_args(Style::default()), r#"{"a/b":[1.0,12345678901234567890,[],"\/"]}"#);
    assert_eq!(with_args(Style::KONG), r#"{"a\/b":[1,1.2345678901235e+19,[],"\/"]}"#);
    let mut edited = message(&value, Style::KONG);
    edited.edit(&KeyPath::parse("body_args.x", true), Some(b"1".to_vec()), Mode::Set).unwrap();
    let text = shaped(&edited, &only).unwrap();
    assert!(text.contains(r#","body_args":{"a\/b":[1,1.2345678901235e+19,[],"\/"],"x":1}"#), "{text}");
    let form = transaction("request", &json!("application/x-www-form-urlencoded"), b"a=%2F&a=1&e");
    assert_eq!(
        added(&form, Style::default(), &only).unwrap(),
        r#""body":"a=%2F&a=1&e","body_args":{"a":["/","1"],"e":true}"#
    );
    assert_eq!(
        added(&form, Style::KONG, &only).unwrap(),
        r#""body":"a=%2F&a=1&e","body_args":{"a":["\/","1"],"e":true}"#
    );
    let broken = transaction("request", &json!("multipart/form-data"), b"x");
    assert!(added(&broken, Style::default(), &only).is_err());
    assert_eq!(added(&broken, Style::KONG, &only).unwrap(), r#""body":"x","body_args":{}"#);
}

/// Scenario: a form with more arguments than Kong reads.
/// Guarantees: exactly the first hundred are present.
#[test]
fn many_arguments() {
    let form: Vec<_> = (0..150).map(|at| format!("a{at}=1")).collect();
    let value = transaction("request", &json!("application/x-www-form-urlencoded"), form.join("&&").as_bytes());
    let found = members(&value, &options(Include::REQUEST)).unwrap();
    let args = found["body_args"].as_object().unwrap();
    assert!(args.len() == 100 && args.contains_key("a99"), "{args:?}");
}

fn headers() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("application/json".to_owned()),
        Just("application/x-www-form-urlencoded".to_owned()),
        Just("multipart/form-data; boundary=B".to_owned()),
        Just("text/plain".to_owned()),
        ".{0,20}",
    ]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"--B\r\n".to_vec()),
        Just(b"Content-Disposition: form-data; name=\"a\"\r\n\r\n".to_vec()),
        Just(b"{\"a\":".to_vec()),
        Just(b"[1,".to_vec()),
        Just(b"]}".to_vec()),
        Just(b"a=%ff&b".to_vec()),
        Just(b"\"\\ud800\"".to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Scenario: any body with any content type, in both styles.
    /// Guarantees: no panic; the result is one JSON object on one line that contains the original body.
    #[test]
    fn always_json(header in headers(), body in bodies(), kong in any::<bool>()) {
        let value = transaction("request", &json!(header), &body);
        let keep = BodyOptions { keep_broken: true, ..options(Include::BOTH) };
        let text = shaped(&message(&value, Style::of(kong)), &keep).expect("kept");
        prop_assert!(!text.contains('\n'));
        let found: Value = serde_json::from_str(&text).expect("JSON");
        let raw = found["body"].as_str().expect("a text");
        let raw = if found["body_base64"] == true { STANDARD.decode(raw).expect("base64") } else { raw.into() };
        prop_assert_eq!(raw, body);
        prop_assert!(found.get("body_args").is_some() != found.get("body_error").is_some());
    }
}
