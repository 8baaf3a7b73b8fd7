//! Sends single requests and classifies the responses.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{HeaderMap, LOCATION};
use hyper::{Response, StatusCode};

use super::Config;
use super::endpoint::Endpoint;
use crate::sink::requests::{self, EXCERPT_BYTES, Failure, Names, excerpt, is_about_connection, retry_after};
use crate::sink::{ConfigError, FailureKind, SinkShared};
use logphase_net::http::{HttpClient, HttpError, StepLimits};

/// Sends bodies to one endpoint.
pub(super) struct Client {
    client: HttpClient,
    endpoint: Endpoint,
    timeout: Duration,
}

impl Client {
    /// Makes a client that connects with its first request.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub fn new(config: &Config, shared: &SinkShared) -> Result<Self, Vec<ConfigError>> {
        let endpoint = Endpoint::new(&config.endpoint());
        // An endpoint without TLS needs no trusted certificates.
        let https = endpoint.as_ref().map_or(true, |endpoint| endpoint.address.starts_with("https:"));
        let tls = requests::tls(shared, https, config.ssl_verify, config.certificate.as_ref());
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
        let limits = StepLimits { send: self.timeout, read: self.timeout };
        self.client.exchange(self.endpoint.request(body.clone()), limits, EXCERPT_BYTES).await
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
        let names = Names { endpoint: "config.http_endpoint", timeout: "config.timeout" };
        requests::explain(error, self.address(), &names)
    }
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
