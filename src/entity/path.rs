//! Paths of routes.
//!
//! The rules and messages are those of Kong's `typedefs.router_path`; normalization is that of its router.

use std::str::FromStr;

use thiserror::Error;

/// One of a route's `paths`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// A normalized path that matches paths with this prefix.
    Prefix(String),
    /// A regular expression, without its prefix `~`. It is anchored at the start.
    Regex(String),
}

/// Why a path is invalid, in Kong's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PathError {
    #[error("should start with: / (fixed path) or ~/ (regex path)")]
    Start,
    #[error("must not have empty segments")]
    EmptySegment,
    #[error("invalid url-encoded value: '{0}'")]
    Encoding(String),
    #[error("non-normalized path, consider use '{0}' instead")]
    NotNormalized(String),
}

impl FromStr for PathPattern {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let regex = text.strip_prefix('~');
        if !regex.unwrap_or(text).starts_with('/') {
            return Err(PathError::Start);
        }
        if text.contains("//") {
            return Err(PathError::EmptySegment);
        }
        if let Some(regex) = regex {
            return Ok(Self::Regex(regex.to_owned()));
        }
        check_encoding(text)?;
        let normalized = String::from_utf8_lossy(&normalize_path(text.as_bytes())).into_owned();
        if normalized != text {
            return Err(PathError::NotNormalized(normalized));
        }
        Ok(Self::Prefix(normalized))
    }
}

/// Checks that every `%` begins an escape.
pub(super) fn check_encoding(path: &str) -> Result<(), PathError> {
    for (at, _) in path.match_indices('%') {
        if escape(&path.as_bytes()[at..]).is_none() {
            let end = path[at..].char_indices().nth(3).map_or(path.len(), |(length, _)| at + length);
            return Err(PathError::Encoding(path[at..end].to_owned()));
        }
    }
    Ok(())
}

/// Decodes the `%XX` at the start of `bytes`.
fn escape(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

/// Reserved characters. Their escapes are kept, because the unescaped characters have another meaning.
const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// Normalizes a path as Kong's router does (kong/tools/uri.lua): decodes escapes except those of reserved characters,
/// which become upper case, removes dot segments and merges slashes. Keeps a trailing slash. The result may not be UTF-8.
pub fn normalize_path(path: &[u8]) -> Vec<u8> {
    let decoded = decode(path);
    if decoded.first() != Some(&b'/') {
        // The target of `OPTIONS *`.
        return decoded;
    }
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut normalized = Vec::with_capacity(decoded.len());
    for segment in &segments {
        normalized.push(b'/');
        normalized.extend_from_slice(segment);
    }
    let directory = [&b"/"[..], b"/.", b"/.."].iter().any(|end| decoded.ends_with(end));
    if directory || normalized.is_empty() {
        normalized.push(b'/');
    }
    normalized
}

/// Decodes the escapes of characters that are not reserved.
fn decode(path: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::with_capacity(path.len()), path);
    while let Some(at) = memchr::memchr(b'%', rest) {
        decoded.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (byte, length) = match escape(rest) {
            Some(byte) if RESERVED.contains(&byte) => {
                decoded.extend_from_slice(&[b'%', rest[1].to_ascii_uppercase()]);
                (rest[2].to_ascii_uppercase(), 3)
            }
            Some(byte) => (byte, 3),
            None => (b'%', 1),
        };
        decoded.push(byte);
        rest = &rest[length..];
    }
    decoded.extend_from_slice(rest);
    decoded
}
