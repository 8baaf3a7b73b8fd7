//! Addresses as `kong.tools.uri` writes them (kong/tools/uri.lua).

use super::super::ngx::escape;

/// What has a meaning in an address, so that its escape is not the same thing.
const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// Escapes what may not stand in an address as it is.
pub(super) fn escape(text: &[u8]) -> mlua::Result<Vec<u8>> {
    escape::escape(text, |byte| {
        !byte.is_ascii_alphanumeric() && !RESERVED.contains(&byte) && !matches!(byte, b'-' | b'_' | b'.' | b'~' | b'\\')
    })
}

/// Decodes escapes of what is not reserved and resolves dot segments, with slashes in a row made one if `merge`.
pub(super) fn normalize(text: &[u8], merge: bool) -> Vec<u8> {
    let decoded = decode(text);
    let doubled = decoded.windows(2).any(|pair| pair == b"//");
    if !(decoded.contains(&b'.') || merge && doubled) {
        return decoded;
    }
    // Each kept segment begins with its slash, but for the first of an address that has none.
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
    kept.concat()
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        rest = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                let byte = (high * 16 + low) as u8;
                if RESERVED.contains(&byte) {
                    out.push(b'%');
                    out.extend(after[..2].iter().map(u8::to_ascii_uppercase));
                } else {
                    out.push(byte);
                }
                &after[2..]
            }
            _ => {
                out.push(*first);
                after
            }
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::normalize;

    /// Scenario: addresses with escapes, dots and slashes. Guarantees: what Kong's algorithm gives, slashes kept
    /// unless they are to be merged.
    #[test]
    fn addresses_are_normalized() {
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
            assert_eq!(String::from_utf8_lossy(&normalize(text.as_bytes(), merge)), normal, "{text}");
        }
    }
}
