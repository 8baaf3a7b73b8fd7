//! Hands a token to a client: rdkafka's own way has no SASL extensions (RFC 7628, section 3.1).
#![expect(unsafe_code, reason = "librdkafka's function for tokens with extensions has no safe wrapper")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};

use rdkafka::bindings::{rd_kafka_oauthbearer_set_token, rd_kafka_resp_err_t};
use rdkafka::producer::Producer as _;

use super::producer::Client;
use super::token::Token;

/// Gives `client` the token of `principal` with the SASL `extensions`.
///
/// # Errors
/// Why librdkafka does not take it.
pub fn set_token(
    client: &Client,
    token: &Token,
    principal: &str,
    extensions: &BTreeMap<String, String>,
) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|_| "a token or an extension has a NUL byte".to_owned());
    let (value, principal) = (text(&token.value)?, text(principal)?);
    let pairs = extensions.iter().flat_map(|(key, value)| [key, value]);
    let pairs = pairs.map(|part| text(part)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<*const c_char> = pairs.iter().map(|part| part.as_ptr()).collect();
    let mut problem = [0u8; 512];
    // SAFETY: the client is alive, as it is borrowed. Every text is a C string that outlives the call; librdkafka
    // copies them. `pointers` has as many elements as is said. `problem` has the room that is said, and librdkafka
    // ends what it writes there with a NUL.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.client().native_ptr(),
            value.as_ptr(),
            token.ends_at(),
            principal.as_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            problem.as_mut_ptr().cast(),
            problem.len(),
        )
    };
    if code == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    let problem = CStr::from_bytes_until_nul(&problem).map(CStr::to_string_lossy).unwrap_or_default();
    Err(format!("the token cannot be used: {problem}"))
}
