//! Answers of gRPC.

use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use prost::Message;

use logphase_protocol::rpc::Status;

/// An answer.
pub(in crate::input) type Response = hyper::Response<UnsyncBoxBody<Bytes, Infallible>>;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// `google.rpc.Status` with details, as most clients read it.
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// `google.rpc.RetryInfo` alone, as the OpenTelemetry SDK for Python reads it.
const RETRY_INFO: HeaderName = HeaderName::from_static("google.rpc.retryinfo-bin");

/// What text of `grpc-message` may have as it is (gRPC's PROTOCOL-HTTP2, "Status-Message").
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Why a call ended (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(in crate::input) enum Code {
    InvalidArgument = 3,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    /// The code for a status of HTTP (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>, and for
    /// those that are not there what OTLP asks for).
    pub(in crate::input) fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::InvalidArgument,
            401 => Self::Unauthenticated,
            403 | 421 => Self::PermissionDenied,
            404 | 405 | 415 | 501 => Self::Unimplemented,
            413 | 414 | 431 => Self::ResourceExhausted,
            408 | 429 | 503 => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

/// The answer to a call that its sender has ended, with its message.
pub(in crate::input) fn done(message: &[u8]) -> Response {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let framed = [&[0][..], &length, message].concat();
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) });
    with_body(body.boxed_unsync())
}

/// The answer to a call that cannot go on.
pub(in crate::input) fn failed(code: Code, message: &str) -> Response {
    refused(&Status::new(code as i32, message.to_owned(), None))
}

/// The same with details.
pub(in crate::input) fn refused(status: &Status) -> Response {
    let mut response = with_body(Empty::new().boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from(status.code));
    let text = utf8_percent_encode(&status.message, ESCAPED).to_string();
    if let Ok(text) = HeaderValue::try_from(text) {
        headers.insert(MESSAGE, text);
    }
    if let Some(retry) = status.details.first() {
        let binary = |bytes: &[u8]| HeaderValue::try_from(STANDARD_NO_PAD.encode(bytes)).ok();
        for (name, value) in [(DETAILS, binary(&status.encode_to_vec())), (RETRY_INFO, binary(&retry.value))] {
            value.map(|value| headers.insert(name, value));
        }
    }
    response
}

/// The answer to what is not gRPC.
pub(in crate::input) fn not_grpc() -> Response {
    let mut response = hyper::Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

fn with_body(body: UnsyncBoxBody<Bytes, Infallible>) -> Response {
    let mut response = hyper::Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}
