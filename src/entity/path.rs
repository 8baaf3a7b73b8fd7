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
        let normalized = normalize(text);
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

/// Normalizes `path` as Kong's router does: decodes escapes except those of reserved characters, which become upper
/// case, removes dot segments and merges slashes. Keeps a trailing slash.
fn normalize(path: &str) -> String {
    let (bytes, mut decoded, mut at) = (path.as_bytes(), Vec::with_capacity(path.len()), 0);
    while at < bytes.len() {
        match escape(&bytes[at..]).filter(|_| bytes[at] == b'%') {
            Some(byte) if RESERVED.contains(&byte) => {
                decoded.extend(format!("%{byte:02X}").into_bytes());
                at += 3;
            }
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    let decoded = String::from_utf8_lossy(&decoded);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let directory = ["/", "/.", "/.."].iter().any(|end| decoded.ends_with(end));
    let end = if directory && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}
