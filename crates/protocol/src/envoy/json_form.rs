//! Entries in the JSON form of protobuf (<https://protobuf.dev/programming-guides/json/>), as tools print them: they are
//! encoded, and then read like those of a stream.
//!
//! Members may have their names of the protos (`response_code`) or of JSON (`responseCode`). Members that are not known are
//! skipped: a later Envoy may have more.

mod fields;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use self::fields::{Field, Kind};

/// An entry of the JSON form, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncodedEntry {
    /// `envoy.data.accesslog.v3.HTTPAccessLogEntry`.
    Http(Vec<u8>),
    /// `envoy.data.accesslog.v3.TCPAccessLogEntry`.
    Tcp(Vec<u8>),
}

/// A value that is not of its field's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonFormError {
    /// Where: names of members, with dots.
    pub path: String,
    /// What is expected there.
    pub expected: &'static str,
}

impl fmt::Display for JsonFormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, expected } = self;
        if path.is_empty() { write!(f, "expected {expected}") } else { write!(f, "{path}: expected {expected}") }
    }
}

impl std::error::Error for JsonFormError {}

type Encoded<T = ()> = Result<T, JsonFormError>;

fn refuse<T>(expected: &'static str) -> Encoded<T> {
    Err(JsonFormError { path: String::new(), expected })
}

/// Whether a JSON object is an entry, and not a log message of Kong.
pub fn is_entry(value: &Value) -> bool {
    let has = |name: &str| value.as_object().is_some_and(|members| members.keys().any(|key| json_name(key) == name));
    has("commonProperties") || has("protocolVersion") || has("connectionProperties")
}

/// Encodes an entry: one with `connection_properties` is a connection, and one without a request, a response and a version
/// of HTTP is one if its type says so.
///
/// # Errors
/// A value is not of its field's type.
pub fn encode(entry: &Value) -> Encoded<EncodedEntry> {
    let Some(members) = entry.as_object() else { return refuse("an object") };
    let find = |name: &str| members.iter().find(|(key, _)| json_name(key) == name).map(|(_, value)| value);
    let http = ["protocolVersion", "request", "response"].iter().any(|name| find(name).is_some());
    let kind =
        find("commonProperties").and_then(|common| common.get("accessLogType").or(common.get("access_log_type")));
    let is_tcp = find("connectionProperties").is_some()
        || !http && kind.and_then(Value::as_str).is_some_and(|kind| kind.starts_with("Tcp"));
    Ok(if is_tcp {
        EncodedEntry::Tcp(message(members, fields::TCP)?)
    } else {
        EncodedEntry::Http(message(members, fields::HTTP)?)
    })
}

/// Encodes the `identifier` of a stream's first message, for [`crate::envoy::Origin::decode`].
///
/// # Errors
/// A value is not of its field's type.
pub fn encode_identifier(identifier: &Value) -> Encoded<Vec<u8>> {
    let Some(members) = identifier.as_object() else { return refuse("an object") };
    message(members, fields::IDENTIFIER)
}

/// A member's name in JSON: `response_code` is `responseCode`.
fn json_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                out.push(letter.to_ascii_uppercase());
                upper = false;
            }
            letter => out.push(letter),
        }
    }
    out
}

fn message(members: &Map<String, Value>, fields: &[Field]) -> Encoded<Vec<u8>> {
    let mut out = Vec::new();
    for (key, value) in members {
        let name = json_name(key);
        let Some(field) = fields.iter().find(|field| field.name == name) else { continue };
        if !value.is_null() {
            encode_field(field, value, &mut out).map_err(|error| within(key, error))?;
        }
    }
    Ok(out)
}

fn within(name: &str, error: JsonFormError) -> JsonFormError {
    let path = if error.path.is_empty() { name.to_owned() } else { format!("{name}.{}", error.path) };
    JsonFormError { path, ..error }
}

fn encode_field(field: &Field, value: &Value, out: &mut Vec<u8>) -> Encoded {
    let number = field.number;
    match field.kind {
        Kind::Text => bytes(out, number, text(value)?.as_bytes()),
        Kind::Number => varint_field(out, number, unsigned(value)?),
        Kind::Struct => bytes(out, number, &structure(value)?),
        Kind::Bool => match value.as_bool() {
            Some(value) => varint_field(out, number, value.into()),
            None => return refuse("true or false"),
        },
        Kind::Enumeration(names) => {
            let found = value.as_str().and_then(|name| names.iter().position(|known| *known == name));
            let value = match found {
                Some(at) => u64::try_from(at).unwrap_or(0),
                None => value.as_u64().map_or_else(|| refuse("a name or number of the enumeration"), Ok)?,
            };
            varint_field(out, number, value);
        }
        Kind::Wrapper => {
            let mut inner = Vec::new();
            varint_field(&mut inner, 1, unsigned(value)?);
            bytes(out, number, &inner);
        }
        Kind::Timestamp => {
            let Ok(time) = text(value)?.parse::<Timestamp>() else {
                return refuse("a time, like 2026-11-29T11:28:19.5Z");
            };
            bytes(out, number, &time_message(time.as_second(), time.subsec_nanosecond()));
        }
        Kind::Duration => {
            let Some((seconds, nanoseconds)) = duration(text(value)?) else {
                return refuse("a duration, like 0.0015s");
            };
            bytes(out, number, &time_message(seconds, nanoseconds));
        }
        Kind::Message(fields) => bytes(out, number, &message(object(value)?, fields)?),
        Kind::Repeated(fields) => {
            let Some(items) = value.as_array() else { return refuse("an array") };
            for item in items {
                bytes(out, number, &message(object(item)?, fields)?);
            }
        }
        Kind::Map(encode) => {
            for (key, value) in object(value)? {
                let mut member = Vec::new();
                bytes(&mut member, 1, key.as_bytes());
                bytes(&mut member, 2, &encode(value).map_err(|error| within(key, error))?);
                bytes(out, number, &member);
            }
        }
    }
    Ok(())
}

fn text(value: &Value) -> Encoded<&str> {
    value.as_str().map_or_else(|| refuse("a string"), Ok)
}

fn object(value: &Value) -> Encoded<&Map<String, Value>> {
    value.as_object().map_or_else(|| refuse("an object"), Ok)
}

/// A whole number; one of 64 bits is a string in JSON.
fn unsigned(value: &Value) -> Encoded<u64> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    number.map_or_else(|| refuse("a whole number"), Ok)
}

fn duration(text: &str) -> Option<(i64, i32)> {
    let digits = text.strip_suffix('s')?;
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |digits| (true, digits));
    let (seconds, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().ok()?;
    let seconds: i64 = seconds.parse().ok()?;
    Some(if negative { (-seconds, -nanoseconds) } else { (seconds, nanoseconds) })
}

fn time_message(seconds: i64, nanoseconds: i32) -> Vec<u8> {
    let mut out = Vec::new();
    // A negative number is that of its 64 bits.
    varint_field(&mut out, 1, seconds.cast_unsigned());
    varint_field(&mut out, 2, i64::from(nanoseconds).cast_unsigned());
    out
}

fn varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        varint(out, u64::from(number) << 3);
        varint(out, value);
    }
}

fn bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    varint(out, u64::from(number) << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

/// A member of a map of texts.
fn text_value(value: &Value) -> Encoded<Vec<u8>> {
    text(value).map(|text| text.as_bytes().to_vec())
}

/// `google.protobuf.Struct`.
fn structure(value: &Value) -> Encoded<Vec<u8>> {
    let mut out = Vec::new();
    for (key, value) in object(value)? {
        let mut member = Vec::new();
        bytes(&mut member, 1, key.as_bytes());
        bytes(&mut member, 2, &any_value(value)?);
        bytes(&mut out, 1, &member);
    }
    Ok(out)
}

/// `google.protobuf.Value`.
fn any_value(value: &Value) -> Encoded<Vec<u8>> {
    let mut out = Vec::new();
    match value {
        Value::Null => out.extend_from_slice(&[1 << 3, 0]),
        Value::Bool(value) => out.extend_from_slice(&[4 << 3, u8::from(*value)]),
        Value::Number(number) => {
            out.push(2 << 3 | 1);
            out.extend_from_slice(&number.as_f64().unwrap_or_default().to_le_bytes());
        }
        Value::String(text) => bytes(&mut out, 3, text.as_bytes()),
        Value::Object(_) => bytes(&mut out, 5, &structure(value)?),
        Value::Array(items) => {
            let mut list = Vec::new();
            for item in items {
                bytes(&mut list, 1, &any_value(item)?);
            }
            bytes(&mut out, 6, &list);
        }
    }
    Ok(out)
}

/// `google.protobuf.Any`: of a type that the filter state has, with its value.
fn any(value: &Value) -> Encoded<Vec<u8>> {
    let members = object(value)?;
    let url = members.get("@type").map_or_else(|| refuse("an object with @type"), text)?;
    let held = members.get("value");
    let mut inner = Vec::new();
    match (url.rsplit('/').next(), held) {
        (Some("google.protobuf.StringValue"), Some(held)) => bytes(&mut inner, 1, text(held)?.as_bytes()),
        (Some("google.protobuf.BytesValue"), Some(held)) => match STANDARD.decode(text(held)?) {
            Ok(held) => bytes(&mut inner, 1, &held),
            Err(_) => return refuse("bytes in base64"),
        },
        // What other types hold only their definitions tell.
        _ => {}
    }
    let mut out = Vec::new();
    bytes(&mut out, 1, url.as_bytes());
    bytes(&mut out, 2, &inner);
    Ok(out)
}
