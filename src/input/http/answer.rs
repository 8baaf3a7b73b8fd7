//! What the HTTP input answers, as JSON that says what is wrong, where, and what to do.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::input::Reason;
use crate::phase::Refusal;
use logphase_script::transaction::BodyRejection;

/// An answer of ours: always small and whole.
pub(super) type Answer = Response<Full<Bytes>>;

/// The methods that `/` has.
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS, PATCH, POST, PUT");

/// After how many seconds a refused sender may try again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// What `GET /` shows to somebody who looks what is there.
const HINT: &str = "Logphase takes transactions here: POST one JSON object (Kong's log object), an array of them, or \
                    JSON lines with Content-Type: application/x-ndjson; gzip is welcome.\n";

/// Why a request was not taken. Its fields but the first three are the body of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    #[serde(skip)]
    pub(super) status: StatusCode,
    #[serde(skip)]
    pub(super) reason: Reason,
    /// Whether the connection is to be closed.
    #[serde(skip)]
    pub(super) close: bool,
    /// What is wrong.
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

impl Fault {
    fn new(status: StatusCode, reason: Reason, code: &'static str, error: impl Into<String>, help: &str) -> Self {
        let (error, help) = (error.into(), help.to_owned());
        Self { status, reason, close: false, error, help, code, index: None, offset: None }
    }

    /// The same, ending the connection.
    fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    pub(super) fn not_found(path: &str) -> Self {
        let error = format!("there is nothing at {}", shown(path));
        Self::new(StatusCode::NOT_FOUND, Reason::Unsupported, "not_found", error, "POST transactions to /")
    }

    pub(super) fn method(method: &str) -> Self {
        let error = format!("{} is not served here", shown(method));
        let help = "POST transactions (PUT and PATCH do the same)";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Reason::Unsupported, "method_not_allowed", error, help)
    }

    pub(super) fn web_page() -> Self {
        let error = "requests made by a web page are not taken";
        let help = "send transactions from a proxy or a program; leave the Origin header out";
        Self::new(StatusCode::FORBIDDEN, Reason::Unsupported, "web_page", error, help)
    }

    pub(super) fn media_type(found: &str) -> Self {
        let error = format!("the body's type {} is not taken", shown(found));
        let help = "send Content-Type: application/json, or application/x-ndjson for JSON lines";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Reason::Unsupported, "unsupported_type", error, help)
    }

    pub(super) fn encoding(found: &str) -> Self {
        let error = format!("the body's encoding {} is not taken", shown(found));
        let help = "send Content-Encoding: gzip, or no compression";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Reason::Unsupported, "unsupported_encoding", error, help)
    }

    pub(super) fn body_too_large(limit: usize) -> Self {
        let error = format!("the body is over the limit of {limit} bytes");
        let help = "send fewer transactions at a time, or raise the limit on bodies";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, "body_too_large", error, help).closing()
    }

    pub(super) fn inflated_too_large(limit: usize) -> Self {
        Self {
            error: format!("the body decompresses to over the limit of {limit} bytes"),
            ..Self::body_too_large(limit)
        }
    }

    pub(super) fn busy() -> Self {
        let error = "the bodies of other requests fill the memory set aside for them";
        let help = "try again after the seconds in Retry-After";
        Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::Full, "busy", error, help).closing()
    }

    pub(super) fn gzip(error: &std::io::Error) -> Self {
        let error = format!("the body is not sound gzip: {error}");
        let help = "send one whole gzip stream and nothing after it, or leave Content-Encoding out";
        Self::new(StatusCode::BAD_REQUEST, Reason::Malformed, "bad_gzip", error, help)
    }

    pub(super) fn slow_head(seconds: f64) -> Self {
        let error = format!("the head of the request did not come within {seconds} s");
        let help = "send it faster, or raise the time limit on heads";
        Self::new(StatusCode::REQUEST_TIMEOUT, Reason::Timeout, "timeout", error, help).closing()
    }

    pub(super) fn slow_body(seconds: f64) -> Self {
        let error = format!("the body did not come within {seconds} s");
        let help = "send faster or smaller bodies, or raise the time limit on bodies";
        Self::new(StatusCode::REQUEST_TIMEOUT, Reason::Timeout, "timeout", error, help).closing()
    }

    pub(super) fn incomplete(error: &hyper::Error) -> Self {
        let error = format!("the body ended in the middle: {error}");
        let help = "send the whole body; nothing of it was taken";
        Self::new(StatusCode::BAD_REQUEST, Reason::Incomplete, "incomplete", error, help).closing()
    }

    pub(super) fn rejected(rejection: BodyRejection) -> Self {
        let BodyRejection { index, offset, reason, too_large } = rejection;
        let fault = if too_large {
            let help = "make the transaction smaller, or raise the limit; nothing of this request was taken";
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Self::new(status, Reason::TooLarge, "transaction_too_large", reason, help)
        } else {
            let help = "correct this transaction and send the whole request again; nothing of it was taken";
            Self::new(StatusCode::BAD_REQUEST, Reason::Malformed, "malformed", reason, help)
        };
        Self { index: Some(index), offset: Some(offset), ..fault }
    }

    pub(super) fn refused(refusal: &Refusal) -> Self {
        let error = refusal.to_string();
        match refusal {
            Refusal::Full { .. } => {
                let help = "try again after the seconds in Retry-After; nothing of this request was taken";
                Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::Full, "queue_full", error, help)
            }
            Refusal::Failing { .. } => {
                let help = "try again after the seconds in Retry-After; nothing of this request was taken";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Reason::Full, "queue_failing", error, help)
            }
            Refusal::TooMany { .. } => {
                let help = "send fewer transactions at a time, or raise the queue's bounds";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, "too_many", error, help)
            }
            Refusal::ShuttingDown => Self::shutting_down(),
        }
    }

    pub(super) fn shutting_down() -> Self {
        let help = "send it again when the service is back, or to another node; nothing of this request was taken";
        let (status, reason) = (StatusCode::SERVICE_UNAVAILABLE, Reason::ShuttingDown);
        Self::new(status, reason, "shutting_down", "the service is shutting down", help).closing()
    }

    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        let error = format!("a fault of the service: {error}");
        let help = "please report it; the request may be sent again";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::Internal, "internal", error, help)
    }

    fn body(&self) -> Vec<u8> {
        let mut body = serde_json::to_vec(self).expect("a fault is strings and numbers");
        body.push(b'\n');
        body
    }

    /// The same as bytes of HTTP/1.1, for a request that never became one.
    pub(super) fn to_http1(&self) -> Vec<u8> {
        let (status, body) = (self.status, self.body());
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    }

    /// The answer that says so.
    pub(super) fn answer(&self) -> Answer {
        let mut answer = json(self.status, self.body());
        let headers = answer.headers_mut();
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, RETRY_SECONDS);
            }
            StatusCode::SERVICE_UNAVAILABLE if !self.close => {
                headers.insert(RETRY_AFTER, RETRY_SECONDS);
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, ALLOWED);
            }
            _ => {}
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// 200, with how many transactions were taken.
pub(super) fn accepted(transactions: usize) -> Answer {
    json(StatusCode::OK, format!("{{\"accepted\": {transactions}}}\n").into_bytes())
}

/// What `GET /` is answered.
pub(super) fn hint() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(HINT.as_bytes())));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// What `OPTIONS /` is answered.
pub(super) fn options() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().insert(ALLOW, ALLOWED);
    answer
}

fn json(status: StatusCode, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// What a peer sent, cut to what an error can bear.
fn shown(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}
