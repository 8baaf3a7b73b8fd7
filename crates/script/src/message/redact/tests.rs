use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::message::Include;
use crate::message::{BodyOptions, KeyPath, Message, Mode, Shape, ShapeError, ShapeOptions, Style};
use crate::transaction::{Limits, Transaction};

const KEY: &str = "0123456789abcdef";
/// `printf secret | openssl dgst -sha256 -hmac 0123456789abcdef`
const SECRET_HASH: &str = "hmac-sha256:59fa6a4dccc441a2ceb3d563296276a0a2293d927d294d695cca0ca3c3556b35";

fn shape(rules: Value) -> Shape {
    with_bodies(rules, Include::OFF, Some(KEY)).expect("sound rules")
}

fn with_bodies(rules: Value, include: Include, hash_key: Option<&str>) -> Result<Shape, ShapeError> {
    let body = BodyOptions::new(include, 100);
    let options = ShapeOptions { body: &body, redact: &[], hash_key, kong_quirks: false };
    Shape::of(&json!({ "redact": rules }), options)
}

fn message(text: &str, style: Style) -> Message {
    let transaction = Transaction::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default());
    Message::new(transaction.expect("a sound transaction"), style)
}

/// The message of `text` under `rules`, as bytes.
fn shaped(text: &str, rules: Value, style: Style) -> String {
    String::from_utf8(message(text, style).shaped(&shape(rules)).expect("no body is asked for")).expect("UTF-8")
}

fn value(text: &str, rules: Value) -> Value {
    serde_json::from_str(&shaped(text, rules, Style::default())).expect("JSON")
}

fn hash(secret: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, KEY.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, secret.as_bytes());
    format!("hmac-sha256:{}", tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Scenario: a key and a text whose hash another tool has computed.
/// Guarantees: the hash is the same, in full.
#[test]
fn hashes_are_hmac_sha_256() {
    let out = value(r#"{"a":"secret"}"#, json!([{"key": "a", "action": "hash"}]));
    assert_eq!(out, json!({ "a": SECRET_HASH }));
}

/// Scenario: headers in any case, once and repeated, escaped, with a duplicate name, and as a list; credentials that
/// are always redacted.
/// Guarantees: all matching headers of request and response are masked, hashed or removed, and no others.
#[test]
fn headers() {
    let text = concat!(
        r#"{"request":{"headers":{"X-Api-Key":"secret","x-api-k\u0065y":["secret","b"],"x-api-key-2":"kept"}},"#,
        r#""response":{"headers":{"x-api-key":"secret","x-api-key":"secret","n":1}},"x-api-key":"kept"}"#
    );
    for (action, request, response) in [
        ("mask", json!({"X-Api-Key": "***", "x-api-key": ["***", "***"]}), json!({"x-api-key": "***"})),
        (
            "hash",
            json!({"X-Api-Key": hash("secret"), "x-api-key": [hash("secret"), hash("b")]}),
            json!({"x-api-key": hash("secret")}),
        ),
        ("remove", json!({}), json!({})),
    ] {
        let out = value(text, json!([{"header": "x-API-key", "action": action}]));
        let mut expected = json!({
            "request": {"headers": request}, "response": {"headers": response}, "x-api-key": "kept",
        });
        expected["request"]["headers"]["x-api-key-2"] = json!("kept");
        expected["response"]["headers"]["n"] = json!(1);
        assert_eq!(out, expected, "{action}");
    }
    let credential = r#"{"request":{"headers":{"Authorization":"secret"}}}"#;
    for (action, left) in [
        ("mask", json!({"Authorization": "***"})),
        ("hash", json!({ "Authorization": hash("secret") })),
        ("remove", json!({})),
    ] {
        let out = value(credential, json!([{"header": "authorization", "action": action}]));
        assert_eq!(out["request"]["headers"], left);
    }
}

/// Scenario: an argument in all kinds of URLs: first, last, alone, repeated, encoded, without a value, before and
/// inside a fragment, with escaped slashes.
/// Guarantees: it is masked, hashed by its decoded value, or removed with its separator; every other byte is unchanged.
#[test]
fn arguments_in_urls() {
    let h = hash("a b");
    for (url, masked, hashed, removed) in [
        ("/p?token=a+b", "/p?token=***", format!("/p?token={h}"), "/p"),
        ("/p?token=a%20b&x=1", "/p?token=***&x=1", format!("/p?token={h}&x=1"), "/p?x=1"),
        ("/p?x=%zz&&%74oken=a%20b#f", "/p?x=%zz&&%74oken=***#f", format!("/p?x=%zz&&%74oken={h}#f"), "/p?x=%zz&#f"),
        ("http://h/?token&x", "http://h/?token&x", "http://h/?token&x".into(), "http://h/?x"),
        ("/?token=a b&token=a b", "/?token=***&token=***", format!("/?token={h}&token={h}"), "/"),
        ("/#token=a b&x=1", "/#token=***&x=1", format!("/#token={h}&x=1"), "/#x=1"),
        ("/#/r?token=a b", "/#/r?token=***", format!("/#/r?token={h}"), "/#/r"),
        ("/token=1?x=1&token2=2&Token=3", "/token=1?x=1&token2=2&Token=3", "/token=1?x=1&token2=2&Token=3".into(), ""),
    ] {
        let removed = if removed.is_empty() { url } else { removed };
        for (action, expected) in [("mask", masked), ("hash", &*hashed), ("remove", removed)] {
            let escaped = url.replace('/', "\\/");
            let text = format!(
                r#"{{"upstream_uri":"{url}","request":{{"url":"{escaped}","uri":"{url}","headers":{{"Referer":["{url}"]}}}},"response":{{"headers":{{"location":"{url}"}}}}}}"#
            );
            let out = value(&text, json!([{"query": "token", "action": action}]));
            let parts = [
                "/upstream_uri",
                "/request/url",
                "/request/uri",
                "/request/headers/Referer/0",
                "/response/headers/location",
            ];
            for part in parts {
                assert_eq!(out.pointer(part), Some(&json!(expected)), "{action} of {url} in {part}");
            }
        }
    }
}

/// Scenario: the query string as an object with lists, flags and other names, and as text.
/// Guarantees: values of the exact name are redacted; a flag changes only under `remove`.
#[test]
fn arguments_in_the_query_string() {
    let text = r#"{"request":{"querystring":{"token":["a",true,"b"],"Token":"kept","tok\u0065n":"secret","x":{}}}}"#;
    let one = r#"{"request":{"querystring":{"token":["a",true],"flag":true,"x":"1"}}}"#;
    let masked = value(text, json!([{"query": "token"}]));
    assert_eq!(masked["request"]["querystring"], json!({"token": "***", "Token": "kept", "x": {}}));
    let masked = value(one, json!([{"query": "token"}, {"query": "flag"}]));
    assert_eq!(masked["request"]["querystring"], json!({"token": ["***", true], "flag": true, "x": "1"}));
    let removed = value(one, json!([{"query": "token", "action": "remove"}, {"query": "flag", "action": "remove"}]));
    assert_eq!(removed["request"]["querystring"], json!({"x": "1"}));
    let raw = value(r#"{"request":{"querystring":"x=1&token=s"}}"#, json!([{"query": "token"}]));
    assert_eq!(raw["request"]["querystring"], "x=1&token=***");
}

/// Scenario: cookies sent and set: alone, among others, repeated, quoted with a semicolon, joined by a comma, with
/// attributes.
/// Guarantees: the value is redacted, attributes and other cookies are unchanged, and nothing of a removed cookie
/// remains.
#[test]
fn cookies() {
    for (text, masked, removed) in [
        ("session=s", Some("session=***"), None),
        ("a=1; session=s; b=2", Some("a=1; session=***; b=2"), Some("a=1; b=2")),
        ("a=1;session = s;session=t", Some("a=1;session =***;session=***"), Some("a=1")),
        ("session=\"a;b\\\"; c\"; d=1", Some("session=***; d=1"), Some("d=1")),
        ("a=1, session=s", Some("a=1, session=***"), Some("a=1")),
        ("session2=s; Session=t; x", Some("session2=s; Session=t; x"), Some("session2=s; Session=t; x")),
    ] {
        for (action, expected) in [("mask", masked), ("remove", removed)] {
            let text = json!({"request": {"headers": {"Cookie": text}}}).to_string();
            let out = value(&text, json!([{"cookie": "session", "action": action}]));
            assert_eq!(out["request"]["headers"].get("Cookie").and_then(Value::as_str), expected, "{action} {text}");
        }
    }
    let set = json!(["session=s; Path=/; HttpOnly", "a=session=1; Domain=session=x"]);
    let text = json!({"response": {"headers": {"set-cookie": set}}}).to_string();
    let out = |action: &str| {
        value(&text, json!([{"cookie": "session", "action": action}]))["response"]["headers"]["set-cookie"].clone()
    };
    assert_eq!(out("mask"), json!(["session=***; Path=/; HttpOnly", set[1]]));
    assert_eq!(out("hash"), json!([format!("session={}; Path=/; HttpOnly", hash("s")), set[1]]));
    assert_eq!(out("remove"), json!([set[1]]));
}

/// Scenario: key paths through objects and arrays, with `*`, an escaped dot and an index, to values of every type.
/// Guarantees: matching values are masked, hashed or removed; a path without a match changes nothing.
#[test]
fn key_paths() {
    let text = r#"{"a":{"b.c":{"z": 1 },"n":null},"tries":[{"ip":"1"},{"ip":"2","port":3}],"body":{"password":"p"}}"#;
    for (key, action, path, expected) in [
        (r"a.b\.c", "mask", "/a/b.c", json!("***")),
        (r"a.b\.c", "hash", "/a/b.c", json!(hash(r#"{"z":1}"#))),
        ("a.n", "hash", "/a/n", json!(hash("null"))),
        ("tries.*.ip", "mask", "/tries", json!([{"ip": "***"}, {"ip": "***", "port": 3}])),
        ("tries[2].ip", "remove", "/tries", json!([{"ip": "1"}, {"port": 3}])),
        ("tries.*", "remove", "/tries", json!([])),
        ("body.*", "mask", "/body", json!({"password": "***"})),
        ("a", "mask", "/a", json!("***")),
        ("nope.*.x", "mask", "/body", json!({"password": "p"})),
    ] {
        let out = value(text, json!([{"key": key, "action": action}]));
        assert_eq!(out.pointer(path), Some(&expected), "{key} {action}");
    }
}

/// Scenario: a pattern over plain, escaped and nested strings, behind a duplicate name, as a name, and a pattern that
/// matches only empty text.
/// Guarantees: each match in a value is replaced, names and numbers are unchanged, and matching ends.
#[test]
fn patterns() {
    let card = json!([{"pattern": r"\b\d{16}\b"}]);
    let text = concat!(
        r#"{"a":"x 1234567890123456 y","1234567890123456":[{"b":"\u0031234567890123456"}],"n":1234567890123456,"#,
        r#""o":{"d":"1234567890123456","d":"z"},"e":"a\/b"}"#
    );
    let out = shaped(text, card, Style::default());
    let expected =
        r#"{"a":"x *** y","1234567890123456":[{"b":"***"}],"n":1234567890123456,"o":{"d":"***","d":"z"},"e":"a\/b"}"#;
    assert_eq!(out, expected);
    let text = r#"{"a":"é1é","b":""}"#;
    assert_eq!(shaped(text, json!([{"pattern": r"\d*"}]), Style::default()), r#"{"a":"é***é","b":""}"#);
    assert_eq!(shaped(text, json!([{"pattern": r"\d", "action": "remove"}]), Style::default()), r#"{"a":"éé","b":""}"#);
    let hashed = value(text, json!([{"pattern": r"\d", "action": "hash"}]));
    assert_eq!(hashed["a"], format!("é{}é", hash("1")));
}

/// Scenario: several rules for one value; a value that a script copied.
/// Guarantees: a later rule sees the result of an earlier one, and rules see the results of edits.
#[test]
fn order_and_edits() {
    let mut own = message(r#"{"a":"secret"}"#, Style::default());
    own.edit(&KeyPath::parse("copy.deep", false), Some(br#"["x secret"]"#.to_vec()), Mode::Set).expect("an edit");
    let out = own.shaped(&shape(json!([{"pattern": "secret"}, {"key": "a", "action": "hash"}]))).expect("no body");
    let out: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(out, json!({"a": hash("***"), "copy": {"deep": ["x ***"]}}));
}

/// Scenario: a request with two `headers` members, credentials in the first; rules that match neither.
/// Guarantees: bytes that no reader of the message would see are not sent either.
#[test]
fn superseded_headers_are_not_sent() {
    let text = r#"{"request":{"headers":{"authorization":"secret","x":"secret"},"headers":{"y":"1"},"uri":"/"}}"#;
    for style in [Style::default(), Style::KONG] {
        assert!(!String::from_utf8_lossy(&message(text, style).to_vec()).contains("secret"));
        assert!(!shaped(text, json!([{"header": "x"}]), style).contains("secret"));
    }
}

/// Scenario: Kong's empty arrays: with blanks inside, behind escaped names, in text that only looks like them; and
/// empty objects.
/// Guarantees: arrays of the log object and its entities are `[]` and everything else is unchanged; Kong's style
/// changes nothing; an edit below an array has its usual effect.
#[test]
fn arrays_stay_arrays() {
    let text = concat!(
        r#"{"tries":{},"route":{"tags":{ },"p\u0061ths":{},"headers":{},"name":"\"tags\":{}","service":{"tags":{}}},"#,
        r#""service":{"tags":[],"ca_certificates":{},"name":"{}"},"consumer":{"tags":{}},"#,
        r#""request":{"headers":{},"querystring":{"tags":{}}},"body_args":{"tags":{}},"x":{}}"#
    );
    let expected = concat!(
        r#"{"tries":[],"route":{"tags":[],"p\u0061ths":[],"headers":{},"name":"\"tags\":{}","service":{"tags":{}}},"#,
        r#""service":{"tags":[],"ca_certificates":[],"name":"{}"},"consumer":{"tags":[]},"#,
        r#""request":{"headers":{},"querystring":{"tags":{}}},"body_args":{"tags":{}},"x":{}}"#
    );
    assert_eq!(String::from_utf8_lossy(&message(text, Style::default()).to_vec()), expected);
    let kong = r#"{"tries":{},"route":{"tags":{}},"x":1}"#;
    assert_eq!(String::from_utf8_lossy(&message(kong, Style::KONG).to_vec()), kong);
    for (key, value, mode, tags) in [
        ("route.tags[1]", "1", Mode::Set, "[1]"),
        ("route.tags.a", "1", Mode::Set, r#"{"a":1}"#),
        ("route.tags.a", "1", Mode::Replace, "[]"),
        ("route.x", "1", Mode::Set, r#"[],"x":1"#),
        ("route.tags", "{}", Mode::Set, "{}"),
    ] {
        let mut message = message(kong, Style::default());
        message.edit(&KeyPath::parse(key, false), Some(value.as_bytes().to_vec()), mode).expect("an edit");
        let expected = format!(r#"{{"tries":[],"route":{{"tags":{tags}}},"x":1}}"#);
        assert_eq!(String::from_utf8_lossy(&message.to_vec()), expected, "{key}");
    }
}

/// Scenario: secrets in a JSON body that becomes part of the message.
/// Guarantees: key paths and patterns apply to `body_args`, and patterns also to the raw body.
#[test]
fn bodies_are_redacted_too() {
    let body = r#"{"password":"hunter2","cards":[{"number":"4111111111111111"}],"n":1.50}"#;
    let transaction = json!({
        "request": {"headers": {"content-type": "application/json"}},
        "_context": {"request_body": body},
    });
    let rules = json!([{"key": "body_args.password", "action": "remove"}, {"pattern": "[0-9]{16}"}]);
    let shape = with_bodies(rules, Include::REQUEST, None).expect("sound rules");
    let out = message(&transaction.to_string(), Style::default()).shaped(&shape).expect("a sound body");
    let out = String::from_utf8(out).expect("UTF-8");
    assert!(out.contains(r#""body_args":{"cards":[{"number":"***"}],"n":1.50}"#), "{out}");
    assert!(!out.contains("4111111111111111"), "{out}");
}

/// Scenario: a hash rule without a key, and an invalid pattern.
/// Guarantees: the errors name the field.
#[test]
fn invalid_rules_are_refused() {
    let error = |rules: Value| with_bodies(rules, Include::OFF, None).expect_err("refused");
    let no_key = error(json!([{"header": "a"}, {"header": "b", "action": "hash"}]));
    assert_eq!((&*no_key.field, no_key.reason.contains("LOGPHASE_REDACT_KEY")), ("redact[1].action", true));
    let pattern = error(json!([{"pattern": "a"}, {"pattern": "b"}, {"pattern": "(x"}]));
    assert_eq!(pattern.field, "redact[2].pattern");
    assert_eq!(pattern.reason, "not a regular expression: unclosed group at character 1");
    assert!(error(json!([{"pattern": r"(\w{900}){900}"}])).reason.contains("too large"));
    assert_eq!(error(json!([{"header": "a", "query": "b"}])).field, "redact[0].header");
}

/// Any JSON, with its strings in any of JSON's spellings.
fn any_json() -> impl Strategy<Value = String> {
    let string = prop::collection::vec((any::<char>(), 0..3_u8), 0..6).prop_map(|parts| {
        let spelt: String = parts.into_iter().map(|(c, how)| spell(c, how)).collect();
        format!("\"{spelt}\"")
    });
    let leaf = prop_oneof![
        string.clone(),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        Just("1.50".to_owned()),
        Just("true".to_owned())
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[ {}]", items.join(" , "))),
            prop::collection::vec(("(request|headers|cookie|tags|route|url|a)", inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
                format!("{{ {}}}", members.join(","))
            }),
        ]
    })
}

fn spell(c: char, how: u8) -> String {
    match how {
        0 => {
            let quoted = json!(c.to_string()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
        _ => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    }
}

fn spelt(text: &str, ways: &[u8]) -> String {
    text.chars().zip(ways.iter().cycle()).map(|(c, how)| if *how == 0 { c.to_string() } else { spell(c, 1) }).collect()
}

proptest! {
    /// Scenario: a secret in places that rules match, with names and secret in any JSON spelling, header names in any
    /// case, among other members.
    /// Guarantees: no value of the message contains it, however it is spelled; other members are unchanged.
    #[test]
    fn planted_secrets_do_not_survive(
        ways in prop::collection::vec(0..2_u8, 1..40),
        upper in any::<bool>(),
        list in any::<bool>(),
        action in 0..3_usize,
        extra in any_json(),
        quirks in any::<bool>(),
    ) {
        let secret = "S3cr3tV4lu3";
        let s = spelt(secret, &ways);
        let n = |name: &str| spelt(&if upper { name.to_uppercase() } else { name.to_owned() }, &ways);
        let v = if list { format!("[\"{s}\",\"{s}\"]") } else { format!("\"{s}\"") };
        let (x_key, cookie, set, token, session) =
            (n("x-key"), n("cookie"), n("set-cookie"), spelt("token", &ways), spelt("session", &ways));
        let text = format!(
            r#"{{"upstream_uri":"/?a=1&{token}={s}","request":{{"url":"http:\/\/h?{token}={s}&b","uri":"/?%74oken={s}","querystring":{{"{token}":{v},"k":"1"}},"headers":{{"{x_key}":{v},"{cookie}":"a=1; {session}={s}"}}}},"response":{{"headers":{{"{set}":["{session}={s}; Path=/"],"{x_key}":{v}}}}},"deep":[{{"card":"id {s}!"}}],"user":{{"name":{v}}},"extra":{extra}}}"#
        );
        let action = ["mask", "hash", "remove"][action];
        let rules = json!([
            {"header": "X-Key", "action": action}, {"query": "token", "action": action},
            {"cookie": "session", "action": action}, {"key": "user.name", "action": action},
            {"pattern": "id S3c[a-z0-9A-Z]+", "action": action},
        ]);
        let out = shaped(&text, rules, Style::of(quirks));
        let parsed: Value = serde_json::from_str(&out).expect("JSON");
        prop_assert!(!out.contains(secret) && !parsed.to_string().contains(secret), "{}", out);
        let plain: Value = serde_json::from_slice(&message(&text, Style::of(quirks)).to_vec()).expect("JSON");
        prop_assert_eq!(&parsed["extra"], &plain["extra"]);
        prop_assert_eq!(&parsed["request"]["querystring"]["k"], "1");
    }

    /// Scenario: any transaction, with rules of every kind that match nothing.
    /// Guarantees: no panic, valid JSON, and every member is the same as without rules.
    #[test]
    fn unmatched_members_are_unchanged(extra in any_json(), route in any_json(), quirks in any::<bool>(), action in 0..3_usize) {
        let text = format!(r#"{{"request":{extra},"response":{extra},"route":{route},"upstream_uri":{route}}}"#);
        let action = ["mask", "hash", "remove"][action];
        let rules = json!([
            {"header": "zz", "action": action}, {"query": "zz", "action": action}, {"cookie": "zz", "action": action},
            {"key": "*.zz.*", "action": action}, {"pattern": "zz{9}", "action": action},
        ]);
        let style = Style::of(quirks);
        let with: Value = serde_json::from_str(&shaped(&text, rules, style)).expect("JSON");
        let without: Value = serde_json::from_slice(&message(&text, style).to_vec()).expect("JSON");
        prop_assert_eq!(with, without);
    }

    /// Scenario: rules that match any part of any transaction.
    /// Guarantees: no panic, and the result is one line of valid JSON.
    #[test]
    fn any_rules_leave_valid_json(extra in any_json(), action in 0..3_usize, quirks in any::<bool>()) {
        let text = format!(r#"{{"request":{extra},"route":{extra},"tags":{extra}}}"#);
        let action = ["mask", "hash", "remove"][action];
        let rules = json!([
            {"query": "a", "action": action}, {"cookie": "a", "action": action}, {"pattern": "[a-z]|.?", "action": action},
            {"header": "a", "action": action}, {"key": "*.*.a", "action": action}, {"key": "*[1].*", "action": action},
        ]);
        let out = shaped(&text, rules, Style::of(quirks));
        prop_assert!(!out.contains('\n') && serde_json::from_str::<Value>(&out).is_ok_and(|out| out.is_object()), "{}", out);
    }
}
