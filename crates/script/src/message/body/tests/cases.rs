//! Content types and bodies, with the members that they become.

use serde_json::{Value, json};

/// One header and body.
pub(super) struct Case {
    /// The header: a text, an array of texts, or null for none.
    pub(super) header: Value,
    /// The body.
    pub(super) body: Vec<u8>,
    /// The members in order, or the beginning of the reason and the members that are kept.
    pub(super) expected: Result<Value, (&'static str, Value)>,
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    all.extend(plain_types());
    all.extend(other_types());
    all.extend(forms());
    all.extend(json_bodies());
    all.extend(broken_json());
    all.extend(multipart_bodies());
    all.extend(broken_multipart());
    all
}

fn sound(header: impl Into<Value>, body: impl AsRef<[u8]>, expected: Value) -> Case {
    Case { header: header.into(), body: body.as_ref().to_vec(), expected: Ok(expected) }
}

fn broken(header: &str, body: impl AsRef<[u8]>, reason: &'static str, kept: Value) -> Case {
    Case { header: header.into(), body: body.as_ref().to_vec(), expected: Err((reason, kept)) }
}

/// Exactly these types are kept as text.
fn plain_types() -> Vec<Case> {
    let raw = |header: &str| sound(header, "a/b \"é\"\n", json!({"body": "a/b \"é\"\n", "body_args": {}}));
    vec![
        raw("text/plain"),
        raw("text/html"),
        raw("application/xml"),
        raw("text/xml"),
        raw("application/soap+xml"),
        sound("text/plain", "", json!({"body": "", "body_args": {}})),
        sound("text/plain", "\0\u{1}\u{7f}", json!({"body": "\0\u{1}\u{7f}", "body_args": {}})),
        sound(json!(["text/plain", "application/json"]), "x", json!({"body": "x", "body_args": {}})),
        // Latin-1, which JSON cannot hold.
        sound("text/plain", b"caf\xe9", json!({"body": "Y2Fm6Q==", "body_args": {}, "body_base64": true})),
        sound("text/xml", b"\xff\xfe<\0", json!({"body": "//48AA==", "body_args": {}, "body_base64": true})),
    ]
}

/// All other types that are not parsed are base64, with the exact text of the header.
fn other_types() -> Vec<Case> {
    let encoded = |header: Value| sound(header, "a/b", json!({"body": "YS9i", "body_args": {}, "body_base64": true}));
    let mut cases: Vec<_> = [
        "text/plain; charset=utf-8",
        "text/plain;charset=utf-8",
        "text/plain;",
        " text/plain",
        "text/plain ",
        "Text/Plain",
        "TEXT/HTML",
        "text/html; charset=UTF-8",
        "application/xml; charset=utf-8",
        "text/csv",
        "text/css",
        "application/octet-stream",
        "application/grpc",
        "application/vnd.api+json",
        "application/x-ndjson",
        "application/problem+json",
        " application/json",
        "image/png",
        "multipart/mixed; boundary=B",
        "multipart/form-dat",
        "nonsense",
        "",
        "é",
        ";application/json",
    ]
    .into_iter()
    .map(|header| encoded(header.into()))
    .collect();
    cases.push(encoded(Value::Null));
    cases.push(encoded(json!([])));
    cases.push(encoded(json!(["image/png", "text/plain"])));
    cases.push(encoded(json!(7)));
    cases.push(sound(Value::Null, "", json!({"body": "", "body_args": {}, "body_base64": true})));
    cases.push(sound(
        "image/png",
        b"\x89PNG\r\n\x1a\n",
        json!({"body": "iVBORw0KGgo=", "body_args": {}, "body_base64": true}),
    ));
    cases
}

fn forms() -> Vec<Case> {
    const FORM: &str = "application/x-www-form-urlencoded";
    let form = |body: &str, args: Value| sound(FORM, body, json!({"body": body, "body_args": args}));
    vec![
        form("", json!({})),
        form("a=1", json!({"a": "1"})),
        form("a=1&b=2&a=3", json!({"a": ["1", "3"], "b": "2"})),
        form("a=1&a=2&a=3&a", json!({"a": ["1", "2", "3", true]})),
        form("flag", json!({"flag": true})),
        form("a=", json!({"a": ""})),
        form("=1&&a=b", json!({"a": "b"})),
        form("a=b=c", json!({"a": "b=c"})),
        form("a+b=c+d%20e", json!({"a b": "c d e"})),
        form("%61%26=%3D%2f%C3%A9", json!({"a&": "=/é"})),
        form("a=%zz%4&b=%", json!({"a": "%zz%4", "b": "%"})),
        form("a[]=1&a[]=2", json!({"a[]": ["1", "2"]})),
        form("{\"a\":1}", json!({"{\"a\":1}": true})),
        form("a=%FF", json!({"a": "\u{fffd}"})),
        form("a=1\nb=2", json!({"a": "1\nb=2"})),
        sound(
            "application/x-www-form-urlencoded; charset=utf-8",
            "a=1",
            json!({"body": "a=1", "body_args": {"a": "1"}}),
        ),
        sound("Application/X-WWW-Form-Urlencoded", "a=1", json!({"body": "a=1", "body_args": {"a": "1"}})),
        sound("application/x-www-form-urlencoded-but-not", "a", json!({"body": "a", "body_args": {"a": true}})),
        sound(FORM, b"a=\xff", json!({"body": "YT3/", "body_args": {"a": "\u{fffd}"}, "body_base64": true})),
    ]
}

fn json_bodies() -> Vec<Case> {
    let same = |body: &str| {
        let value: Value = serde_json::from_str(body).expect("sound");
        sound("application/json", body, json!({"body": body, "body_args": value}))
    };
    vec![
        same("{}"),
        same("[]"),
        same(r#"{"a":{"b":[1,2.5,-3e2,true,false,null,"x/y"]},"é":"\u00e9\n"}"#),
        same("[[],{},[[]]]"),
        same(" \n{ \"a\" :\t1 } \r\n"),
        same(r#"["\ud83d\ude00"]"#),
        sound("application/json; charset=utf-8", "[1]", json!({"body": "[1]", "body_args": [1]})),
        sound("APPLICATION/JSON", "[1]", json!({"body": "[1]", "body_args": [1]})),
        sound("application/json-patch+json", "[1]", json!({"body": "[1]", "body_args": [1]})),
        sound(json!(["application/json", "text/plain"]), "[1]", json!({"body": "[1]", "body_args": [1]})),
    ]
}

fn broken_json() -> Vec<Case> {
    let no = |body: &str| broken("application/json", body, "invalid json body: ", json!({"body": body}));
    let mut cases: Vec<_> = [
        "",
        " ",
        "{",
        "{\"a\":1",
        "[1,]",
        "{a:1}",
        "{'a':1}",
        "{} {}",
        "[1] x",
        "1",
        "\"text\"",
        "true",
        "null",
        "nil",
        "\u{feff}{}",
        "[01]",
        "[1e999]",
        "[NaN]",
        "[\"\\ud800\"]",
        "[\"\n\"]",
        "<a/>",
    ]
    .into_iter()
    .map(no)
    .collect();
    let deep = "[".repeat(200) + &"]".repeat(200);
    cases.push(no(&deep));
    let latin = json!({"body": "WyLpIl0=", "body_base64": true});
    cases.push(broken("application/json", b"[\"\xe9\"]", "invalid json body: ", latin));
    cases
}

fn multipart_bodies() -> Vec<Case> {
    const KIND: &str = "multipart/form-data; boundary=B";
    let two = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B\r\n\
               Content-Disposition: form-data; name=\"b\"\r\n\r\n2\r\n3\r\n--B--\r\n";
    let file = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
                one\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"b.txt\"\r\n\r\ntwo\r\n--B\r\n\
                Content-Disposition: form-data; name=\"n\"\r\n\r\n\r\n--B--";
    let bare = two.replace('\r', "");
    let binary = b"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n\xff\x00\r\n--B\r\n\
                   Content-Disposition: form-data; name=\"t\"\r\n\r\ntext\r\n--B--\r\n";
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, binary);
    let fields = json!({"a": "1", "b": "2\r\n3"});
    vec![
        sound(KIND, two, json!({"body": two, "body_args": fields})),
        sound("Multipart/Form-Data; charset=x; Boundary=\"B\"", two, json!({"body": two, "body_args": fields})),
        sound(KIND, file, json!({"body": file, "body_args": {"f": ["one", "two"], "n": ""}})),
        sound(KIND, &bare, json!({"body": bare, "body_args": {"a": "1", "b": "2\n3"}})),
        sound(KIND, "--B--", json!({"body": "--B--", "body_args": {}})),
        sound(KIND, binary, json!({"body": encoded, "body_args": {"f": "/wA=", "t": "text"}, "body_base64": true})),
    ]
}

fn broken_multipart() -> Vec<Case> {
    let part = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1";
    let no =
        |header: &str, body: &str| broken(header, body, "unable to decode multipart body: ", json!({"body": body}));
    vec![
        no("multipart/form-data", part),
        no("multipart/form-data; boundary=", part),
        no("multipart/form-data; boundary=B", ""),
        no("multipart/form-data; boundary=B", part),
        no("multipart/form-data; boundary=C", part),
        no("multipart/form-data; boundary=B", "--B\r\nContent-Disp"),
        no("multipart/form-data; boundary=B", "{\"a\":1}"),
    ]
}
