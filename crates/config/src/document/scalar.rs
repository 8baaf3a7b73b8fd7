//! The value of a scalar without quotes.

use super::{NodeKind, StringStyle};

/// Resolves a plain scalar by YAML 1.2's core schema, with YAML 1.1's octal numbers as lyaml and Go read them.
pub(super) fn resolve(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "true" | "True" | "TRUE" => return NodeKind::Bool(true),
        "false" | "False" | "FALSE" => return NodeKind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return NodeKind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return NodeKind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return NodeKind::Float(f64::NAN),
        _ => {}
    }
    number(text).unwrap_or_else(|| NodeKind::String { value: text.to_owned(), style: StringStyle::Plain })
}

/// A number, if `text` is one.
pub(super) fn number(text: &str) -> Option<NodeKind> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let bytes = digits.as_bytes();
    let radix = match bytes {
        [b'0', b'x' | b'X', ..] => Some((16, &digits[2..])),
        [b'0', b'o', ..] => Some((8, &digits[2..])),
        [b'0', rest @ ..] if !rest.is_empty() && rest.iter().all(|byte| (b'0'..=b'7').contains(byte)) => {
            Some((8, &digits[1..]))
        }
        _ => None,
    };
    if let Some((radix, digits)) = radix {
        if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let value = i64::from_str_radix(digits, radix).ok()?;
        return Some(NodeKind::Integer(if negative { -value } else { value }));
    }
    // Rust's parser accepts `inf` and `nan`, which are strings in YAML.
    if !bytes.iter().any(u8::is_ascii_digit)
        || !bytes.iter().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte))
    {
        return None;
    }
    if bytes.iter().all(u8::is_ascii_digit)
        && let Ok(value) = text.parse()
    {
        return Some(NodeKind::Integer(value));
    }
    text.parse().ok().map(NodeKind::Float)
}
