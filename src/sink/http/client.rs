//! Sends single requests and classifies the responses.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{HeaderMap, LOCATION, RETRY_AFTER};
use hyper::{Response, StatusCode};
use logphase_io::printable;

use super::Config;
use super::endpoint::Endpoint;
use crate::sink::config_error::refused;
use crate::sink::{ConfigError, FailureKind, SendError, SinkShared};
use logphase_net::http::{HttpClient, HttpError};

/// Bytes of a response body that error messages quote.
const EXCERPT_BYTES: usize = 200;

/// Sends bodies to one endpoint.
pub(super) struct Client {
    client: HttpClient,
    endpoint: Endpoint,
    timeout: Duration,
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

impl Client {
    /// Makes a client that connects with its first request.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub fn new(config: &Config, shared: &SinkShared) -> Result<Self, Vec<ConfigError>> {
        let endpoint = Endpoint::new(config);
        // An endpoint without TLS needs no trusted certificates.
        let https = endpoint.as_ref().map_or(true, |endpoint| endpoint.address.starts_with("https:"));
        let verify = config.ssl_verify && (https || config.certificate.is_some());
        let tls = shared.tls.get(verify).map_err(|error| refused("ssl_verify", error));
        let tls = tls.and_then(|tls| match &config.certificate {
            Some(identity) => {
                let tls = shared.tls.with_identity(config.ssl_verify, identity);
                tls.map_err(|error| refused("client_certificate", error))
            }
            None => Ok(tls),
        });
        match (endpoint, tls) {
            (Ok(endpoint), Ok(tls)) => {
                let timeout = Duration::from_millis(config.timeout.max(1));
                let client = HttpClient::new(&tls, Duration::from_millis(config.keepalive), timeout);
                Ok(Self { client, endpoint, timeout })
            }
            (endpoint, tls) => Err(endpoint.err().into_iter().flatten().chain(tls.err()).collect()),
        }
    }

    /// The endpoint as messages show it.
    fn address(&self) -> &str {
        &self.endpoint.address
    }

    /// Sends `body`. Any status below 300 is success, as in Kong.
    pub async fn post(&self, body: &Bytes) -> Result<(), Failure> {
        let mut result = self.exchange(body).await;
        // The server may have closed an idle connection at this moment. Whether it processed the request is unknown;
        // at-least-once delivery allows sending it twice.
        if matches!(&result, Err(error) if error.is_broken()) {
            result = self.exchange(body).await;
        }
        let response = result.map_err(|error| Failure::retry(self.explain(&error)))?;
        if response.status().as_u16() < 300 { Ok(()) } else { Err(self.classify(&response)) }
    }

    async fn exchange(&self, body: &Bytes) -> Result<Response<Bytes>, HttpError> {
        self.client.exchange(self.endpoint.request(body.clone()), self.timeout, EXCERPT_BYTES).await
    }

    fn classify(&self, response: &Response<Bytes>) -> Failure {
        let status = response.status();
        let too_large = status == StatusCode::PAYLOAD_TOO_LARGE;
        let body = excerpt(response.body());
        let permanent = too_large
            || status == StatusCode::UNPROCESSABLE_ENTITY
            || status == StatusCode::BAD_REQUEST && !is_about_connection(&body);
        let quoted = if body.is_empty() { String::new() } else { format!(" ({body})") };
        Failure {
            kind: if permanent { FailureKind::Permanent } else { FailureKind::Retryable },
            too_large,
            message: format!(
                "{} answers {status}{quoted}{}",
                self.address(),
                advice(status, response.headers(), &body)
            ),
            retry_after: retry_after(response.headers(), SystemTime::now()),
        }
    }

    fn explain(&self, error: &HttpError) -> String {
        let address = self.address();
        if let Some(tls) = error.tls() {
            return format!(
                "TLS with {address} failed: {tls}; see config.ssl_verify, config.client_certificate and the trusted \
                 certificates"
            );
        }
        match (error.io_kind(), error) {
            (Some(io::ErrorKind::ConnectionRefused), _) => {
                format!(
                    "cannot connect to {address}: connection refused; start the receiver or correct \
                         config.http_endpoint"
                )
            }
            (_, HttpError::Timeout(_)) => {
                format!("{address}: no answer within config.timeout ({} ms)", self.timeout.as_millis())
            }
            (_, error) if error.is_broken() => format!("{address} closed the connection without an answer: {error}"),
            (_, error) => format!("cannot send to {address}: {error}"),
        }
    }
}

/// nginx answers 400 to every request that lacks a required client certificate, or that lacks TLS on a TLS port. Such a
/// response does not concern the message.
fn is_about_connection(body: &str) -> bool {
    ["SSL certificate", "sent to HTTPS port"].iter().any(|words| body.contains(words))
}

/// What an operator can do about a response.
fn advice(status: StatusCode, headers: &HeaderMap, body: &str) -> String {
    match status.as_u16() {
        300..=399 => {
            let location = headers.get(LOCATION).map(|location| excerpt(location.as_bytes()));
            let location = location.map_or_else(String::new, |location| format!(" ({location})"));
            format!("; redirections are not followed: correct config.http_endpoint{location}")
        }
        400 if is_about_connection(body) => "; see config.client_certificate and config.http_endpoint".to_owned(),
        401 | 403 => "; see the user and password in config.http_endpoint, or config.headers".to_owned(),
        404 | 405 | 410 => "; see config.http_endpoint and config.method".to_owned(),
        413 => "; the receiver rejects bodies of that size: raise its limit".to_owned(),
        415 => "; see config.content_type".to_owned(),
        _ => String::new(),
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
