//! OpenTelemetry's logs (OTLP): requests in protobuf or JSON, record by record, and the JSON of a record.
//!
//! Nothing of a request becomes a structure of its size: groups and records are slices of it, and values are written as JSON
//! while they are read. Field numbers and names are those of `opentelemetry/proto/logs/v1/logs.proto`,
//! `common/v1/common.proto` and `collector/logs/v1/logs_service.proto` (v1.9); the JSON form is that of
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>: bytes of ids are hexadecimal, 64-bit integers may be
//! strings, and unknown members are ignored.

mod json;
pub mod message;
mod protobuf;
mod record;
mod seed;
mod value;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use record::{Group, Record};

/// The path of the method that senders call over gRPC.
pub const METHOD: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// The path of requests over HTTP.
pub const PATH: &str = "/v1/logs";

/// Levels of values in a value, at most. In JSON each takes four levels of objects and arrays, of which serde_json reads 128.
pub const MAX_DEPTH: usize = 30;

/// Characters of a reason.
const MAX_REASON: usize = 300;

/// How a request is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`, and over gRPC.
    Protobuf,
    /// `application/json`.
    Json,
}

/// Why a record, or a value of it, cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// The mistake, as a sentence fragment.
    pub reason: String,
    /// Whether it exceeds a limit.
    pub too_large: bool,
}

impl RecordError {
    pub(crate) fn malformed(reason: impl std::fmt::Display) -> Self {
        Self { reason: shortened(&reason), too_large: false }
    }

    pub(crate) fn too_large(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), too_large: true }
    }
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for RecordError {}

/// What a reason says, of which what the peer sent may be a large part.
fn shortened(reason: &impl std::fmt::Display) -> String {
    let mut reason = reason.to_string();
    if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
        reason.truncate(end);
        reason.push_str("...");
    }
    reason
}

/// Why a request was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError<E> {
    /// It is not an `ExportLogsServiceRequest`.
    Malformed(String),
    /// The caller ended it.
    Ended(E),
}

/// Calls `take` for each record of an `ExportLogsServiceRequest`, in order, with the resource and the scope that it belongs
/// to. What `take` got is to be given up if the request turns out not to be one.
///
/// # Errors
/// See [`ReadError`].
pub fn read<E>(
    request: &Bytes,
    encoding: Encoding,
    mut take: impl FnMut(&Group<'_>, Result<Record<'_>, RecordError>) -> Result<(), E>,
) -> Result<(), ReadError<E>> {
    match encoding {
        Encoding::Protobuf => protobuf::read(request, &mut take),
        Encoding::Json => json::read(request, &mut take),
    }
}
