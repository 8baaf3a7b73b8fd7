//! Percent-encoding of URIs.

use super::text::in_chunks;
use crate::runtime::check;

/// Encodes each byte that `escaped` selects as `%XX`.
///
/// # Errors
/// The script has to stop.
pub(crate) fn encode(text: &[u8], escaped: impl Fn(u8) -> bool) -> mlua::Result<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len());
    in_chunks(text, |chunk| {
        for &byte in chunk {
            if escaped(byte) {
                out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            } else {
                out.push(byte);
            }
        }
    })?;
    Ok(out)
}

/// Decodes `%XX`, except for bytes that `kept` selects: their escapes stay, with digits in upper case. `%` without two
/// digits stays as well.
///
/// # Errors
/// The script has to stop.
pub(crate) fn decode(text: &[u8], kept: impl Fn(u8) -> bool) -> mlua::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut rest, mut since_check) = (text, 0_usize);
    while let Some(percent) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..percent]);
        let digit = |at: usize| rest.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        let length = match (digit(percent + 1), digit(percent + 2)) {
            (Some(high), Some(low)) => {
                let byte = (high * 16 + low) as u8;
                if kept(byte) {
                    out.extend(rest[percent..percent + 3].iter().map(u8::to_ascii_uppercase));
                } else {
                    out.push(byte);
                }
                3
            }
            _ => {
                out.push(b'%');
                1
            }
        };
        rest = &rest[percent + length..];
        since_check += 1;
        if since_check.is_multiple_of(1 << 14) {
            check()?;
        }
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// Decodes `%XX`, and `+` as a space.
///
/// # Errors
/// The script has to stop.
pub(crate) fn decode_form(text: &[u8]) -> mlua::Result<Vec<u8>> {
    if memchr::memchr(b'+', text).is_none() {
        return decode(text, |_| false);
    }
    let spaces: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    decode(&spaces, |_| false)
}

/// The bytes that URIs may contain unescaped anywhere (RFC 3986, section 2.3).
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The reserved characters of URIs: an escaped one differs from a plain one.
pub(crate) const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// What Kong makes of a path (kong/tools/uri.lua): decodes escapes except those of reserved characters, and resolves dot segments. `merge` merges consecutive slashes.
///
/// # Errors
/// The script has to stop.
pub(crate) fn normalize(text: &[u8], merge: bool) -> mlua::Result<Vec<u8>> {
    let decoded = decode(text, |byte| RESERVED.contains(&byte))?;
    let doubled = decoded.windows(2).any(|pair| pair == b"//");
    if !(decoded.contains(&b'.') || merge && doubled) {
        return Ok(decoded);
    }
    // Each kept segment begins with its slash, except the first of a relative URI.
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut rest = &decoded[..];
    while !rest.is_empty() {
        let slash = rest[0] == b'/';
        let end = memchr::memchr(b'/', &rest[1..]).map_or(rest.len(), |at| at + 1);
        let (segment, after) = rest.split_at(end);
        let name = if slash { &segment[1..] } else { segment };
        let root: &[u8] = if slash && after.is_empty() { b"/" } else { b"" };
        rest = after;
        match name {
            b"." | b".." => {
                if slash && name == b".." {
                    kept.pop();
                }
                if !slash {
                    rest = rest.strip_prefix(b"/").unwrap_or(rest);
                }
                if !root.is_empty() {
                    kept.push(root);
                }
            }
            b"" if merge && rest.first() == Some(&b'/') => {}
            _ => kept.push(segment),
        }
    }
    Ok(kept.concat())
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_form, is_unreserved, normalize};

    /// Scenario: escapes in both cases, incomplete and invalid ones, reserved bytes, plus signs.
    /// Guarantees: one decoder gives what `ngx.unescape_uri` and Kong's two normalizations expect of it.
    #[test]
    fn escapes_are_decoded() {
        for (text, all, form, unreserved) in [
            ("", "", "", ""),
            ("a+b", "a+b", "a b", "a+b"),
            ("%41%2f%7e", "A/~", "A/~", "A%2F~"),
            ("%zz%4%", "%zz%4%", "%zz%4%", "%zz%4%"),
            ("%%41%2", "%A%2", "%A%2", "%A%2"),
            ("%2B+", "++", "+ ", "%2B+"),
        ] {
            let text = text.as_bytes();
            let decoded = [decode(text, |_| false), decode_form(text), decode(text, |byte| !is_unreserved(byte))];
            let decoded = decoded.map(|result| String::from_utf8(result.expect("no deadline")).expect("UTF-8"));
            assert_eq!(decoded, [all, form, unreserved], "{}", text.escape_ascii());
        }
    }

    /// Scenario: URIs with escapes, dot segments and repeated slashes.
    /// Guarantees: the result of Kong's algorithm; slashes are kept unless merging is requested.
    #[test]
    fn uris_are_normalized() {
        for (text, merge, normal) in [
            ("", false, ""),
            ("/", false, "/"),
            ("/a/../b/./c", false, "/b/c"),
            ("/a/..", false, "/"),
            ("/a/.", false, "/a/"),
            ("/..", false, "/"),
            ("/../../x", false, "/x"),
            ("a/./b", false, "a/b"),
            ("../a", false, "a"),
            ("./a", false, "a"),
            (".", false, ""),
            ("/a//b", false, "/a//b"),
            ("/a//b", true, "/a/b"),
            ("//a///b//", true, "/a/b/"),
            ("/%7Ea%2fb%C3%A4%20", false, "/~a%2Fb\u{e4} "),
            ("/%2e%2E/x", false, "/x"),
            ("/%zz%", false, "/%zz%"),
            ("/caf%C3%A9/a%20b", true, "/caf\u{e9}/a b"),
            ("/a/../b/./c//d/", true, "/b/c/d/"),
            ("/a/b/.", true, "/a/b/"),
            ("//", true, "/"),
            ("/../..", true, "/"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&normalize(text.as_bytes(), merge).expect("no deadline")),
                normal,
                "{text}"
            );
        }
    }
}
