//! The JSON form of a request (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): ids are hexadecimal,
//! 64-bit integers are strings, and names are in lowerCamelCase.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Any, AnyValue, ExportRequest, KeyValue, LogRecord, Resource, Scope};

/// `request` as JSON.
pub fn request(request: &ExportRequest) -> Vec<u8> {
    let resources: Vec<_> = request
        .resource_logs
        .iter()
        .map(|logs| {
            let scopes: Vec<_> = logs
                .scope_logs
                .iter()
                .map(|logs| {
                    let records: Vec<_> = logs.log_records.iter().map(record).collect();
                    json!({"scope": logs.scope.as_ref().map(scope), "logRecords": records})
                })
                .collect();
            json!({"resource": logs.resource.as_ref().map(resource), "scopeLogs": scopes})
        })
        .collect();
    json!({"resourceLogs": resources}).to_string().into_bytes()
}

fn resource(resource: &Resource) -> Value {
    json!({"attributes": attributes(&resource.attributes)})
}

fn scope(scope: &Scope) -> Value {
    json!({"name": scope.name, "version": scope.version})
}

fn record(record: &LogRecord) -> Value {
    let mut out = Map::new();
    for (name, time) in
        [("timeUnixNano", record.time_unix_nano), ("observedTimeUnixNano", record.observed_time_unix_nano)]
    {
        if time != 0 {
            out.insert(name.to_owned(), time.to_string().into());
        }
    }
    if let Some(body) = &record.body {
        out.insert("body".to_owned(), any(body));
    }
    out.insert("attributes".to_owned(), attributes(&record.attributes));
    for (name, id) in [("traceId", &record.trace_id), ("spanId", &record.span_id)] {
        if !id.is_empty() {
            out.insert(name.to_owned(), hexadecimal(id).into());
        }
    }
    if record.flags != 0 {
        out.insert("flags".to_owned(), record.flags.into());
    }
    Value::Object(out)
}

fn attributes(attributes: &[KeyValue]) -> Value {
    attributes.iter().map(|KeyValue { key, value }| json!({"key": key, "value": value.as_ref().map(any)})).collect()
}

fn any(value: &AnyValue) -> Value {
    match &value.value {
        None => json!({}),
        Some(Any::String(text)) => json!({"stringValue": text}),
        Some(Any::Bool(value)) => json!({"boolValue": value}),
        Some(Any::Int(number)) => json!({"intValue": number.to_string()}),
        Some(Any::Double(number)) => json!({"doubleValue": double(*number)}),
        Some(Any::Array(list)) => json!({"arrayValue": {"values": list.values.iter().map(any).collect::<Vec<_>>()}}),
        Some(Any::KeyValues(map)) => json!({"kvlistValue": {"values": attributes(&map.values)}}),
        Some(Any::Bytes(bytes)) => json!({"bytesValue": STANDARD.encode(bytes)}),
    }
}

/// A number; one that JSON does not have is a text, as in the JSON of protobuf.
fn double(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
