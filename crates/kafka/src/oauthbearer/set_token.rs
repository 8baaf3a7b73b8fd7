//! Hands a token to a client. rdkafka's own way does not support SASL extensions (RFC 7628, section 3.1).
#![expect(unsafe_code, reason = "librdkafka's function for tokens with extensions has no safe wrapper")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, NulError, c_char};

use rdkafka::bindings::{rd_kafka_oauthbearer_set_token, rd_kafka_resp_err_t};
use rdkafka::client::{Client, ClientContext};

/// Bytes of the buffer for librdkafka's error message.
const ERROR_BYTES: usize = 512;

/// A client does not accept a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetTokenError {
    /// C strings end at a NUL byte.
    #[error("the token, the client_id or an extension contains a NUL byte")]
    Nul(#[from] NulError),
    /// librdkafka's reason.
    #[error("the token cannot be used: {0}")]
    Refused(String),
}

/// Gives `client` the token `value` of `principal` with the SASL `extensions`. The token expires at `expiry_ms`,
/// milliseconds since 1970.
///
/// # Errors
/// librdkafka refuses the token or an extension.
pub(crate) fn set_token<C: ClientContext>(
    client: &Client<C>,
    value: &str,
    expiry_ms: i64,
    principal: &str,
    extensions: &BTreeMap<String, String>,
) -> Result<(), SetTokenError> {
    let (value, principal) = (CString::new(value)?, CString::new(principal)?);
    let extensions = extensions.iter().flat_map(|(key, value)| [key, value]);
    let extensions = extensions.map(|part| CString::new(part.as_str())).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<*const c_char> = extensions.iter().map(|part| part.as_ptr()).collect();
    let mut message = [0u8; ERROR_BYTES];
    // SAFETY: the client is alive because it is borrowed. Every string is a C string that outlives the call; librdkafka
    // copies them. `pointers` and `message` have the lengths that are passed, and librdkafka ends what it writes to
    // `message` with a NUL.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            expiry_ms,
            principal.as_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            message.as_mut_ptr().cast(),
            message.len(),
        )
    };
    if code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    let message = CStr::from_bytes_until_nul(&message).map(CStr::to_string_lossy).unwrap_or_default();
    Err(SetTokenError::Refused(message.into_owned()))
}
