//! Whole requests: content types, and the four formats.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::super::{Body, BodyError, MAX_BODY, Pair, read};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const PARTS: &str = "multipart/form-data; boundary=B";

fn request(types: &[&str], body: impl Into<Bytes>, accepts_yaml: bool) -> Result<Body, BodyError> {
    let mut headers = HeaderMap::new();
    for kind in types {
        headers.append(CONTENT_TYPE, HeaderValue::from_str(kind).expect("a header"));
    }
    read(&headers, &body.into(), accepts_yaml)
}

fn pair(name: &str, value: &str) -> Pair {
    (name.to_owned(), Some(value.to_owned()))
}

/// Scenario: content types, missing, unknown, in upper case, with parameters, twice, and YAML where it is read and where
/// not. Guarantees: Kong's statuses and its answers to the byte.
#[test]
fn the_content_type_decides() {
    assert_eq!(request(&[], "", false), Ok(Body::None));
    for (types, body) in [
        (&[][..], "{}"),
        (&["text/plain"], "{}"),
        (&["Application/json"], "{}"),
        (&["text/json"], ""),
        (&[" "], ""),
        (&["application/yaml"], "a: 1"),
        (&["application/x-www-form-urlencode"], "a=1"),
    ] {
        let error = request(types, body, false).expect_err("refused");
        assert_eq!((error.status().as_u16(), error.body().as_str()), (415, ""), "{types:?}");
    }
    let twice = request(&[JSON, JSON], "{}", false).expect_err("refused");
    assert_eq!((twice.status().as_u16(), twice.body().as_str()), (400, "Multiple Content-Type headers not allowed"));
    for kind in [JSON, "application/json; charset=utf-8", "application/json-patch"] {
        assert_eq!(request(&[kind], "{}", false), Ok(Body::Json(serde_json::Map::new())), "{kind}");
    }
    let form = Ok(Body::Form(vec![pair("a", "1")]));
    assert_eq!(request(&["application/x-www-form-urlencoded; charset=utf-8"], "a=1", false), form);
    assert_eq!(request(&[FORM], "", false), Ok(Body::Form(Vec::new())));
    for kind in ["application/yaml", "text/yaml; charset=utf-8"] {
        assert_eq!(request(&[kind], "a: 1\n", true), Ok(Body::Yaml("a: 1\n".to_owned())), "{kind}");
    }
}

/// Scenario: JSON of every kind, sound, unsound and with what cjson takes beyond the standard. Guarantees: objects and
/// lists as they are, without conversions; `Cannot parse JSON body` for the rest.
#[test]
fn json_is_taken_as_it_is() {
    let object = |text: &str| match request(&[JSON], text.to_owned(), false) {
        Ok(Body::Json(members)) => Value::Object(members),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(object(r#" {"a": "80", "b": 80.0, "c": [], "d": {"": null}} "#), {
        json!({"a": "80", "b": 80.0, "c": [], "d": {"": null}})
    });
    assert_eq!(object(r#"{"a": 1, "b": 2, "a": {"c": 3}}"#), json!({"a": {"c": 3}, "b": 2}));
    assert_eq!(object("[]"), json!({}));
    assert_eq!(object(r#"["x", {"y": 1}]"#), json!({"1": "x", "2": {"y": 1}}));
    assert_eq!(object("{\n\"a\": \"x\n\ty\\\"\r\n\\\\\", \"b\":\t\"z\"\n}"), json!({"a": "x\n\ty\"\r\n\\", "b": "z"}));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    assert!(object(&deep)["a"].is_array());
    for body in [
        "",
        " ",
        "null",
        "false",
        "true",
        "5",
        "\"abc\"",
        "{",
        "{\"a\":1} x",
        "{\"a\":1,}",
        "{'a':1}",
        "\u{feff}{}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":1e999}",
        "// x\n{}",
        "{\"a\":\"x\n",
        "{\"a\":\"\0\"}",
        "a=1",
    ] {
        let error = request(&[JSON], body, false).expect_err(body);
        let answer = (error.status().as_u16(), error.body());
        assert_eq!(answer, (400, r#"{"message":"Cannot parse JSON body"}"#.to_owned()), "{body:?}");
    }
    assert_eq!(request(&[JSON], &b"{\"a\":\"\xff\"}"[..], false), Err(BodyError::Json));
    assert_eq!(request(&[JSON], "[".repeat(1 << 20), false), Err(BodyError::Json));
}

/// Scenario: urlencoded bodies that are no text, too many, and too large. Guarantees: 400 with what is wrong, Kong's words
/// where Kong has them, and 413.
#[test]
fn forms_are_bounded_text() {
    assert_eq!(request(&[FORM], "a=%C3%A4&b&c=", false), {
        Ok(Body::Form(vec![pair("a", "ä"), ("b".to_owned(), None), pair("c", "")]))
    });
    let error = request(&[FORM], "name=%ff", false).expect_err("no text");
    assert_eq!(error.body(), r#"{"message":"Cannot parse body: the value of 'name' is not valid UTF-8"}"#);
    assert!(matches!(request(&[FORM], &b"\xff=1"[..], false), Err(BodyError::Encoding(_))));
    assert!(matches!(request(&["text/yaml"], &b"a: \xff"[..], true), Err(BodyError::Encoding(_))));
    let error = request(&[FORM], "a=1&".repeat(1000), false).expect_err("too many");
    assert_eq!((error.status().as_u16(), error.body().as_str()), (400, r#"{"message":"Too many arguments"}"#));
    let error = request(&[FORM], "a".repeat(MAX_BODY + 1), false).expect_err("too large");
    assert_eq!(error.status(), 413);
    assert!(request(&[FORM], "a".repeat(MAX_BODY), false).is_ok());
}

/// Scenario: bodies in parts, as curl's `-F` sends them, with a file, a repeated name and an escaped one; broken ones; one
/// with too many parts. Guarantees: pairs as in a urlencoded form; 400 for the others.
#[test]
fn parts_are_pairs() {
    let part = |head: &str, value: &str| format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let body = [
        part("name=\"config.m[a.b]\"", "return 1\r\nend"),
        part("name=\"tags\"", "x"),
        part("name=\"tags\"", ""),
        part("name=\"m%5Bk%5D\"", "ä"),
        part("name=\"config\"; filename=\"kong.yml\"\r\nContent-Type: application/octet-stream", "a: 1\n"),
        "--B--\r\n".to_owned(),
    ];
    let expected = vec![
        pair("config.m[a.b]", "return 1\r\nend"),
        pair("tags", "x"),
        pair("tags", ""),
        pair("m[k]", "ä"),
        pair("config", "a: 1\n"),
    ];
    assert_eq!(request(&[PARTS], body.concat(), false), Ok(Body::Form(expected)));
    for (kind, body) in [("multipart/form-data", "--B--"), (PARTS, "a=1"), (PARTS, "--B\r\n")] {
        let error = request(&[kind], body, false).expect_err(body);
        assert!(error.body().starts_with(r#"{"message":"Cannot parse multipart body: "#), "{}", error.body());
        assert_eq!(error.status(), 400);
    }
    assert_eq!(request(&[PARTS], "", false), Ok(Body::Form(Vec::new())));
    let not_text = [part("name=\"a\"", "").trim_end().as_bytes(), b"\r\n\r\n\xff\r\n--B--"].concat();
    assert!(matches!(request(&[PARTS], not_text, false), Err(BodyError::Encoding(_))));
    let parts = |count: usize| part("name=\"a\"", "1").repeat(count) + "--B--\r\n";
    assert_eq!(request(&[PARTS], parts(1001), false), Err(BodyError::TooMany));
    assert!(matches!(request(&[PARTS], parts(1000), false), Ok(Body::Form(pairs)) if pairs.len() == 1000));
}
