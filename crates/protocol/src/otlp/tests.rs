//! Both encodings of the same records, and whatever a peer sends.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A value, as its sender has it.
#[derive(Debug, Clone)]
enum Tree {
    Unset,
    Text(String),
    Bool(bool),
    Integer(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Array(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A field with a length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

fn number(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    varint(value, &mut out);
    out
}

fn fixed(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn key_value(number: u8, key: &str, value: &Tree) -> Vec<u8> {
    field(number, &[field(1, key.as_bytes()), field(2, &value.wire())].concat())
}

impl Tree {
    fn wire(&self) -> Vec<u8> {
        match self {
            Self::Unset => Vec::new(),
            Self::Text(text) => field(1, text.as_bytes()),
            Self::Bool(value) => number(2, u64::from(*value)),
            Self::Integer(value) => number(3, value.cast_unsigned()),
            Self::Double(value) => fixed(4, value.to_bits()),
            Self::Array(list) => field(5, &list.iter().flat_map(|value| field(1, &value.wire())).collect::<Vec<_>>()),
            Self::Map(map) => {
                field(6, &map.iter().flat_map(|(key, value)| key_value(1, key, value)).collect::<Vec<_>>())
            }
            Self::Bytes(bytes) => field(7, bytes),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Unset => json!({}),
            Self::Text(text) => json!({"stringValue": text}),
            Self::Bool(value) => json!({"boolValue": value}),
            Self::Integer(value) if value % 2 == 0 => json!({"intValue": value.to_string(), "stringValue": null}),
            Self::Integer(value) => json!({"intValue": value}),
            Self::Double(value) if value.is_finite() => json!({"doubleValue": value}),
            Self::Double(value) if value.is_nan() => json!({"doubleValue": "NaN"}),
            Self::Double(value) => json!({"doubleValue": if *value > 0.0 {"Infinity"} else {"-Infinity"}}),
            Self::Bytes(bytes) if bytes.len() % 2 == 0 => json!({"bytesValue": STANDARD.encode(bytes)}),
            Self::Bytes(bytes) => json!({"bytesValue": URL_SAFE_NO_PAD.encode(bytes)}),
            Self::Array(list) => json!({"arrayValue": {"values": list.iter().map(Self::json).collect::<Vec<_>>()}}),
            Self::Map(map) => json!({"kvlistValue": {"values": members(map), "unknown": [1]}}),
        }
    }

    /// What the source object says.
    fn expected(&self) -> Value {
        match self {
            Self::Unset => Value::Null,
            Self::Text(text) => json!(text),
            Self::Bool(value) => json!(value),
            Self::Integer(value) => json!(value),
            Self::Double(value) => match crate::json::whole(*value) {
                Some(whole) => json!(whole),
                None => json!(value),
            },
            Self::Bytes(bytes) => json!(STANDARD.encode(bytes)),
            Self::Array(list) => list.iter().map(Self::expected).collect(),
            Self::Map(map) => object(map),
        }
    }
}

fn object(map: &BTreeMap<String, Tree>) -> Value {
    Value::Object(map.iter().map(|(key, value)| (key.clone(), value.expected())).collect())
}

/// The list of `KeyValue`; every other one has its value first.
fn members(map: &BTreeMap<String, Tree>) -> Value {
    let member = |(at, (key, value)): (usize, (&String, &Tree))| {
        let mut member = serde_json::Map::new();
        if at % 2 == 1 {
            member.insert("value".to_owned(), value.json());
        }
        member.insert("key".to_owned(), json!(key));
        if at % 2 == 0 {
            member.insert("value".to_owned(), value.json());
        }
        Value::Object(member)
    };
    map.iter().enumerate().map(member).collect()
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Unset),
        ".{0,8}".prop_map(Tree::Text),
        any::<bool>().prop_map(Tree::Bool),
        any::<i64>().prop_map(Tree::Integer),
        // Of numbers with more digits serde_json may miss the last bit.
        any::<i32>().prop_map(|eighths| Tree::Double(f64::from(eighths) / 8.0)),
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)].prop_map(Tree::Double),
        vec(any::<u8>(), 0..6).prop_map(Tree::Bytes),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Tree::Array),
            btree_map(".{0,6}", inner, 0..5).prop_map(Tree::Map),
        ]
    })
}

fn maps() -> impl Strategy<Value = BTreeMap<String, Tree>> {
    btree_map("[a-z.]{0,8}", trees(), 0..4)
}

/// The objects of a request, and the texts of the bodies.
fn objects(request: &Bytes, encoding: Encoding) -> Result<Vec<(Value, Option<Bytes>)>, String> {
    let mut objects = Vec::new();
    let take = |group: &Group<'_>, record: Result<Record<'_>, RecordError>| {
        let record = record.map_err(|error| error.reason)?;
        let members = group.members(1 << 20).map_err(|error| error.reason)?;
        let text = record.object(members, 1 << 20).map_err(|error| error.reason)?;
        let object = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        objects.push((object, record.body_text(1 << 20).ok()));
        Ok(())
    };
    match read(request, encoding, take) {
        Ok(()) => Ok(objects),
        Err(ReadError::Malformed(reason) | ReadError::Ended(reason)) => Err(reason),
    }
}

proptest! {
    /// Scenario: records of any content, in protobuf and in JSON, the resource after its records in one and before them in
    /// the other.
    /// Guarantees: the objects are what their sender has, whichever the encoding.
    #[test]
    fn both_encodings(resource in maps(), attributes in maps(), body in trees(), time in any::<u64>(), flags in any::<u32>(), severity in 0..24_i32) {
        let record = [
            fixed(1, time),
            number(2, severity.unsigned_abs().into()),
            field(3, b"INFO"),
            field(5, &body.wire()),
            attributes.iter().flat_map(|(key, value)| key_value(6, key, value)).collect(),
            [&[8 << 3 | 5][..], &flags.to_le_bytes()].concat(),
            field(9, &[0xAB; 16]),
            field(10, &[0x01; 8]),
        ].concat();
        let scope = [field(1, b"lib"), key_value(3, "a", &Tree::Bool(true))].concat();
        let scope_logs = [field(2, &record), field(1, &scope)].concat();
        let resource_wire: Vec<u8> = resource.iter().flat_map(|(key, value)| key_value(1, key, value)).collect();
        let wire = field(1, &[field(2, &scope_logs), field(1, &resource_wire)].concat());
        let json = json!({"resourceLogs": [{
            "resource": {"attributes": members(&resource), "droppedAttributesCount": 0},
            "scopeLogs": [{
                "scope": {"name": "lib", "attributes": [{"key": "a", "value": {"boolValue": true}}]},
                "logRecords": [{
                    "timeUnixNano": time.to_string(), "severityNumber": severity, "severityText": "INFO",
                    "body": body.json(), "attributes": members(&attributes), "flags": flags,
                    "traceId": "AB".repeat(16), "spanId": "01".repeat(8), "unknown": {"x": []},
                }],
            }],
        }]});
        let mut expected = json!({
            "severity_text": "INFO", "body": body.expected(), "attributes": object(&attributes),
            "trace_id": "ab".repeat(16), "span_id": "01".repeat(8), "resource": object(&resource),
            "scope": {"name": "lib", "attributes": {"a": true}},
        });
        for (name, number) in [("time_unix_nano", time), ("flags", flags.into()), ("severity_number", severity.unsigned_abs().into())] {
            if number != 0 {
                expected[name] = json!(number);
            }
        }
        let from_wire = objects(&wire.into(), Encoding::Protobuf).unwrap();
        let from_json = objects(&json.to_string().into(), Encoding::Json).unwrap();
        prop_assert_eq!(&from_wire[0].0, &expected);
        prop_assert_eq!(&from_json[0].0, &expected);
        let text = match &body {
            Tree::Text(text) => Some(text.clone().into_bytes()),
            Tree::Map(_) => Some(body.expected().to_string().into_bytes()),
            _ => None,
        };
        for (_, found) in [&from_wire[0], &from_json[0]] {
            match (&text, found) {
                (Some(text), Some(found)) if matches!(body, Tree::Text(_)) => prop_assert_eq!(text, found),
                (Some(text), Some(found)) => {
                    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
                    prop_assert_eq!(read(text), read(found));
                }
                (None, Some(_)) => prop_assert!(matches!(body, Tree::Bytes(_))),
                (None, None) => {}
                (Some(_), None) => prop_assert!(false, "{:?} has a text", body),
            }
        }
    }

    /// Scenario: any bytes, and a request with a few of its bytes changed, in either encoding.
    /// Guarantees: no panic; what is written is JSON within the limit.
    #[test]
    fn whatever_is_sent(bytes in vec(any::<u8>(), 0..200), body in trees(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), max_bytes in 0..500_usize) {
        let wire = field(1, &field(2, &field(2, &field(5, &body.wire()))));
        let json = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": body.json()}]}]}]}).to_string().into_bytes();
        for (encoding, mut request) in [(Encoding::Protobuf, wire), (Encoding::Json, json), (Encoding::Protobuf, bytes.clone()), (Encoding::Json, bytes)] {
            for (at, byte) in &changes {
                if !request.is_empty() {
                    let at = at.index(request.len());
                    request[at] = *byte;
                }
            }
            let _ = read(&request.into(), encoding, |group, record| {
                if let (Ok(members), Ok(record)) = (group.members(max_bytes), record) {
                    if let Ok(text) = record.object(members, max_bytes) {
                        assert!(text.len() <= max_bytes);
                        assert!(serde_json::from_slice::<Value>(&text).unwrap().is_object());
                    }
                    let _ = record.body_text(max_bytes);
                }
                Ok::<_, ()>(())
            });
        }
    }
}

/// Scenario: values nested as deep as they may be, one level deeper, and very deep, in either encoding.
/// Guarantees: the first is read; the others are refused as too large or, where JSON itself is too deep, as malformed.
#[test]
fn depth() {
    let nested = |levels: usize, map: bool| {
        (0..levels).fold(Tree::Integer(1), |inner, _| {
            if map { Tree::Map(BTreeMap::from([("k".to_owned(), inner)])) } else { Tree::Array(vec![inner]) }
        })
    };
    for map in [false, true] {
        for (levels, taken) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false), (60, false)] {
            let body = nested(levels, map);
            let wire = field(1, &field(2, &field(2, &field(5, &body.wire()))));
            let mut text = body.json().to_string();
            text = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{text}}}]}}]}}]}}"#);
            assert_eq!(objects(&wire.into(), Encoding::Protobuf).is_ok(), taken, "{levels}");
            assert_eq!(objects(&text.into(), Encoding::Json).is_ok(), taken, "{levels}");
        }
    }
    let deep =
        [r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"#, &r#"{"arrayValue":{"values":["#.repeat(100_000)];
    assert!(objects(&deep.concat().into(), Encoding::Json).is_err());
}

/// Scenario: a value whose fields are set more than once; a request whose records are of the wrong type beside good ones.
/// Guarantees: the last field counts; bad records are errors of their own, and the good ones are read.
#[test]
fn odd_requests() {
    let record = |body: &str| format!(r#"{{"body":{body}}}"#);
    let request = |records: &[String]| {
        let records = records.join(",");
        Bytes::from(format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}],"x":null}}"#))
    };
    let twice = record(r#"{"stringValue":"a","intValue":"7"}"#);
    let found = objects(&request(std::slice::from_ref(&twice)), Encoding::Json).unwrap();
    assert_eq!(found[0].0["body"], 7);
    let wire = field(1, &field(2, &field(2, &field(5, &[field(1, b"a"), number(3, 7)].concat()))));
    assert_eq!(objects(&wire.into(), Encoding::Protobuf).unwrap()[0].0["body"], 7);
    let mut results = Vec::new();
    let bad =
        ["1", "null", r#"{"timeUnixNano":"x"}"#, r#"{"severityText":1}"#, r#"{"timeUnixNano":-1}"#].map(str::to_owned);
    let values = [r#"{"intValue":1.5}"#, r#"{"bytesValue":"*"}"#, r#"{"arrayValue":[]}"#, "3"].map(record);
    let records = [&bad[..], &values, &[twice]].concat();
    let _ = read(&request(&records), Encoding::Json, |group, record| {
        let object = record.and_then(|record| record.object(group.members(1000)?, 1000));
        results.push(object.map_err(|error| error.too_large).map(drop));
        Ok::<_, ()>(())
    });
    assert_eq!(results.len(), records.len());
    assert!(results[..records.len() - 1].iter().all(|result| *result == Err(false)), "{results:?}");
    assert_eq!(results.last(), Some(&Ok(())));
    for text in ["", "[]", "{", r#"{"resourceLogs":{}}"#, r#"{"resourceLogs":[1]}"#, "{}x"] {
        assert!(objects(&Bytes::from(text), Encoding::Json).is_err(), "{text}");
    }
    assert_eq!(objects(&Bytes::from("{}"), Encoding::Json), Ok(Vec::new()));
    assert_eq!(objects(&Bytes::new(), Encoding::Protobuf), Ok(Vec::new()));
}
