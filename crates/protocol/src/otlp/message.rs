//! The messages of a request that is sent, and of every answer. Requests that are received are read piece by piece instead
//! ([`super::read`]).

mod json;

use prost::{Message, Oneof};

pub use json::request as json_request;

/// `ExportLogsServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportRequest {
    /// The records, by the resource that they are about.
    #[prost(message, repeated, tag = "1")]
    pub resource_logs: Vec<ResourceLogs>,
}

/// The records of a resource.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceLogs {
    /// What the records are about.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// The records, by what has made them.
    #[prost(message, repeated, tag = "2")]
    pub scope_logs: Vec<ScopeLogs>,
}

/// What records are about.
#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    /// Its attributes, each key once.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// The records that one piece of software has made.
#[derive(Clone, PartialEq, Message)]
pub struct ScopeLogs {
    /// What has made the records.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// The records.
    #[prost(message, repeated, tag = "2")]
    pub log_records: Vec<LogRecord>,
}

/// `InstrumentationScope`: what has made records.
#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// A record.
#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    /// When it happened, in nanoseconds since the Unix epoch; 0 if that is unknown.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    /// What happened.
    #[prost(message, optional, tag = "5")]
    pub body: Option<AnyValue>,
    /// Its attributes, each key once.
    #[prost(message, repeated, tag = "6")]
    pub attributes: Vec<KeyValue>,
    /// The flags of W3C's trace context.
    #[prost(fixed32, tag = "8")]
    pub flags: u32,
    /// Sixteen bytes, or none.
    #[prost(bytes = "vec", tag = "9")]
    pub trace_id: Vec<u8>,
    /// Eight bytes, or none.
    #[prost(bytes = "vec", tag = "10")]
    pub span_id: Vec<u8>,
    /// When it was seen, in nanoseconds since the Unix epoch.
    #[prost(fixed64, tag = "11")]
    pub observed_time_unix_nano: u64,
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// Its key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value; empty if [`Any`] is missing.
#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    /// The value.
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub value: Option<Any>,
}

/// What an [`AnyValue`] can be.
#[derive(Clone, PartialEq, Oneof)]
#[expect(missing_docs, reason = "the names are those of OTLP's types")]
pub enum Any {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    KeyValues(KeyValueList),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}

/// A list of values.
#[derive(Clone, PartialEq, Message)]
pub struct ArrayValue {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

/// A map.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValueList {
    /// The members, each key once.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

/// `ExportLogsServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ExportResponse {
    /// What was not taken of an accepted request, if anything.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `ExportLogsPartialSuccess`.
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    /// How many records were not taken.
    #[prost(int64, tag = "1")]
    pub rejected_log_records: i64,
    /// Why, or a warning if all were taken.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

impl From<Any> for AnyValue {
    fn from(value: Any) -> Self {
        Self { value: Some(value) }
    }
}

impl KeyValue {
    /// An attribute.
    pub fn new(key: impl Into<String>, value: impl Into<AnyValue>) -> Self {
        Self { key: key.into(), value: Some(value.into()) }
    }

    /// An attribute whose value is a text.
    pub fn text(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(key, Any::String(value.into()))
    }
}
