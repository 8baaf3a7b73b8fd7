//! Bodies of requests to the Admin API: any bytes as JSON, as a urlencoded form and in parts. What is a form is decoded by a
//! schema: nothing multiplies, and nesting is bounded.

#![no_main]

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use logphase::admin::body::{self, Body, MAX_LEVELS};
use logphase_config::schema::{Field, Record};
use serde_json::Value;

static TEXT: Field = Field::string("");
static NUMBER: Field = Field::number("");
static NUMBERS: Field = Field::array("", &NUMBER);
static PART: Record = Record::new(&[Field::integer("k"), Field::boolean("v")]);
static PARTS: Field = Field::record("", &PART);
static CONFIG: Record = Record::new(&[Field::map("m", &TEXT, &NUMBERS), Field::array("r", &PARTS)]);
static ENTITY: Record = Record::new(&[
    Field::string("name"),
    Field::integer("n"),
    Field::set("a", &TEXT),
    Field::map("m", &TEXT, &TEXT),
    Field::any("config"),
]);

fuzz_target!(|input: &[u8]| {
    let Some((kind, input)) = input.split_first() else { return };
    let kind = match kind % 4 {
        0 => "application/json",
        1 => "multipart/form-data; boundary=B",
        2 => "text/yaml",
        _ => "application/x-www-form-urlencoded",
    };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let read = body::read(&headers, &Bytes::copy_from_slice(input), true);
    if let Err(error) = &read {
        assert!(error.status().is_client_error() && error.body().len() < 200 + 10 * input.len());
    }
    let Ok(Body::Form(pairs)) = read else { return };
    if let Ok(entity) = body::decode_form(&pairs, &ENTITY, &|name| name.map(|_| &CONFIG)) {
        let (leaves, depth) = measured(&Value::Object(entity));
        assert!(leaves <= pairs.len() && depth <= MAX_LEVELS + 3);
    }
});

/// The values that are neither lists nor objects, and how deep they are.
fn measured(value: &Value) -> (usize, usize) {
    let items: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => return (1, 0),
    };
    items.into_iter().map(measured).fold((0, 0), |(leaves, depth), (more, below)| (leaves + more, depth.max(below + 1)))
}
