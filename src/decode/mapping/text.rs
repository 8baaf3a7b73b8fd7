//! Strings and numbers as proxies write them, to JSON.

use logphase_script::transaction::text;

pub(super) use logphase_script::transaction::text::string_length;

/// The bytes of the content of a string: without its escapes, including those that JSON lacks. `\xHH` is that byte, `\v` and
/// `\a` are control characters, and any other character stands for itself.
pub(super) fn decode(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(run) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..run]);
        rest = &rest[run..];
        let length = match rest {
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(digit(*high) << 4 | digit(*low));
                4
            }
            [b'\\', b'v', ..] => {
                out.push(0x0b);
                2
            }
            [b'\\', b'a', ..] => {
                out.push(0x07);
                2
            }
            [b'\\', b'u', unit @ ..] => {
                let is_unit = |unit: &[u8]| unit.len() >= 4 && unit[..4].iter().all(u8::is_ascii_hexdigit);
                let pair = matches!(unit.get(4..6), Some(b"\\u")) && unit.get(6..).is_some_and(is_unit);
                let length = if !is_unit(unit) {
                    0
                } else if pair && matches!(unit[..2], [b'd' | b'D', b'8' | b'9' | b'a' | b'A' | b'b' | b'B']) {
                    12
                } else {
                    6
                };
                out.extend_from_slice(&text::unescape(&rest[..length]));
                if length == 0 {
                    out.push(b'u');
                }
                length.max(2)
            }
            _ => {
                let length = rest.len().min(2);
                out.extend_from_slice(&text::unescape(&rest[..length]));
                length
            }
        };
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
    out
}

fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

/// Appends a comma, unless an object or array has just begun.
pub(super) fn separate(out: &mut Vec<u8>) {
    if !matches!(out.last(), None | Some(b'{' | b'[')) {
        out.push(b',');
    }
}

/// Appends the name of a member that follows.
pub(super) fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    separate(out);
    push_string(out, name);
    out.push(b':');
}

/// Appends a string. What is not UTF-8 in it becomes U+FFFD.
pub(super) fn push_string(out: &mut Vec<u8>, content: &[u8]) {
    text::push_string(out, content, text::Escaping::Json);
}

/// Appends a string whose content needs no escapes.
pub(super) fn push_plain(out: &mut Vec<u8>, content: &[u8]) {
    out.reserve(content.len() + 2);
    out.push(b'"');
    out.extend_from_slice(content);
    out.push(b'"');
}

/// Whether `token` is a number of JSON (RFC 8259, section 6).
pub(super) fn is_json_number(token: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = token.strip_prefix(b"-").unwrap_or(token);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let [b'.', fraction @ ..] = rest {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

/// Whether `token` is a finite number as proxies write it: `007`, `.5` and `+1`, too.
pub(super) fn is_number(token: &[u8]) -> bool {
    number(token).is_some()
}

/// The value of a number as proxies write it.
fn number(token: &[u8]) -> Option<f64> {
    // Not the words that Rust reads as numbers.
    if token.len() > 64 || !token.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')) {
        return None;
    }
    std::str::from_utf8(token).ok()?.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Appends the number `token`; returns whether it is one. Otherwise nothing is appended.
pub(super) fn push_number(out: &mut Vec<u8>, token: &[u8]) -> bool {
    if is_json_number(token) {
        out.extend_from_slice(token);
        return true;
    }
    let Some(number) = number(token) else { return false };
    // Without the zeros in front, a whole number stays one.
    let digits = token.strip_prefix(b"+").unwrap_or(token);
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count().min(digits.len().saturating_sub(1));
    if is_json_number(&digits[zeros..]) {
        out.extend_from_slice(&digits[zeros..]);
    } else {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(out, &number);
    }
    true
}
