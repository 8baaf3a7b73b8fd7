//! Sinks that deliver entries in requests, each of which is answered: HTTP, and OpenTelemetry over HTTP and gRPC.

mod batches;
mod concurrent;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{HeaderMap, RETRY_AFTER};
use logphase_io::printable;
use rustls::ClientConfig;

pub(super) use self::batches::BatchSink;
pub(super) use self::concurrent::ConcurrentSink;
use crate::sink::config_error::refused;
use crate::sink::{BoxFuture, ConfigError, FailureKind, SendError, Sink, SinkShared};
use logphase_net::http::HttpError;
use logphase_net::tls::Identity;

/// Bytes of a response that error messages quote.
pub(super) const EXCERPT_BYTES: usize = 200;

/// Sends entries in one request, and says what the answer means.
pub(super) trait Post: Send + Sync + 'static {
    /// Sends `entries`, at least one, in one request.
    fn post<'a>(&'a self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Posted, Failure>>;

    /// Whether a request can have several entries.
    fn takes_several(&self) -> bool;
}

/// The receiver has accepted a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Posted {
    /// How many of its entries the receiver says that it has not taken, and does not want again.
    pub lost: u64,
    /// What the operator should know about it.
    pub warning: Option<String>,
}

/// A request failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub kind: FailureKind,
    /// The whole request was too large.
    pub too_large: bool,
    pub message: String,
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub fn retry(message: String) -> Self {
        Self { kind: FailureKind::Retryable, too_large: false, message, retry_after: None }
    }

    /// Makes the error of a sink that had delivered `delivered` entries before.
    pub fn after(self, delivered: usize) -> SendError {
        SendError { retry_after: self.retry_after, ..SendError::new(delivered, self.kind, self.message) }
    }
}

/// The sink that posts entries by `post`: one request at a time, or many of one entry each (`concurrency_limit` of -1).
pub(super) fn sink(post: impl Post, parallel: bool) -> Box<dyn Sink> {
    if parallel { Box::new(ConcurrentSink::new(post)) } else { Box::new(BatchSink::new(post)) }
}

/// nginx answers 400 to every request that lacks a required client certificate, or that lacks TLS on a TLS port. Such a
/// response does not concern the message.
pub(super) fn is_about_connection(body: &str) -> bool {
    ["SSL certificate", "sent to HTTPS port"].iter().any(|words| body.contains(words))
}

/// The names of fields, for messages.
pub(super) struct Names<'a> {
    /// The field with the address.
    pub endpoint: &'a str,
    /// The one with the limit on the time.
    pub timeout: &'a str,
}

/// Why there is no answer from `address`, and what to do.
pub(super) fn explain(error: &HttpError, address: &str, names: &Names<'_>) -> String {
    if let Some(tls) = error.tls() {
        return format!(
            "TLS with {address} failed: {tls}; see config.ssl_verify, config.client_certificate and the trusted certificates"
        );
    }
    match (error.io_kind(), error) {
        (Some(io::ErrorKind::ConnectionRefused), _) => {
            let field = names.endpoint;
            format!("cannot connect to {address}: connection refused; start the receiver or correct {field}")
        }
        (_, HttpError::Timeout(limit)) => {
            format!("{address}: no answer within {} ({} ms)", names.timeout, limit.as_millis())
        }
        (_, error) if error.is_broken() => {
            // With TLS 1.3 a receiver refuses a sender without a certificate after the handshake.
            let tls = address.starts_with("https:");
            let advice =
                if tls { "; if the receiver asks for a certificate, see config.client_certificate" } else { "" };
            format!("{address} closed the connection without an answer: {error}{advice}")
        }
        (_, error) => format!("cannot send to {address}: {error}"),
    }
}

/// The TLS configuration for a receiver that has TLS or not.
///
/// # Errors
/// The trusted certificates or the client certificate cannot be used.
pub(super) fn tls(
    shared: &SinkShared,
    https: bool,
    verify: bool,
    certificate: Option<&Identity>,
) -> Result<Arc<ClientConfig>, ConfigError> {
    let tls = shared.tls.get(verify && (https || certificate.is_some()));
    let tls = tls.map_err(|error| refused("ssl_verify", error))?;
    match certificate {
        Some(identity) => {
            let tls = shared.tls.with_identity(verify, identity);
            tls.map_err(|error| refused("client_certificate", error))
        }
        None => Ok(tls),
    }
}

/// The time that `Retry-After` asks clients to wait, given in seconds or as a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The beginning of `bytes` on one line, with hidden characters as escapes.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let cut = String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_BYTES)]);
    let words: Vec<&str> = cut.split_whitespace().collect();
    printable::line(&words.join(" ")).into_owned()
}
