//! `kong.tools.uri` (kong/tools/uri.lua).

use crate::host::uri::{decode, encode};

/// The reserved characters of URIs: an escaped one differs from a plain one.
const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// Percent-encodes the characters that a URI must not contain.
///
/// # Errors
/// The script has to stop.
pub(super) fn escape(text: &[u8]) -> mlua::Result<Vec<u8>> {
    encode(text, |byte| {
        !byte.is_ascii_alphanumeric() && !RESERVED.contains(&byte) && !matches!(byte, b'-' | b'_' | b'.' | b'~' | b'\\')
    })
}

/// Decodes escapes except those of reserved characters, and resolves dot segments. `merge` merges consecutive slashes.
///
/// # Errors
/// The script has to stop.
pub(super) fn normalize(text: &[u8], merge: bool) -> mlua::Result<Vec<u8>> {
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
    use super::normalize;

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
        ] {
            assert_eq!(
                String::from_utf8_lossy(&normalize(text.as_bytes(), merge).expect("no deadline")),
                normal,
                "{text}"
            );
        }
    }
}
