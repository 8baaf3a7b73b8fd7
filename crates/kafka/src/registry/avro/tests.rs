use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Decoded;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Avro;

fn encode(schema: &Value, json: &str) -> Result<Vec<u8>, String> {
    let avro = Avro::parse(&schema.to_string(), &[]).expect("a schema");
    let mut out = Vec::new();
    avro.encode(json.as_bytes(), &mut out).map_err(|mismatch| mismatch.to_string())?;
    Ok(out)
}

/// What another implementation decodes. It must use all bytes.
fn decode(schema: &Value, bytes: &[u8]) -> Decoded {
    let schema = Schema::parse(schema).expect("a schema");
    let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
    let mut rest = bytes;
    let value = reader.read_value(&mut rest).expect("readable");
    assert!(rest.is_empty(), "bytes left over");
    value
}

fn round_trip(schema: &Value, json: &str) -> Decoded {
    let bytes = encode(schema, json).unwrap_or_else(|error| panic!("{json} by {schema}: {error}"));
    decode(schema, &bytes)
}

fn record(fields: Value) -> Value {
    json!({"type": "record", "name": "R", "fields": fields})
}

fn refusal(schema: &Value, json: &str) -> String {
    encode(schema, json).expect_err(json)
}

/// Scenario: values of each type at its limits. Guarantees: `apache-avro` decodes the same value.
#[test]
fn every_type_decodes() {
    let uuid = "6a39eacb-7d30-4b6c-9e10-000000000001";
    let fixed = |size: usize| json!({"type": "fixed", "name": "F", "size": size});
    let cases = [
        (json!("null"), "null".to_owned(), Decoded::Null),
        (json!("boolean"), "true".to_owned(), Decoded::Boolean(true)),
        (json!("int"), i32::MIN.to_string(), Decoded::Int(i32::MIN)),
        (json!("int"), "5.0".to_owned(), Decoded::Int(5)),
        (json!("long"), i64::MIN.to_string(), Decoded::Long(i64::MIN)),
        (json!("long"), i64::MAX.to_string(), Decoded::Long(i64::MAX)),
        (json!("long"), "1.7838395395e+18".to_owned(), Decoded::Long(1_783_839_539_500_000_000)),
        (json!("float"), "0.5".to_owned(), Decoded::Float(0.5)),
        (json!("double"), "-0.1".to_owned(), Decoded::Double(-0.1)),
        (json!("string"), r#""a\u00e9\ud83d\ude00""#.to_owned(), Decoded::String("aé😀".into())),
        (json!("bytes"), r#""a\u00ff\u0000""#.to_owned(), Decoded::Bytes(vec![b'a', 255, 0])),
        (fixed(2), r#""\u00feb""#.to_owned(), Decoded::Fixed(2, vec![254, b'b'])),
        (
            json!({"type": "enum", "name": "E", "symbols": ["A", "B"]}),
            r#""B""#.to_owned(),
            Decoded::Enum(1, "B".into()),
        ),
        (json!({"type": "array", "items": "int"}), "[]".to_owned(), Decoded::Array(vec![])),
        (
            json!({"type": "array", "items": "int"}),
            "[1, 300]".to_owned(),
            Decoded::Array(vec![Decoded::Int(1), Decoded::Int(300)]),
        ),
        (
            json!({"type": "map", "values": "int"}),
            r#"{"a": 1, "b": 2, "a": 3}"#.to_owned(),
            Decoded::Map([("a".to_owned(), Decoded::Int(3)), ("b".to_owned(), Decoded::Int(2))].into()),
        ),
        (json!({"type": "int", "logicalType": "date"}), "19000".to_owned(), Decoded::Date(19_000)),
        (
            json!({"type": "long", "logicalType": "timestamp-millis"}),
            "1726783839538".to_owned(),
            Decoded::TimestampMillis(1_726_783_839_538),
        ),
        (
            json!({"type": "string", "logicalType": "uuid"}),
            format!("{uuid:?}"),
            Decoded::Uuid(uuid.parse().expect("a UUID")),
        ),
    ];
    for (schema, json, expected) in cases {
        assert_eq!(round_trip(&schema, &json), expected, "{json} by {schema}");
    }
}

/// Scenario: decimals of bytes and of a fixed size, positive and negative.
/// Guarantees: the bytes are the unscaled number in two's complement.
#[test]
fn decimals_are_exact() {
    let bytes = json!({"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2});
    assert_eq!(encode(&bytes, "12.3"), Ok(vec![4, 0x04, 0xce]));
    assert_eq!(encode(&bytes, "-1"), Ok(vec![2, 0x9c]));
    assert_eq!(refusal(&bytes, "0.125"), "0.125 does not fit decimal(6, 2) exactly");
    assert_eq!(refusal(&bytes, "10000"), "10000 does not fit decimal(6, 2) exactly");
    assert_eq!(refusal(&bytes, r#""12""#), "expected decimal(6, 2), found a string");
    let fixed = json!({"type": {"type": "fixed", "name": "D", "size": 4}, "logicalType": "decimal", "precision": 6});
    let fixed = json!({"type": "fixed", "name": "D", "size": 4, "logicalType": "decimal", "precision": 6,
        "scale": 2, "doc": fixed.to_string()});
    assert_eq!(encode(&fixed, "-12.3"), Ok(vec![0xff, 0xff, 0xfb, 0x32]));
}

/// Scenario: a log message of Kong by a schema that has only some of its members, nested names and a namespace.
/// Guarantees: missing members take their defaults, members without a field are left out, names are resolved.
#[test]
fn records_take_defaults_and_leave_out_the_rest() {
    let header = json!(["string", {"type": "array", "items": "string"}]);
    let schema = json!({"type": "record", "name": "Log", "namespace": "kong", "fields": [
        {"name": "client_ip", "type": "string"},
        {"name": "started_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "request", "type": {"type": "record", "name": "Request", "fields": [
            {"name": "size", "type": ["null", "int"], "default": null},
            {"name": "headers", "type": {"type": "map", "values": header}}]}},
        {"name": "retried", "type": ["null", "Request"], "default": null},
        {"name": "level", "type": "int", "default": 7},
        {"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["a"]},
        {"name": "key", "type": "bytes", "default": "\u{ff}"}]});
    let message = r#"{"client_ip": "10.0.0.1", "started_at": 1726783839538, "workspace": "default",
        "request": {"headers": {"host": "a", "accept": ["b", "c"]}, "method": "GET"},
        "retried": {"size": 5, "headers": {}}}"#;
    let Decoded::Record(fields) = round_trip(&schema, message) else { panic!("a record") };
    let text = |text: &str| Decoded::String(text.to_owned());
    let union = |place, value| Decoded::Union(place, Box::new(value));
    assert_eq!(fields[0].1, text("10.0.0.1"));
    let Decoded::Record(request) = &fields[2].1 else { panic!("a record") };
    assert_eq!(request[0].1, union(0, Decoded::Null));
    let headers = [("host", union(0, text("a"))), ("accept", union(1, Decoded::Array(vec![text("b"), text("c")])))];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(request[1].1, Decoded::Map(headers.into()));
    assert!(matches!(&fields[3].1, Decoded::Union(1, _)));
    assert_eq!(fields[4].1, Decoded::Int(7));
    assert_eq!(fields[5].1, Decoded::Array(vec![text("a")]));
    assert_eq!(fields[6].1, Decoded::Bytes(vec![255]));
}

/// Scenario: values that do not match. Guarantees: the error names the member and the expected type.
#[test]
fn refusals_name_the_member() {
    let nested = record(json!([{"name": "a", "type": {"type": "array", "items": {"type": "map", "values": "int"}}}]));
    for (schema, json, expected) in [
        (json!("int"), "2147483648", "2147483648 does not fit int"),
        (json!("int"), "1.5", "1.5 does not fit int"),
        (json!("long"), "9223372036854775808", "9223372036854775808 does not fit long"),
        (json!("long"), "\"5\"", "expected long, found a string"),
        (
            json!("double"),
            "9007199254740993",
            "9007199254740993 is an integer that double cannot hold exactly; make the field a long or a decimal",
        ),
        (json!("float"), "1e39", "1e39 is out of the range of float"),
        (json!("bytes"), "\"\u{20ac}\"", "contains a character past U+00FF; each byte is one character"),
        (json!({"type": "fixed", "name": "F", "size": 2}), "\"abc\"", "expected 2 bytes, found 3"),
        (json!({"type": "enum", "name": "E", "symbols": ["A", "B"]}), "\"C\"", "not one of A, B"),
        (json!(["null", "int"]), "\"a\"", "expected one of null, int, found a string"),
        (json!(["null", "int"]), "99999999999", "99999999999 does not fit int"),
        (json!({"type": "string", "logicalType": "uuid"}), "\"a\"", "expected a UUID"),
        (nested.clone(), r#"{"a": [{}, {"x/y": true}]}"#, "/a/1/x~1y: expected int, found a boolean"),
        (nested.clone(), r#"{"b": 1}"#, "/a: missing; expected array, and the schema has no default"),
        (nested, "[", "not JSON: EOF while parsing a list at line 1 column 1"),
    ] {
        assert_eq!(refusal(&schema, json), expected, "{json} by {schema}");
    }
}

/// Scenario: unions of which several branches could take the value.
/// Guarantees: exact types come before rounding ones, then the branch that leaves out least, then the first.
#[test]
fn unions_take_what_fits_best() {
    let small = json!({"type": "record", "name": "A", "fields": [{"name": "a", "type": "int", "default": 0}]});
    let large =
        json!({"type": "record", "name": "B", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "int"}]});
    for (schema, json, place) in [
        (json!(["double", "long"]), "9007199254740993", 1),
        (json!(["double", "long"]), "0.5", 0),
        (json!(["float", "double"]), "0.1", 1),
        (json!(["int", "long"]), "3000000000", 1),
        (json!(["string", {"type": "enum", "name": "E", "symbols": ["A"]}]), r#""A""#, 0),
        (json!([{"type": "enum", "name": "E", "symbols": ["A"]}, "string"]), r#""B""#, 1),
        (json!([small, large]), r#"{"a": 1, "b": 2}"#, 1),
        (json!([small, large]), r#"{"a": 1}"#, 0),
        (json!([small, large]), r#"{"c": 1}"#, 0),
    ] {
        let Decoded::Union(found, _) = round_trip(&schema, json) else { panic!("a union") };
        assert_eq!(found, place, "{json} by {schema}");
    }
}

/// Scenario: a list whose type refers to itself; values that are nested too deep; a default that contains itself.
/// Guarantees: the first is encoded; the others are errors and do not overflow the stack.
#[test]
fn recursion_ends() {
    let list = record(json!([{"name": "next", "type": ["null", "R"], "default": null}]));
    let nest = |depth: usize| format!("{}null{}", r#"{"next": "#.repeat(depth), "}".repeat(depth));
    assert!(matches!(round_trip(&list, &nest(10)), Decoded::Record(_)));
    assert_eq!(encode(&list, &nest(60)), Ok([vec![2; 59], vec![0]].concat()));
    assert!(refusal(&list, &nest(5000)).contains("nested more than"));
    let endless = json!({"type": "record", "name": "R", "fields": [{"name": "r", "type": "R", "default": {}}]});
    // Either the schema itself is refused, or the message that needs the default.
    if let Ok(avro) = Avro::parse(&endless.to_string(), &[]) {
        let error = avro.encode(b"{}", &mut Vec::new()).expect_err("no end").to_string();
        assert!(error.starts_with("/r: missing, and the schema's default does not fit"), "{error}");
    }
}

/// Scenario: a recursive union of two branches, each of which fails only at the innermost value, at every level.
/// Guarantees: the work is bounded and the message is refused.
#[test]
fn hostile_unions_are_bounded() {
    let next = |first: &str, second: &str| json!({"name": "n", "type": [first, second, "int"]});
    let schema = json!({"type": "record", "name": "Top", "fields": [{"name": "n", "type": [
        {"type": "record", "name": "A", "fields": [{"name": "n", "type": ["A", {"type": "record", "name": "B",
            "fields": [next("A", "B")]}, "int"]}]},
        "B", "int"]}]});
    let depth = 60;
    let message = format!("{}\"x\"{}", r#"{"n": "#.repeat(depth), "}".repeat(depth));
    let error = refusal(&schema, &message);
    assert!(error.contains("/n"), "{error}");
}

/// Scenario: a schema that refers to types of other schemas, which refer to each other.
/// Guarantees: they are resolved; an undefined type is an error with its name.
#[test]
fn references_are_found_by_name() {
    let user = json!({"type": "record", "name": "User", "namespace": "acme", "fields": [{"name": "id", "type": "Id"}]});
    let id = json!({"type": "fixed", "name": "Id", "namespace": "acme", "size": 1});
    let root = record(json!([{"name": "user", "type": "acme.User"}, {"name": "id", "type": "acme.Id"}])).to_string();
    let avro = Avro::parse(&root, &[user.to_string(), id.to_string()]).expect("a schema");
    let mut out = Vec::new();
    assert_eq!(avro.encode(br#"{"user": {"id": "a"}, "id": "b"}"#, &mut out), Ok(()));
    assert_eq!(out, b"ab");
    let error = Avro::parse(&root, &[user.to_string()]).expect_err("no acme.Id").to_string();
    assert!(error.contains("Id"), "{error}");
}

/// The integer that `number` is written as.
///
/// Shortest notation matters here: the double nearest to `-1.0768020418150195e+17` is -107680204181501952, but what is
/// written is -107680204181501950, and the encoder takes numbers as they are written. Rust's `Display` for floats
/// writes the same shortest digits out in full, without an exponent.
fn integer(number: &serde_json::Number) -> Option<i64> {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => float.to_string().parse().ok(),
        None => number.as_i64(),
    }
}

/// Whether `decoded` has the value of `json`. A field of a record may also have its default.
fn same(decoded: &Decoded, json: &Value) -> bool {
    let latin_1 = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    match (decoded, json) {
        (Decoded::Union(_, inner), _) => same(inner, json),
        (Decoded::Null, Value::Null) => true,
        (Decoded::Boolean(value), Value::Bool(other)) => value == other,
        (Decoded::Int(value), Value::Number(number)) => number.as_f64() == Some(f64::from(*value)),
        (Decoded::Long(value), Value::Number(number)) => integer(number) == Some(*value),
        (Decoded::Float(value), Value::Number(number)) => number.to_string().parse() == Ok(*value),
        (Decoded::Double(value), Value::Number(number)) => number.as_f64() == Some(*value),
        (Decoded::String(value) | Decoded::Enum(_, value), Value::String(other)) => value == other,
        (Decoded::Bytes(bytes) | Decoded::Fixed(_, bytes), Value::String(other)) => latin_1(bytes) == *other,
        (Decoded::Array(values), Value::Array(others)) => {
            values.len() == others.len() && values.iter().zip(others).all(|(value, other)| same(value, other))
        }
        (Decoded::Map(values), Value::Object(members)) => {
            values.len() == members.len()
                && values.iter().all(|(name, value)| members.get(name).is_some_and(|other| same(value, other)))
        }
        (Decoded::Record(fields), Value::Object(members)) => {
            fields.iter().all(|(name, value)| members.get(name).is_none_or(|other| same(value, other)))
        }
        _ => false,
    }
}

/// Scenario: floats of 2^53 and more whose shortest notation is an integer other than the float itself.
/// Guarantees: they are encoded as the integer that is written, digit by digit.
#[test]
fn large_floats_keep_their_written_digits() {
    for (text, expected) in [
        ("-1.0768020418150195e+17", -107_680_204_181_501_950),
        ("1.0768020418150195e+17", 107_680_204_181_501_950),
        ("9007199254740993.0", 9_007_199_254_740_993),
        ("9.223372036854775e18", 9_223_372_036_854_775_000),
    ] {
        let schema = json!(["double", "long"]);
        let expected = Decoded::Union(1, Box::new(Decoded::Long(expected)));
        assert_eq!(round_trip(&schema, text), expected, "{text}");
    }
    let float: Value = serde_json::from_str("-1.0768020418150195e+17").expect("JSON");
    let schema = anything(0);
    let bytes = encode(&schema, &float.to_string()).expect("fits");
    assert!(same(&decode(&schema, &bytes), &float), "{float}");
}

/// A schema that accepts any JSON up to `depth`.
fn anything(depth: usize) -> Value {
    let mut branches = vec![json!("null"), json!("boolean"), json!("double"), json!("long"), json!("string")];
    if depth > 0 {
        branches.push(json!({"type": "array", "items": anything(depth - 1)}));
        branches.push(json!({"type": "map", "values": anything(depth - 1)}));
    }
    Value::Array(branches)
}

fn schemas() -> Vec<Value> {
    let inner = json!({"type": "record", "name": "Inner", "fields": [
        {"name": "a", "type": ["null", "int", "string"], "default": null},
        {"name": "b", "type": ["double", {"type": "fixed", "name": "F", "size": 1}], "default": 1.0}]});
    let outer = record(json!([
        {"name": "a", "type": anything(1), "default": null},
        {"name": "b", "type": ["null", inner, {"type": "map", "values": "Inner"}], "default": null},
        {"name": "c", "type": ["null", "bytes", "float"], "default": null},
        {"name": "d", "type": ["null", "R", {"type": "array", "items": "R"}], "default": null}]));
    vec![
        outer.clone(),
        json!(["null", outer, "float", {"type": "enum", "name": "E", "symbols": ["a", "b"]}]),
        json!({"type": "map", "values": ["int", "bytes", {"type": "array", "items": ["null", "float"]}]}),
        json!({"type": "array", "items": ["boolean", "long", "string"]}),
    ]
}

fn any_json(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1000i64..1000).prop_map(Value::from),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
        (-100i32..100).prop_map(|value| Value::from(f64::from(value) / 4.0)),
        "[abc\u{e9}\u{20ac}]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[abcd]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Scenario: any JSON by schemas that accept little of it.
    /// Guarantees: no panic; what is encoded decodes to the same JSON.
    #[test]
    fn encoded_json_decodes(json in any_json(4)) {
        for schema in schemas() {
            if let Ok(bytes) = encode(&schema, &json.to_string()) {
                let decoded = decode(&schema, &bytes);
                prop_assert!(same(&decoded, &json), "{} as {:?}", json, decoded);
            }
        }
    }

    /// Scenario: any JSON by a schema that accepts all of it except integers past i64.
    /// Guarantees: it is encoded and decodes to the same JSON.
    #[test]
    fn a_wide_schema_takes_everything(json in any_json(3)) {
        let schema = anything(3);
        match encode(&schema, &json.to_string()) {
            Ok(bytes) => prop_assert!(same(&decode(&schema, &bytes), &json)),
            Err(reason) => {
                let large = ["is an integer that double cannot hold", "does not fit long"];
                prop_assert!(large.iter().any(|text| reason.contains(text)), "{}: {}", json, reason);
            }
        }
    }

    /// Scenario: any text. Guarantees: no panic.
    #[test]
    fn no_text_panics(text in "[\\[\\]{}:,\"0-9a.eE+\\\\ tn-]{0,40}") {
        for schema in schemas() {
            let _ = encode(&schema, &text);
        }
    }
}
