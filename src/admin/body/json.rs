//! JSON as Kong's parser (cjson) takes it.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The object that `body` is; none if it is no JSON, or neither an object nor a list. The last of repeated members counts.
pub(super) fn object(body: &[u8]) -> Option<Map<String, Value>> {
    let value = serde_json::from_slice(body).or_else(|_| serde_json::from_slice(&escaped(body))).ok()?;
    match value {
        Value::Object(members) => Some(members),
        Value::Array(items) => Some((1..).map(|at: usize| at.to_string()).zip(items).collect()),
        _ => None,
    }
}

/// `body` with escapes for the control characters in its texts: cjson takes line ends in texts, and so people send code of
/// several lines.
fn escaped(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.iter().any(|byte| *byte < b' ') {
        return Cow::Borrowed(body);
    }
    let mut out = Vec::with_capacity(body.len() + body.len() / 8);
    let (mut in_text, mut after_backslash) = (false, false);
    for &byte in body {
        if in_text && byte < b' ' && byte != 0 {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.push(byte);
        }
        in_text ^= byte == b'"' && !after_backslash;
        after_backslash = in_text && byte == b'\\' && !after_backslash;
    }
    Cow::Owned(out)
}
