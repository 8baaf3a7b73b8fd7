//! The arguments of a query or of an `application/x-www-form-urlencoded` body.

use std::borrow::Cow;

/// Each argument's name and, if it has a `=`, its value, both encoded. ngx_lua leaves out arguments with an empty name,
/// which are included here.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    text.split(|byte| *byte == b'&').map(|pair| match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    })
}

/// Decodes a name or a value: `+` is a space and `%XX` a byte. Incomplete escapes stay (ngx_lua).
pub(crate) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'+', text).is_none() {
        return percent_encoding::percent_decode(text).into();
    }
    let blanks: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    Cow::Owned(percent_encoding::percent_decode(&blanks).collect())
}
