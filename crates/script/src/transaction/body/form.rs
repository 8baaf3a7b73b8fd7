//! The arguments of a query or of a body of type `application/x-www-form-urlencoded`.

use std::borrow::Cow;

/// Each argument's name and, where it has a `=`, its value, both as they were sent. A name may be empty, which
/// ngx_lua leaves out.
pub fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    text.split(|byte| *byte == b'&').map(|pair| match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    })
}

/// A name or a value as it is meant: `+` is a blank, `%XX` a byte; what is no such escape stays (ngx_lua).
pub fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'+', text).is_none() {
        return percent_encoding::percent_decode(text).into();
    }
    let blanks: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    Cow::Owned(percent_encoding::percent_decode(&blanks).collect())
}
