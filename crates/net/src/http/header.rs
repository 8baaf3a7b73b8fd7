//! Header values from a configuration.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

/// A text cannot be the value of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("contains characters that a header cannot have")]
pub struct InvalidHeader;

/// `text` as a header value that is kept out of debug output.
///
/// # Errors
/// `text` has control characters.
pub fn sensitive(text: &str) -> Result<HeaderValue, InvalidHeader> {
    let mut value = HeaderValue::from_str(text).map_err(|_| InvalidHeader)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The value of `Authorization` for a user and a password (RFC 7617).
pub fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    sensitive(&encoded).expect("base64 has no control characters")
}
