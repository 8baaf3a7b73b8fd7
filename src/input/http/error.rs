//! Why the HTTP input refuses a request: a status, and JSON with the error, its place and what to do.

use hyper::StatusCode;
use serde::Serialize;

use super::framing::{MAX_HEAD_BYTES, MAX_HEADERS};
use crate::connections::HostError;
use crate::decode::DecodeError;
use crate::input::Reason;
use crate::input::transport::Unauthorized;
use crate::phase::IntakeError;

/// Characters of what a peer sent that an error quotes.
const MAX_QUOTED: usize = 100;

/// A request that is refused. Its fields except for the first three are the body of the response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::input) struct RequestError {
    #[serde(skip)]
    pub(in crate::input) status: StatusCode,
    #[serde(skip)]
    pub(in crate::input) reason: Reason,
    /// Whether the connection is closed.
    #[serde(skip)]
    pub(in crate::input) close: bool,
    /// The mistake.
    error: String,
    /// What to do.
    help: String,
    /// A word for programs; never changes.
    code: &'static str,
    /// Which transaction of the body, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// Bytes from the start of the (decompressed) body.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
}

impl RequestError {
    /// An error with this status, counted under `reason`.
    pub(in crate::input) fn new(
        status: StatusCode,
        reason: Reason,
        code: &'static str,
        error: impl Into<String>,
        help: &str,
    ) -> Self {
        let (error, help) = (error.into(), help.to_owned());
        Self { status, reason, close: false, error, help, code, index: None, offset: None }
    }

    /// The same, and the connection is closed.
    pub(in crate::input) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    pub(in crate::input) fn not_found(path: &str) -> Self {
        let error = format!("there is nothing at {}", quoted(path));
        Self::new(StatusCode::NOT_FOUND, Reason::Unsupported, "not_found", error, "POST transactions to /")
    }

    pub(in crate::input) fn method_not_allowed(method: &str) -> Self {
        let error = format!("{} is not served here", quoted(method));
        let help = "POST transactions (PUT and PATCH do the same)";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Reason::Unsupported, "method_not_allowed", error, help)
    }

    pub(in crate::input) fn from_web_page() -> Self {
        let error = "requests made by a web page are not taken";
        let help = "send transactions from a proxy or a program; leave the Origin header out";
        Self::new(StatusCode::FORBIDDEN, Reason::Unsupported, "web_page", error, help)
    }

    pub(in crate::input) fn unsupported_type(found: &str) -> Self {
        let error = format!("the body's type {} is not taken", quoted(found));
        let help = "send Content-Type: application/json, or application/x-ndjson for JSON lines";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Reason::Unsupported, "unsupported_type", error, help)
    }

    pub(in crate::input) fn unsupported_encoding(found: &str) -> Self {
        let error = format!("the body's encoding {} is not taken", quoted(found));
        let help = "send Content-Encoding: gzip, or no compression";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Reason::Unsupported, "unsupported_encoding", error, help)
    }

    pub(in crate::input) fn body_too_large(limit: usize) -> Self {
        let error = format!("the body is over the limit of {limit} bytes");
        let help = "send fewer transactions at a time, or raise limits.max_body_bytes";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, "body_too_large", error, help).closing()
    }

    pub(in crate::input) fn decompressed_too_large(limit: usize) -> Self {
        Self {
            error: format!("the body decompresses to over the limit of {limit} bytes"),
            ..Self::body_too_large(limit)
        }
    }

    pub(in crate::input) fn out_of_memory() -> Self {
        let error = "the bodies of other requests fill the memory for bodies";
        let help = "try again after the seconds of Retry-After";
        Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::Full, "busy", error, help).closing()
    }

    pub(in crate::input) fn invalid_gzip(error: &std::io::Error) -> Self {
        let error = format!("the body is not valid gzip: {error}");
        let help = "send one whole gzip stream and nothing after it, or leave Content-Encoding out";
        Self::new(StatusCode::BAD_REQUEST, Reason::Malformed, "bad_gzip", error, help)
    }

    pub(in crate::input) fn bad_head(error: &str) -> Self {
        let help = "send a request of HTTP/1.1 (RFC 9112), or use HTTP/2";
        Self::new(StatusCode::BAD_REQUEST, Reason::Malformed, "bad_request", error, help).closing()
    }

    pub(in crate::input) fn head_too_large() -> Self {
        let error = format!("the headers of the request are over the limit of {MAX_HEAD_BYTES} bytes");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::new(status, Reason::TooLarge, "headers_too_large", error, "send smaller headers").closing()
    }

    pub(in crate::input) fn too_many_headers() -> Self {
        let error = format!("the request has more than {MAX_HEADERS} headers");
        Self { error, help: "send fewer headers".to_owned(), ..Self::head_too_large() }
    }

    pub(in crate::input) fn uri_too_long() -> Self {
        let error = format!("the target of the request is over the limit of {MAX_HEAD_BYTES} bytes");
        let status = StatusCode::URI_TOO_LONG;
        Self::new(status, Reason::TooLarge, "uri_too_long", error, "POST transactions to /").closing()
    }

    pub(in crate::input) fn unsupported_transfer_encoding() -> Self {
        let error = "the request has a Transfer-Encoding other than `chunked`";
        let help = "compress with Content-Encoding: gzip, and send `chunked` or a Content-Length";
        Self::new(StatusCode::NOT_IMPLEMENTED, Reason::Unsupported, "unsupported_transfer_encoding", error, help)
            .closing()
    }

    pub(in crate::input) fn host(error: &HostError) -> Self {
        let status = match error {
            HostError::Malformed => return Self::bad_head("the request has no Host header, or more than one"),
            HostError::Origin { .. } => return Self::from_web_page(),
            HostError::Host { .. } => StatusCode::MISDIRECTED_REQUEST,
        };
        let help = "send transactions to an address of this service, or allow the name";
        Self::new(status, Reason::Unsupported, "host", error.to_string(), help).closing()
    }

    pub(in crate::input) fn unauthorized(error: Unauthorized, setting: &str) -> Self {
        let (error, code) = match error {
            Unauthorized::Missing => ("the request has no bearer token", "unauthorized"),
            Unauthorized::Wrong => ("the bearer token of the request is not one that is accepted", "invalid_token"),
        };
        let help = format!("send `Authorization: Bearer TOKEN` with a token of {setting}");
        Self::new(StatusCode::UNAUTHORIZED, Reason::Unauthorized, code, error, &help)
    }

    pub(in crate::input) fn too_slow(error: &'static str) -> Self {
        let help = "send it again, faster; nothing of it was taken";
        Self::new(StatusCode::REQUEST_TIMEOUT, Reason::Timeout, "too_slow", error, help).closing()
    }

    /// The body made room for others.
    pub(in crate::input) fn evicted() -> Self {
        Self::too_slow("faster bodies needed the memory of this one")
    }

    pub(in crate::input) fn header_timeout(seconds: f64) -> Self {
        let error = format!("the headers of the request did not arrive within {seconds} s");
        let help = "send them faster";
        Self::new(StatusCode::REQUEST_TIMEOUT, Reason::Timeout, "timeout", error, help).closing()
    }

    pub(in crate::input) fn body_timeout(seconds: f64, bytes: usize, min_rate: usize) -> Self {
        let error = format!(
            "only {bytes} bytes of the body arrived within {seconds:.1} s; it must arrive at {min_rate} bytes per second \
             (inputs.http.min_rate)"
        );
        let help = "send smaller bodies, or send them faster";
        Self::new(StatusCode::REQUEST_TIMEOUT, Reason::Timeout, "timeout", error, help).closing()
    }

    pub(in crate::input) fn incomplete(error: &hyper::Error) -> Self {
        let error = format!("the body is incomplete: {error}");
        let help = "send the whole body; nothing of it was taken";
        Self::new(StatusCode::BAD_REQUEST, Reason::Incomplete, "incomplete", error, help).closing()
    }

    pub(in crate::input) fn rejected(error: DecodeError) -> Self {
        let DecodeError { index, offset, reason, too_large } = error;
        let error = if too_large {
            let help = "make the transaction smaller, or raise the limit; nothing of this request was taken";
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Self::new(status, Reason::TooLarge, "transaction_too_large", reason, help)
        } else {
            let help = "correct this transaction and send the whole request again; nothing of it was taken";
            Self::new(StatusCode::BAD_REQUEST, Reason::Malformed, "malformed", reason, help)
        };
        Self { index: Some(index), offset: Some(offset), ..error }
    }

    pub(in crate::input) fn refused(refusal: &IntakeError) -> Self {
        let error = refusal.to_string();
        match refusal {
            IntakeError::Full { .. } | IntakeError::Closed { .. } => {
                let help = "try again after the seconds of Retry-After; nothing of this request was taken";
                Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::Full, "queue_full", error, help)
            }
            IntakeError::Failing { .. } => {
                let help = "try again after the seconds of Retry-After; nothing of this request was taken";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Reason::Full, "queue_failing", error, help)
            }
            IntakeError::TooMany { .. } => {
                let help = "send fewer transactions at a time, or raise the queue's bounds";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, "too_many", error, help)
            }
            IntakeError::ShuttingDown => Self::shutting_down(),
        }
    }

    pub(in crate::input) fn shutting_down() -> Self {
        let help = "send it again when the service is back, or to another node; nothing of this request was taken";
        let (status, reason) = (StatusCode::SERVICE_UNAVAILABLE, Reason::ShuttingDown);
        Self::new(status, reason, "shutting_down", "the service is shutting down", help).closing()
    }

    pub(in crate::input) fn internal(error: &dyn std::fmt::Display) -> Self {
        let error = format!("a bug of the service: {error}");
        let help = "please report it; the request may be sent again";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::Internal, "internal", error, help)
    }

    /// The mistake and what to do, as one text.
    pub(in crate::input) fn text(&self) -> String {
        format!("{}; {}", self.error, self.help)
    }

    /// Whether the sender may try again in a while.
    pub(in crate::input) fn is_retryable(&self) -> bool {
        matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The body of the response.
    pub(in crate::input) fn body(&self) -> Vec<u8> {
        let mut body = serde_json::to_vec(self).expect("an error is strings and numbers");
        body.push(b'\n');
        body
    }
}

/// What a peer sent, quoted and shortened.
pub(in crate::input) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
