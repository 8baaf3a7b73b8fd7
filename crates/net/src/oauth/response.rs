//! The response to a request for a token.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::transport::TransportError;
use crate::http::header;
use crate::text::truncate;

/// Longer token lifetimes are reduced to this one, in seconds.
const MAX_LIFETIME: f64 = 365.0 * 24.0 * 3600.0;
/// Bytes of the endpoint's message that an error quotes.
const SHOWN_BYTES: usize = 200;

/// An access token.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The token.
    pub value: String,
    /// Its lifetime. `expires_in` is only recommended, so that a response can leave it open (RFC 6749, section 5.1).
    pub lifetime: Option<Duration>,
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// The error of a request that obtained no token.
#[derive(Debug, thiserror::Error)]
#[error("no token from {endpoint}: {kind}")]
pub struct TokenError {
    /// The token endpoint.
    pub endpoint: String,
    /// The reason.
    #[source]
    pub kind: TokenErrorKind,
}

/// The reason why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenErrorKind {
    /// The endpoint cannot be reached, or does not respond.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The endpoint refuses the request.
    #[error("it answers {status}{reason}")]
    Refused {
        /// The status of the response.
        status: StatusCode,
        /// The endpoint's error code and description (RFC 6749, section 5.2), each after a colon. May be empty.
        reason: String,
    },
    /// The response has no token.
    #[error("its answer is not a JSON object with an access_token")]
    NoToken,
    /// The token cannot be sent in a header.
    #[error("its token {0}")]
    InvalidToken(#[from] header::InvalidHeader),
}

#[derive(Deserialize)]
struct Body {
    access_token: Option<String>,
    expires_in: Option<Value>,
    error: Option<Value>,
    error_description: Option<Value>,
}

/// Reads the token of `response`.
pub(super) fn parse(response: &Response<Bytes>) -> Result<AccessToken, TokenErrorKind> {
    let status = response.status();
    let body = serde_json::from_slice::<Body>(response.body()).ok();
    let refused = |body: Option<&Body>| TokenErrorKind::Refused { status, reason: body.map_or(String::new(), reason) };
    if !status.is_success() {
        return Err(refused(body.as_ref()));
    }
    let Some(body) = body else { return Err(TokenErrorKind::NoToken) };
    let Some(value) = body.access_token else {
        // Some endpoints send errors with status 200.
        return Err(if body.error.is_some() { refused(Some(&body)) } else { TokenErrorKind::NoToken });
    };
    header::sensitive(&value)?;
    Ok(AccessToken { value, lifetime: body.expires_in.as_ref().and_then(lifetime) })
}

/// The seconds of `expires_in`, which some endpoints send as a string.
fn lifetime(expires_in: &Value) -> Option<Duration> {
    let seconds: f64 = expires_in.as_f64().or_else(|| expires_in.as_str()?.parse().ok())?;
    if seconds.is_nan() { None } else { Duration::try_from_secs_f64(seconds.min(MAX_LIFETIME)).ok() }
}

/// The endpoint's error code and description.
fn reason(body: &Body) -> String {
    let mut text = String::new();
    for part in [&body.error, &body.error_description] {
        if let Some(part) = part.as_ref().and_then(Value::as_str) {
            text.push_str(": ");
            text.push_str(truncate(part, SHOWN_BYTES));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_body(status: u16, body: &'static str) -> Result<AccessToken, String> {
        let response = Response::builder().status(status).body(Bytes::from_static(body.as_bytes()));
        parse(&response.expect("a response")).map_err(|error| error.to_string())
    }

    /// Scenario: `expires_in` as a number, a fraction and a string; absent, negative and huge.
    /// Guarantees: the lifetime is the one given, at most a year, and unknown if the response does not contain it.
    #[test]
    fn lifetimes() {
        for (expires_in, expected) in [
            (r#", "expires_in": 120"#, Some(Duration::from_secs(120))),
            (r#", "expires_in": 1.5"#, Some(Duration::from_millis(1500))),
            (r#", "expires_in": "120""#, Some(Duration::from_secs(120))),
            (r#", "expires_in": 1e300"#, Some(Duration::from_secs(365 * 24 * 3600))),
            (r#", "expires_in": "nan""#, None),
            (r#", "expires_in": -1"#, None),
            (r#", "expires_in": null"#, None),
            ("", None),
        ] {
            let body = format!(r#"{{"access_token": "abc"{expires_in}}}"#).leak();
            let expected = AccessToken { value: "abc".into(), lifetime: expected };
            assert_eq!(parse_body(200, body), Ok(expected), "{body}");
        }
    }

    /// Scenario: refusals with and without a reason, an error with status 200, responses without a token, a token that
    /// no header can have. Guarantees: the error has the status and the endpoint's reason, or what the response lacks.
    #[test]
    fn errors() {
        let no_token = "its answer is not a JSON object with an access_token";
        for (status, body, expected) in [
            (
                401,
                r#"{"error": "invalid_client", "error_description": "who?"}"#,
                "it answers 401 Unauthorized: invalid_client: who?",
            ),
            (503, "busy", "it answers 503 Service Unavailable"),
            (200, r#"{"error": "invalid_scope"}"#, "it answers 200 OK: invalid_scope"),
            (200, "{}", no_token),
            (200, "hello", no_token),
            (200, "[]", no_token),
            (200, r#"{"access_token": 5}"#, no_token),
            (200, r#"{"access_token": "a\nb"}"#, "its token contains characters that a header cannot have"),
        ] {
            assert_eq!(parse_body(status, body), Err(expected.to_owned()), "{body}");
        }
    }
}
