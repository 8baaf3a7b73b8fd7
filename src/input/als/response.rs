//! Answers of gRPC.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

/// An answer.
pub(super) type Response = hyper::Response<UnsyncBoxBody<Bytes, Infallible>>;

/// `StreamAccessLogsResponse`, which is empty, as a message of the stream.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Why a call ended (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// The answer to a stream that its sender has ended.
pub(super) fn done() -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(EMPTY_MESSAGE)).with_trailers(async { Some(Ok(trailers)) });
    with_body(body.boxed_unsync())
}

/// The answer to a call that cannot go on.
pub(super) fn failed(code: Code, message: &'static str) -> Response {
    let mut response = with_body(Empty::new().boxed_unsync());
    response.headers_mut().insert(STATUS, HeaderValue::from(code as u16));
    response.headers_mut().insert(MESSAGE, HeaderValue::from_static(message));
    response
}

/// The answer to what is not gRPC.
pub(super) fn not_grpc() -> Response {
    let mut response = hyper::Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

fn with_body(body: UnsyncBoxBody<Bytes, Infallible>) -> Response {
    let mut response = hyper::Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}
