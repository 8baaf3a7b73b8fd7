//! The arguments of a query or of a body of type `application/x-www-form-urlencoded`.

/// Each argument's name and, where it has a `=`, its value, both as they were sent. A name may be empty, which
/// ngx_lua leaves out.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    text.split(|byte| *byte == b'&').map(|pair| match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    })
}
