//! Cookies in `cookie` and `set-cookie` headers (RFC 6265).

use super::action::{Action, Edited};

/// A cookie in a header's text.
struct Found {
    start: usize,
    /// The start of its value.
    value: usize,
    /// The end of its value.
    end: usize,
}

/// Redacts a `cookie` header.
pub(super) fn in_cookie(text: &[u8], name: &[u8], action: &Action) -> Edited {
    edit(text, &find(text, name, b";,"), action)
}

/// Redacts a `set-cookie` header. Without the cookie its attributes are meaningless.
pub(super) fn in_set_cookie(text: &[u8], name: &[u8], action: &Action) -> Edited {
    let found = find(text, name, b",");
    let alone = found.first().is_some_and(|found| text[..found.start].trim_ascii().is_empty());
    if alone && action.removes() { Edited::Gone } else { edit(text, &found, action) }
}

/// The cookies called `name`, at the front and after each of `separators` (a proxy joins several headers with a
/// comma).
fn find(text: &[u8], name: &[u8], separators: &[u8]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let behind = text.iter().enumerate().filter(|(_, byte)| separators.contains(byte)).map(|(at, _)| at + 1);
    for start in std::iter::once(0).chain(behind) {
        let start = start + text[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let Some(equals) = memchr::memchr(b'=', &text[start..]) else { break };
        let inside = found.last().is_some_and(|last| start < last.end);
        if !inside && text[start..start + equals].trim_ascii_end() == name {
            let value = start + equals + 1;
            found.push(Found { start, value, end: value_end(text, value) });
        }
    }
    found
}

/// The end of a value: the next semicolon, but not before the closing quote of a quoted value.
fn value_end(text: &[u8], value: usize) -> usize {
    let mut from = value;
    let blank = text[value..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if text.get(value + blank) == Some(&b'"') {
        let mut at = value + blank + 1;
        while text.get(at).is_some_and(|byte| *byte != b'"') {
            at += if text[at] == b'\\' { 2 } else { 1 };
        }
        if at < text.len() {
            from = at;
        }
    }
    memchr::memchr(b';', &text[from..]).map_or(text.len(), |length| from + length)
}

fn edit(text: &[u8], found: &[Found], action: &Action) -> Edited {
    if found.is_empty() {
        return Edited::Same;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for cookie in found {
        if action.removes() {
            out.extend_from_slice(&text[from..cookie.start]);
            let behind = text[cookie.end..].iter().take_while(|byte| **byte == b';' || byte.is_ascii_whitespace());
            from = cookie.end + behind.count();
        } else {
            out.extend_from_slice(&text[from..cookie.value]);
            out.extend_from_slice(action.text(text[cookie.value..cookie.end].trim_ascii()).as_bytes());
            from = cookie.end;
        }
    }
    out.extend_from_slice(&text[from..]);
    if action.removes() && from == text.len() {
        while out.last().is_some_and(|byte| b";, \t".contains(byte)) {
            out.pop();
        }
    }
    if out.is_empty() { Edited::Gone } else { Edited::Now(out) }
}
