//! The record of a message of Kong, which has the shape of Kong's own access logs (Kong 3.13 and later).

use bytes::Bytes;
use serde_json::{Map, Value};

use super::attributes::attributes;
use super::resource::ResourceTemplate;
use super::trace::Trace;
use super::{LogRecord, Records, Resource, Scope};
use logphase_protocol::otlp::message::Any;

/// Kong's name of what makes access logs.
const SCOPE: &str = "api-access";

/// Makes records of messages.
pub(super) struct KongRecords {
    resource: ResourceTemplate,
}

impl KongRecords {
    pub(super) fn new(resource: ResourceTemplate) -> Self {
        Self { resource }
    }
}

impl Records for KongRecords {
    fn record(&self, entry: &Bytes) -> (Resource, LogRecord) {
        let Ok(Value::Object(message)) = serde_json::from_slice(entry) else {
            let body = Any::String(String::from_utf8_lossy(entry).into_owned());
            return (self.resource.of(&Map::new()), LogRecord { body: Some(body.into()), ..LogRecord::default() });
        };
        let resource = self.resource.of(&message);
        let time = end(&message);
        let trace = Trace::of(&message).unwrap_or_default();
        let record = LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: time,
            body: Some(Any::String(body(&message)).into()),
            attributes: attributes(message),
            flags: trace.flags,
            trace_id: trace.trace_id,
            span_id: trace.span_id,
        };
        (resource, record)
    }

    fn scope(&self) -> Scope {
        Scope { name: SCOPE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// The milliseconds that the request took, or the session.
fn duration(message: &Map<String, Value>) -> Option<&Value> {
    let latencies = message.get("latencies")?;
    latencies.get("request").or_else(|| latencies.get("session")).filter(|value| value.is_number())
}

/// When the transaction ended, in nanoseconds since the Unix epoch; 0 if the message does not say when it began.
fn end(message: &Map<String, Value>) -> u64 {
    let nanoseconds = |value: &Value| match value.as_u64() {
        Some(whole) => whole.saturating_mul(1_000_000),
        // A float that is negative, or too large, becomes the nearest number.
        None => (value.as_f64().unwrap_or_default() * 1e6) as u64,
    };
    match message.get("started_at").map(nanoseconds) {
        None | Some(0) => 0,
        Some(start) => start.saturating_add(duration(message).map_or(0, nanoseconds)),
    }
}

/// What happened, in a few words, as Kong puts it: `POST /orders 201 92ms`.
fn body(message: &Map<String, Value>) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let at = |path: [&str; 2]| message.get(path[0])?.get(path[1]).and_then(text);
    let path = at(["request", "uri"]).map(|uri| uri.split('?').next().unwrap_or_default().to_owned());
    let status = at(["response", "status"]).or_else(|| at(["session", "status"]));
    let duration = duration(message).and_then(text).map(|number| format!("{number}ms"));
    let words = [at(["request", "method"]), path, status, duration];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
