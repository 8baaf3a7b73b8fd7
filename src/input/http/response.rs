//! The responses of the HTTP input.

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::error::RequestError;

/// A response: always small, sent whole.
pub(super) type Response = hyper::Response<Full<Bytes>>;

/// The methods that `/` has.
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS, PATCH, POST, PUT");

/// Seconds after which a refused sender may try again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The text of `GET /`, for people who look what is there.
const USAGE: &str = "Logphase takes transactions here: POST one JSON object (Kong's log object), an array of them, or \
                     JSON lines with Content-Type: application/x-ndjson; gzip is welcome.\n";

/// 200, with the number of transactions that were taken.
pub(super) fn accepted(transactions: usize) -> Response {
    json(StatusCode::OK, format!("{{\"accepted\": {transactions}}}\n").into_bytes())
}

/// The response to `GET /`.
pub(super) fn usage() -> Response {
    let mut response = Response::new(Full::new(Bytes::from_static(USAGE.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The response to `OPTIONS /`.
pub(super) fn options() -> Response {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, ALLOWED);
    response
}

/// The response to a request that is refused.
pub(super) fn refused(error: &RequestError) -> Response {
    let mut response = json(error.status, error.body());
    let headers = response.headers_mut();
    match error.status {
        StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        StatusCode::SERVICE_UNAVAILABLE if !error.close => {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, ALLOWED);
        }
        _ => {}
    }
    if error.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The same as bytes of HTTP/1.1, for a connection that is closed before its request was complete.
pub(super) fn refused_http1(error: &RequestError) -> Vec<u8> {
    let (status, body) = (error.status, error.body());
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n"
    );
    [head.into_bytes(), body].concat()
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
