//! The attributes of a message of Kong, under the names that Kong gives them in its own access logs (Kong 3.13 and later,
//! <https://developer.konghq.com/plugins/opentelemetry/>): those of OpenTelemetry's semantic conventions where they have one.

use serde_json::{Map, Value};

use logphase_protocol::otlp::message::{Any, AnyValue, ArrayValue, KeyValue, KeyValueList};

/// The members of Kong's log object that become attributes as a whole, member by member.
const OBJECTS: [(&str, &str); 6] = [
    ("route", "kong.route"),
    ("service", "kong.service"),
    ("consumer", "kong.auth.consumer"),
    ("authenticated_entity", "kong.auth.authenticated_entity"),
    ("session", "kong.session"),
    ("trace_id", "kong.trace_id"),
];

/// Those that become one attribute.
const VALUES: [(&str, &str); 8] = [
    ("client_ip", "client.address"),
    ("source", "kong.response.source"),
    ("started_at", "kong.request.started_at"),
    ("workspace", "kong.workspace.id"),
    ("workspace_name", "kong.workspace.name"),
    ("upstream_uri", "kong.upstream.uri"),
    ("auth_type", "kong.auth.type"),
    ("upstream_status", "kong.upstream.status_code"),
];

/// Attributes in order, each key once.
#[derive(Debug, Default)]
struct Attributes(Map<String, Value>);

impl Attributes {
    fn put(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let value = value.into();
        if !value.is_null() {
            self.0.insert(key.into(), value);
        }
    }

    /// Adds `value`; of an object, each member under its path.
    fn put_all(&mut self, key: &str, value: Value) {
        match value {
            Value::Object(members) => {
                members.into_iter().for_each(|(name, value)| self.put_all(&format!("{key}.{name}"), value));
            }
            value => self.put(key, value),
        }
    }
}

/// The attributes of `message`. A member that Kong's log object lacks is an attribute of its own name; it takes precedence,
/// and removes the attribute if it is null.
pub(super) fn attributes(message: Map<String, Value>) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    let mut custom = Vec::new();
    attributes.put("log.type", "access");
    attributes.put("kong.subsystem", if message.contains_key("session") { "stream" } else { "http" });
    for (name, value) in message {
        let object = OBJECTS.iter().find(|(known, _)| *known == name);
        let single = VALUES.iter().find(|(known, _)| *known == name);
        match (&*name, value, object, single) {
            (_, value @ Value::Object(_), Some((_, key)), _) => attributes.put_all(key, value),
            ("upstream_status", Value::String(statuses), _, Some((_, key))) => attributes.put(*key, last(&statuses)),
            (_, value, _, Some((_, key))) => attributes.put(*key, value),
            ("request", Value::Object(request), ..) => put_request(request, &mut attributes),
            ("response", Value::Object(response), ..) => put_response(response, &mut attributes),
            ("latencies", Value::Object(latencies), ..) => put_latencies(latencies, &mut attributes),
            ("tries", Value::Array(tries), ..) => put_tries(tries, &mut attributes),
            (_, value, ..) => custom.push((name, value)),
        }
    }
    for (name, value) in custom {
        match value {
            Value::Null => drop(attributes.0.shift_remove(&name)),
            value => attributes.put(name, value),
        }
    }
    attributes.0.into_iter().map(|(key, value)| KeyValue { key, value: Some(any(value)) }).collect()
}

fn put_request(request: Map<String, Value>, attributes: &mut Attributes) {
    for (name, value) in request {
        match (&*name, value) {
            ("method", value) => attributes.put("http.request.method", value),
            ("size", value) => attributes.put("http.request.size", value),
            ("uri", Value::String(uri)) => {
                let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
                attributes.put("url.path", path);
                attributes.put("url.query", query);
            }
            ("url", Value::String(url)) => put_url(url, attributes),
            ("headers", Value::Object(headers)) => {
                if let Some(agent) = headers.get("user-agent").and_then(first) {
                    attributes.put("user_agent.original", agent);
                }
                put_headers("http.request", headers, attributes);
            }
            // `url.query` has it.
            ("querystring", _) => {}
            ("body", value) => attributes.put("http.request.body.content", value),
            (name, value) => attributes.put_all(&format!("kong.request.{name}"), value),
        }
    }
}

fn put_response(response: Map<String, Value>, attributes: &mut Attributes) {
    for (name, value) in response {
        match (&*name, value) {
            ("status", value) => attributes.put("http.response.status_code", value),
            ("size", value) => attributes.put("http.response.size", value),
            ("headers", Value::Object(headers)) => put_headers("http.response", headers, attributes),
            ("body", value) => attributes.put("http.response.body.content", value),
            (name, value) => attributes.put_all(&format!("kong.response.{name}"), value),
        }
    }
}

/// The URL, and its parts.
fn put_url(url: String, attributes: &mut Attributes) {
    if let Some((scheme, rest)) = url.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let port = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        attributes.put("url.scheme", scheme);
        attributes.put("url.domain", port.map_or(authority, |(host, _)| host));
        attributes.put("url.port", port.map(|(_, port)| port));
    }
    attributes.put("url.full", url);
}

fn put_headers(side: &str, headers: Map<String, Value>, attributes: &mut Attributes) {
    let size = headers.get("content-length").and_then(first).and_then(|size| size.parse::<u64>().ok());
    attributes.put(format!("{side}.body.size"), size);
    for (name, value) in headers {
        attributes.put(format!("{side}.header.{name}"), value);
    }
}

/// Times in milliseconds; all of them are of one type, whether they are whole or not.
fn put_latencies(latencies: Map<String, Value>, attributes: &mut Attributes) {
    for (name, value) in latencies {
        let name = match &*name {
            "request" => "total",
            "proxy" => "upstream",
            "kong" => "internal",
            name => name,
        };
        attributes.put_all(&format!("kong.latency.{name}"), doubles(value));
    }
}

/// `value` with all numbers as floating-point numbers.
fn doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, doubles(value))).collect(),
        value => value,
    }
}

fn put_tries(tries: Vec<Value>, attributes: &mut Attributes) {
    for (number, one) in (1..).zip(tries) {
        attributes.put_all(&format!("kong.upstream.try.{number}"), one);
    }
}

/// The status of the last try: Kong writes those of all, like `502, 200`.
fn last(statuses: &str) -> Option<u64> {
    statuses.rsplit([',', ':']).next().and_then(|status| status.trim().parse().ok())
}

/// The value of a header, or the first one.
pub(super) fn first(value: &Value) -> Option<&str> {
    match value {
        Value::Array(values) => values.first().and_then(Value::as_str),
        value => value.as_str(),
    }
}

/// `value` as a value of OpenTelemetry.
pub(super) fn any(value: Value) -> AnyValue {
    let value = match value {
        Value::Null => return AnyValue::default(),
        Value::Bool(value) => Any::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Any::Int(whole),
            None => Any::Double(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Any::String(text),
        Value::Array(values) => Any::Array(ArrayValue { values: values.into_iter().map(any).collect() }),
        Value::Object(members) => {
            let member = |(key, value)| KeyValue { key, value: Some(any(value)) };
            Any::KeyValues(KeyValueList { values: members.into_iter().map(member).collect() })
        }
    };
    value.into()
}
