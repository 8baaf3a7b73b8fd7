//! `kong.tools.uri` (kong/tools/uri.lua).

use crate::host::uri::{RESERVED, encode};

/// Percent-encodes the characters that a URI must not contain.
///
/// # Errors
/// The script has to stop.
pub(super) fn escape(text: &[u8]) -> mlua::Result<Vec<u8>> {
    encode(text, |byte| {
        !byte.is_ascii_alphanumeric() && !RESERVED.contains(&byte) && !matches!(byte, b'-' | b'_' | b'.' | b'~' | b'\\')
    })
}
