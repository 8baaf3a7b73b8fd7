//! JSON strings and numbers as text.

use std::borrow::Cow;

use super::number::{self, Ties};
use super::plain::plain_run;

/// Unescapes the content of a JSON string. A lone surrogate becomes U+FFFD.
pub fn unescape(content: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', content) else { return Cow::Borrowed(content) };
    let mut out = Vec::with_capacity(content.len());
    out.extend_from_slice(&content[..first]);
    let mut rest = &content[first..];
    while let [b'\\', kind, after @ ..] = rest {
        rest = match kind {
            b'u' => unescape_unit(after, &mut out),
            _ => {
                out.push(match kind {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                after
            }
        };
        let run = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        rest = &rest[run..];
    }
    Cow::Owned(out)
}

/// Reads the four digits of a `\u` escape, and a second escape if they are the first half of a pair.
fn unescape_unit<'a>(after: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let unit = |digits: &[u8]| -> Option<u32> {
        let text = std::str::from_utf8(digits.get(..4)?).ok()?;
        u32::from_str_radix(text, 16).ok()
    };
    let Some(high) = unit(after) else { return &[] };
    let after = &after[4..];
    let low = match after {
        [b'\\', b'u', digits @ ..] if (0xd800..0xdc00).contains(&high) => {
            unit(digits).filter(|low| (0xdc00..0xe000).contains(low))
        }
        _ => None,
    };
    let (code, after) = match low {
        Some(low) => (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), &after[6..]),
        None => (high, after),
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    after
}

/// How strings are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escaping {
    /// Only what JSON requires.
    #[default]
    Json,
    /// Like Kong's cjson, which also escapes `/` as `\/` and U+007F as `\u007f`.
    Kong,
}

/// Appends `text` as a quoted JSON string. Bytes that are not UTF-8 become U+FFFD; returns whether there were any.
pub fn push_string(out: &mut Vec<u8>, text: &[u8], escaping: Escaping) -> bool {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let sound = std::str::from_utf8(text).is_ok();
    if sound {
        push_escaped(out, text, escaping);
    } else {
        for chunk in text.utf8_chunks() {
            push_escaped(out, chunk.valid().as_bytes(), escaping);
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
    !sound
}

/// Appends the content of a JSON string without its quotes. `text` is valid UTF-8.
pub(crate) fn push_escaped(out: &mut Vec<u8>, text: &[u8], escaping: Escaping) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if escaping == Escaping::Json && plain_run(text) == text.len() {
        out.extend_from_slice(text);
        return;
    }
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'/' if escaping == Escaping::Kong => byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            0x00..=0x1f => 0,
            0x7f if escaping == Escaping::Kong => 0,
            _ => continue,
        };
        out.extend_from_slice(&text[plain..at]);
        plain = at + 1;
        out.push(b'\\');
        if short != 0 {
            out.push(short);
        } else {
            out.extend_from_slice(&[b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    out.extend_from_slice(&text[plain..]);
}

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Numbers {
    /// Whole numbers exactly up to 2^53, others with 14 significant digits.
    #[default]
    Exact,
    /// All with 14 significant digits, like Kong's cjson (`%.14g`).
    Kong,
}

/// Appends a finite number.
pub(crate) fn push_number(out: &mut Vec<u8>, number: f64, numbers: Numbers) {
    // Up to 14 digits both formats of an integer agree.
    let whole = if numbers == Numbers::Exact { number::MAX_EXACT } else { 99_999_999_999_999.0 };
    if number.abs() <= whole && number::push_whole(out, number) {
        return;
    }
    number::push_fourteen(out, number, Ties::Even);
}

/// JSON text without the white space between tokens.
pub(crate) fn compact(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(&byte) = rest.first() {
        let token = if byte == b'"' { string_length(rest) } else { 1 };
        if !byte.is_ascii_whitespace() {
            out.extend_from_slice(&rest[..token]);
        }
        rest = &rest[token..];
    }
    out
}

/// The length of the string at the front of valid JSON, including its quotes.
pub fn string_length(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(step) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += step;
        if json[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    json.len()
}

/// Appends JSON text with strings and numbers as Kong's cjson writes them.
pub(crate) fn push_as_kong(out: &mut Vec<u8>, json: &[u8]) {
    let mut rest = json;
    while let Some(&byte) = rest.first() {
        let token = match byte {
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' => {
                rest.iter().take_while(|byte| matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E' | b'0'..=b'9')).count()
            }
            _ => 1,
        };
        match byte {
            b'"' => {
                push_string(out, &unescape(&rest[1..token - 1]), Escaping::Kong);
            }
            b'-' | b'0'..=b'9' => push_number(out, number(&rest[..token]), Numbers::Kong),
            b' ' | b'\n' | b'\r' | b'\t' => {}
            _ => out.push(byte),
        }
        rest = &rest[token..];
    }
}

/// The value of a JSON number. One beyond the range of a double becomes the largest double.
pub fn number(text: &[u8]) -> f64 {
    let text = std::str::from_utf8(text).unwrap_or("0");
    text.parse::<f64>().unwrap_or(0.0).clamp(f64::MIN, f64::MAX)
}
