//! The answers of the OTLP input (<https://opentelemetry.io/docs/specs/otlp/>): over gRPC a status in trailers, over HTTP a
//! message in the encoding of the request.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Request, StatusCode, Version};
use prost::Message;
use serde_json::json;

use crate::decode::otlp::Export;
use crate::input::grpc;
use crate::input::grpc::response::{self as grpc_response, Code, Response};
use crate::input::http::error::RequestError;
use logphase_protocol::otlp::message::{ExportResponse, PartialSuccess};
use logphase_protocol::rpc::Status;

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Seconds after which a refused sender may try again.
const RETRY_SECONDS: u64 = 1;

/// How a request is encoded, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Grpc,
    Protobuf,
    Json,
    /// None of these; answered in JSON.
    Unknown,
}

impl Wire {
    /// As the headers of the request say.
    pub(super) fn of(request: &Request<Incoming>) -> Self {
        if grpc::is_grpc(request) {
            return Self::Grpc;
        }
        let given = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/x-protobuf") {
            Self::Protobuf
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            Self::Json
        } else {
            Self::Unknown
        }
    }
}

/// The answer to a request whose sound records were taken.
pub(super) fn accepted(wire: Wire, export: &Export) -> Response {
    let rejected = export.rejected();
    let partial_success = export.first.as_ref().map(|(place, why)| PartialSuccess {
        rejected_log_records: i64::try_from(rejected).unwrap_or(i64::MAX),
        error_message: format!("{rejected} log records were not taken; the first is record {place}, from 0: {why}"),
    });
    match wire {
        Wire::Grpc => grpc_response::done(&ExportResponse { partial_success }.encode_to_vec()),
        Wire::Protobuf => message(wire, StatusCode::OK, ExportResponse { partial_success }.encode_to_vec()),
        Wire::Json | Wire::Unknown => {
            let body = match partial_success {
                None => json!({}),
                // 64-bit integers are strings in the JSON of protobuf.
                Some(partial) => json!({"partialSuccess": {
                    "rejectedLogRecords": partial.rejected_log_records.to_string(),
                    "errorMessage": partial.error_message,
                }}),
            };
            message(wire, StatusCode::OK, body.to_string().into_bytes())
        }
    }
}

/// The answer to a request that is refused.
pub(super) fn refused(error: &RequestError, wire: Wire, version: Version) -> Response {
    let code = Code::of(error.status);
    let retry = error.is_retryable().then_some(Duration::from_secs(RETRY_SECONDS));
    let status = Status::new(code as i32, error.text(), retry);
    if wire == Wire::Grpc && version >= Version::HTTP_2 {
        return grpc_response::refused(&status);
    }
    let body = match wire {
        Wire::Protobuf => status.encode_to_vec(),
        _ => json!({"code": status.code, "message": status.message}).to_string().into_bytes(),
    };
    let mut response = message(wire, error.status, body);
    let headers = response.headers_mut();
    if retry.is_some() {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    }
    if error.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if error.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if error.close && version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn message(wire: Wire, status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Full::from(body).boxed_unsync());
    *response.status_mut() = status;
    let content_type = if wire == Wire::Protobuf { "application/x-protobuf" } else { "application/json" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
