//! Query arguments in URLs.

use super::action::{Action, Edited};
use crate::transaction::body::form;

/// Redacts the arguments called `name` in the query of `url`, and in a fragment of the same form (OAuth 2.0's implicit
/// grant).
pub(super) fn in_url(url: &[u8], name: &[u8], action: &Action) -> Edited {
    let (rest, fragment) = cut(url, b'#');
    let (path, query) = cut(rest, b'?');
    let new_query = query.and_then(|query| in_query(query, name, action));
    let new_fragment = fragment.and_then(|fragment| in_fragment(fragment, name, action));
    if new_query.is_none() && new_fragment.is_none() {
        return Edited::Same;
    }
    let mut out = path.to_vec();
    push_part(&mut out, b'?', query, new_query);
    push_part(&mut out, b'#', fragment, new_fragment);
    Edited::Now(out)
}

/// Redacts a query without a URL.
pub(super) fn in_text(query: &[u8], name: &[u8], action: &Action) -> Edited {
    in_query(query, name, action).map_or(Edited::Same, Edited::Now)
}

/// Redacts a fragment, or the part of it after a `?`.
fn in_fragment(fragment: &[u8], name: &[u8], action: &Action) -> Option<Vec<u8>> {
    let (route, query) = cut(fragment, b'?');
    let Some(query) = query else { return in_query(fragment, name, action) };
    let edited = in_query(query, name, action)?;
    let mut out = route.to_vec();
    push_part(&mut out, b'?', Some(query), Some(edited));
    Some(out)
}

/// Appends a part, redacted or not. The separator of a removed part is left out.
fn push_part(out: &mut Vec<u8>, separator: u8, before: Option<&[u8]>, now: Option<Vec<u8>>) {
    let part = match (&now, before) {
        (Some(now), _) if now.is_empty() => return,
        (Some(now), _) => now,
        (None, Some(before)) => before,
        (None, None) => return,
    };
    out.push(separator);
    out.extend_from_slice(part);
}

/// Redacts the arguments called `name`; `None` if there are none. Other arguments stay byte for byte. An argument
/// without a value has nothing to hide and is affected by removal only.
fn in_query(query: &[u8], name: &[u8], action: &Action) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(query.len());
    let (mut first, mut changed) = (true, false);
    for pair in query.split(|byte| *byte == b'&') {
        let (raw_name, value) = cut(pair, b'=');
        let hit = *form::decoded(raw_name) == *name && (value.is_some() || action.removes()) && !pair.is_empty();
        changed |= hit;
        if hit && action.removes() {
            continue;
        }
        if !first {
            out.push(b'&');
        }
        first = false;
        match value.filter(|_| hit) {
            Some(value) => {
                out.extend_from_slice(raw_name);
                out.push(b'=');
                out.extend_from_slice(action.text(&form::decoded(value)).as_bytes());
            }
            None => out.extend_from_slice(pair),
        }
    }
    changed.then_some(out)
}

/// Splits at the first `separator`.
pub(super) fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(separator, text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}
