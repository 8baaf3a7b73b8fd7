//! Templates in JSON.

use serde_json::json;

use super::super::{JsonTemplate, Options, Template, is_json};
use super::{options, render_json};

fn entry() -> serde_json::Value {
    json!({
        "commonProperties": {
            "duration": "0.012s",
            "metadata": {"filterMetadata": {"ns": {
                "n": 3, "f": 1.5, "e": 1e21, "m": 1.5e-9, "t": true, "s": "a\"b", "z": null, "l": [1, {"b": 1, "a": 2}], "o": {"y": 1, "x": [2]}
            }}},
        },
        "protocolVersion": "HTTP11",
        "request": {"requestHeaders": {"x-a": "hä\t\u{1}\"\\/<>&\u{7f}", "x-empty": ""}},
        "response": {"responseCode": 404},
    })
}

fn rendered(template: &serde_json::Value) -> String {
    render_json(template, &options(), &entry())
}

fn omitted(template: &serde_json::Value) -> String {
    render_json(template, &Options { omit_empty: true, ..options() }, &entry())
}

/// Scenario: keys in another order, one empty, one with an operator in it; nested objects and arrays.
/// Guarantees: keys are sorted at every level and literal; literals stay as they are.
#[test]
fn structure() {
    let template = json!({
        "z": 1, "a": {"y": [1, "%PROTOCOL%", {"k": false}], "b": null}, "": "x", "%PROTOCOL%": "", "ä": "%%",
        "big": 1e20, "half": -0.5, "whole": 42.0,
    });
    assert_eq!(
        rendered(&template),
        r#"{"":"x","%PROTOCOL%":"","a":{"b":null,"y":[1,"HTTP/1.1",{"k":false}]},"big":1e+20,"half":-0.5,"whole":42,"z":1,"ä":"%"}"#
    );
}

/// Scenario: values that are one operator, and values that are more.
/// Guarantees: one operator keeps its type; anything else is a string; what is absent is `null`, or `-` in a string.
#[test]
fn types() {
    for (value, printed) in [
        ("%RESPONSE_CODE%", "404"),
        ("%DURATION%", "12"),
        (" %RESPONSE_CODE%", "\" 404\""),
        ("%RESPONSE_CODE%%DURATION%", "\"40412\""),
        ("%START_TIME%", "null"),
        ("at %START_TIME%", "\"at -\""),
        ("%RESPONSE_FLAGS%", "\"-\""),
        ("%REQ(X-EMPTY)%", "\"\""),
        ("%REQ(X-NONE)%", "null"),
        ("%CEL(response.code)%", "\"404\""),
        ("%TYPED_CEL(response.code)%", "404"),
        ("%TYPED_CEL(response.code == 404)%", "true"),
        ("%TYPED_CEL({'b': [1.5, null], 'a': request.headers['x-empty']})%", r#"{"a":"","b":[1.5,null]}"#),
        ("%TYPED_CEL(request.headers['none'])%", "null"),
        ("%DYNAMIC_METADATA(ns:n)%", "3"),
        ("%DYNAMIC_METADATA(ns:f)%", "1.5"),
        ("%DYNAMIC_METADATA(ns:e)%", "1e+21"),
        ("%DYNAMIC_METADATA(ns:m)%", "1.5e-9"),
        ("%DYNAMIC_METADATA(ns:t)%", "true"),
        ("%DYNAMIC_METADATA(ns:s)%", r#""a\"b""#),
        ("%DYNAMIC_METADATA(ns:z)%", "null"),
        ("%DYNAMIC_METADATA(ns:l):2%", r#"[1,{"a":2,"b":1}]"#),
        ("%METADATA(DYNAMIC:ns:o)%", r#"{"x":[2],"y":1}"#),
        ("x%METADATA(DYNAMIC:ns:o)%", r#""x{\"x\":[2],\"y\":1}""#),
        ("%DYNAMIC_METADATA(ns:o):4%x", r#""{\"x\"x""#),
    ] {
        assert_eq!(rendered(&json!({"k": value})), format!("{{\"k\":{printed}}}"), "{value}");
    }
}

/// Scenario: a header with quotes, control characters and characters beyond ASCII, whole and cut within one.
/// Guarantees: it is escaped as Envoy escapes it, and never broken.
#[test]
fn escapes() {
    assert_eq!(rendered(&json!({"k": "%REQ(X-A)%"})), "{\"k\":\"hä\\t\\u0001\\\"\\\\/<>&\u{7f}\"}");
    assert_eq!(rendered(&json!({"k": "%REQ(X-A):2%"})), r#"{"k":"h\u00c3"}"#);
    assert_eq!(rendered(&json!({"k": "ä %REQ(X-A):2%"})), r#"{"k":"\u00c3\u00a4 h\u00c3"}"#);
}

/// Scenario: absent values, literal nulls, and objects and arrays that become empty, with `omit_empty_values`.
/// Guarantees: absent members and elements are left out, and so are objects that have nothing left; empty arrays and
/// strings stay.
#[test]
fn omit_empty() {
    let template = json!({
        "a": "%REQ(X-NONE)%", "b": null, "c": {}, "d": {"e": "%REQ(X-NONE)%"}, "f": [], "g": ["%REQ(X-NONE)%", 1, null],
        "h": "x%REQ(X-NONE)%", "i": "%REQ(X-EMPTY)%", "j": "%REQ(X-NONE)%%REQ(X-NONE)%", "k": "%RESPONSE_FLAGS%", "l": "",
    });
    assert_eq!(omitted(&template), r#"{"f":[],"g":[1],"h":"x","i":"","j":"","k":"-","l":""}"#);
    assert_eq!(omitted(&json!({"a": null})), "{}");
    assert_eq!(rendered(&json!({"a": {}})), r#"{"a":{}}"#);
    let text = Template::new("[%REQ(X-NONE)%|%RESPONSE_FLAGS%]", &Options { omit_empty: true, ..options() }).unwrap();
    assert_eq!(super::render_bytes(&text, &entry()), b"[|-]");
}

/// Scenario: a text that looks like JSON, as TrafficLog's formats do.
/// Guarantees: as in Kong Mesh, values are filled in as they are; with the setting, the line stays valid JSON.
#[test]
fn text_that_looks_like_json() {
    let template = r#"{"path": "%REQ(X-A)%", "flags": "%RESPONSE_FLAGS%", "cut": "%REQ(X-A):2%"}"#;
    let plain = Template::new(template, &options()).unwrap();
    let line = super::render_bytes(&plain, &entry());
    assert!(serde_json::from_slice::<serde_json::Value>(&line).is_err());
    assert!(is_json(template));
    let escaped = Template::new(template, &Options { escape: true, ..options() }).unwrap();
    let line = super::render_bytes(&escaped, &entry());
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(value, json!({"path": "hä\t\u{1}\"\\/<>&\u{7f}", "flags": "-", "cut": "h\u{c3}"}));
    for text in ["[%START_TIME%] {}", r#"{"code": %RESPONSE_CODE%}"#, "", "1"] {
        assert!(!is_json(text), "{text}");
    }
}

/// Scenario: a template that nests without end.
/// Guarantees: it is refused, as an error.
#[test]
fn too_deep() {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    assert!(JsonTemplate::new(&deep, &options()).unwrap_err()[0].message.contains("too deep"));
}
