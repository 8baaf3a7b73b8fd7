//! Log records of OpenTelemetry, over OTLP/HTTP and OTLP/gRPC (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! An entry is a message of Kong, which becomes a record when it is sent; the record is the same each time. A receiver that
//! accepts a request and says how many of its records it has not taken does not want them again: they are counted as lost.

mod attributes;
mod entry;
mod exporter;
mod grpc;
mod record;
mod resource;
mod trace;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use self::entry::EntryRecords;
pub use self::entry::LogEntry;
use self::exporter::{Exporter, ExporterConfig};
use self::record::KongRecords;
use self::resource::ResourceTemplate;
use crate::sink::requests::{self, Failure, Post, Posted};
use crate::sink::{BoxFuture, ConfigError, Sink, SinkShared, defaults, parse};
use logphase_net::tls::Identity;
use logphase_protocol::otlp::message::{ExportRequest, LogRecord, Resource, ResourceLogs, Scope, ScopeLogs};

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Where access logs go.
    pub access_logs: AccessLogs,
    /// How requests are sent.
    #[serde(default)]
    pub protocol: Protocol,
    /// How requests are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Headers to add; over gRPC, metadata.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Attributes of the resource.
    #[serde(default)]
    pub resource_attributes: BTreeMap<String, String>,
    /// Limit on connecting, in milliseconds.
    pub connect_timeout: u64,
    /// Limit on sending without progress, in milliseconds.
    pub send_timeout: u64,
    /// Limit on waiting for the answer, in milliseconds.
    pub read_timeout: u64,
    /// Verify the receiver's certificate.
    #[serde(default = "defaults::verify")]
    pub ssl_verify: bool,
    /// Send many requests of one record at the same time (`queue.concurrency_limit` of -1).
    #[serde(default)]
    pub parallel: bool,
    /// The client certificate for receivers that request one.
    #[serde(default)]
    pub(crate) certificate: Option<Identity>,
}

/// `access_logs` of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccessLogs {
    /// The URL of the receiver.
    pub endpoint: String,
}

/// How requests are sent; the names are those of `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Protocol {
    /// Protobuf over gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// Protobuf over HTTP, as Kong sends it.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// JSON over HTTP.
    #[serde(rename = "http/json")]
    HttpJson,
}

impl Protocol {
    /// The names of all.
    pub const NAMES: &'static [&'static str] = &["grpc", "http/protobuf", "http/json"];
}

/// How requests are compressed; the names are those of `OTEL_EXPORTER_OTLP_COMPRESSION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By gzip.
    Gzip,
}

impl Compression {
    /// The names of all.
    pub const NAMES: &'static [&'static str] = &["none", "gzip"];
}

/// Makes a sink of Kong's messages from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    let config: Config = parse(config)?;
    let resource = ResourceTemplate::new(&config.resource_attributes);
    let exporter = Exporter::new(
        &ExporterConfig {
            field: "access_logs.endpoint",
            url: &config.access_logs.endpoint,
            protocol: config.protocol,
            compression: config.compression,
            headers: &config.headers,
            connect: milliseconds(config.connect_timeout),
            send: milliseconds(config.send_timeout),
            read: milliseconds(config.read_timeout),
            verify: config.ssl_verify,
            certificate: config.certificate.as_ref(),
        },
        shared,
    );
    match (resource, exporter) {
        (Ok(resource), Ok(exporter)) => {
            Ok(requests::sink(Poster { exporter, records: KongRecords::new(resource) }, config.parallel))
        }
        (resource, exporter) => {
            Err(exporter.err().into_iter().flatten().chain(resource.err().into_iter().flatten()).collect())
        }
    }
}

/// Makes a sink of [`LogEntry`]s from `config`, which has the `endpoint` as a URL and may have the `protocol`; without it, gRPC.
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open_entries(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    #[derive(Deserialize)]
    struct EntryConfig {
        endpoint: String,
        #[serde(default = "grpc")]
        protocol: Protocol,
    }
    fn grpc() -> Protocol {
        Protocol::Grpc
    }
    let config: EntryConfig = parse(config)?;
    let limit = milliseconds(defaults::timeout());
    let exporter = Exporter::new(
        &ExporterConfig {
            field: "endpoint",
            url: &config.endpoint,
            protocol: config.protocol,
            compression: Compression::None,
            headers: &BTreeMap::new(),
            connect: limit,
            send: limit,
            read: limit,
            verify: true,
            certificate: None,
        },
        shared,
    )?;
    Ok(requests::sink(Poster { exporter, records: EntryRecords }, false))
}

/// A limit; Kong's zero is the shortest.
fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number.max(1))
}

/// Makes records of entries.
trait Records: Send + Sync + 'static {
    /// The record of an entry, and what it is about.
    fn record(&self, entry: &Bytes) -> (Resource, LogRecord);

    /// What has made the records.
    fn scope(&self) -> Scope;
}

/// Posts the records of entries.
struct Poster<R> {
    exporter: Exporter,
    records: R,
}

impl<R: Records> Post for Poster<R> {
    fn post<'a>(&'a self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Posted, Failure>> {
        Box::pin(async move { self.exporter.export(&request(&self.records, entries), entries.len()).await })
    }

    fn takes_several(&self) -> bool {
        true
    }
}

/// The request with the records of `entries`, in their order. Neighbours about the same resource share it.
fn request(records: &impl Records, entries: &[Bytes]) -> ExportRequest {
    let mut request = ExportRequest::default();
    for entry in entries {
        let (resource, record) = records.record(entry);
        match request.resource_logs.last_mut() {
            Some(ResourceLogs { resource: Some(last), scope_logs }) if *last == resource => {
                scope_logs.iter_mut().for_each(|logs| logs.log_records.push(record.clone()));
            }
            _ => {
                let scope_logs = vec![ScopeLogs { scope: Some(records.scope()), log_records: vec![record] }];
                request.resource_logs.push(ResourceLogs { resource: Some(resource), scope_logs });
            }
        }
    }
    request
}

#[cfg(test)]
mod tests;
