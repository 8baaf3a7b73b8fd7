//! The arguments of a query, as Kong's log object has them.

use std::borrow::Cow;

use crate::json::Writer;

/// Arguments that Kong reads (`kong.request.get_query` by default); more are left out.
const MAX_ARGUMENTS: usize = 100;

/// The value of an argument: without `=` there is none, which Kong writes as `true`.
type Argument<'a> = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>);

/// Writes the arguments of the query of `uri` as an object: decoded, `true` for one without `=`, an array for a repeated one
/// (<https://docs.konghq.com/gateway/latest/plugin-development/pdk/kong.request/>).
pub(crate) fn write(json: &mut Writer<'_>, uri: &[u8]) {
    let query = uri.iter().position(|byte| *byte == b'?').map_or(&b""[..], |at| &uri[at + 1..]);
    write_arguments(json, query.split(|byte| *byte == b'#').next().unwrap_or_default());
}

fn write_arguments(json: &mut Writer<'_>, query: &[u8]) {
    json.open(b'{');
    let arguments = arguments(query);
    for (at, (name, value)) in arguments.iter().enumerate() {
        if arguments[..at].iter().any(|(earlier, _)| earlier == name) {
            continue;
        }
        json.foreign_name(name);
        let mut others = arguments[at + 1..].iter().filter(|(later, _)| later == name).peekable();
        if others.peek().is_none() {
            write_value(json, value.as_deref());
            continue;
        }
        json.open(b'[');
        write_value(json, value.as_deref());
        others.for_each(|(_, value)| write_value(json, value.as_deref()));
        json.close(b']');
    }
    json.close(b'}');
}

fn write_value(json: &mut Writer<'_>, value: Option<&[u8]>) {
    match value {
        Some(value) => json.text(value),
        None => json.truth(),
    }
}

fn arguments(query: &[u8]) -> Vec<Argument<'_>> {
    let pairs = query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let split = pairs.map(|pair| match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (decode(&pair[..at]), Some(decode(&pair[at + 1..]))),
        None => (decode(pair), None),
    });
    split.filter(|(name, _)| !name.is_empty()).take(MAX_ARGUMENTS).collect()
}

/// Replaces `+` and percent-encoded bytes, and what is then not UTF-8, so that equal names in the output are equal here.
fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+' | 0x80..)) {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
        at += 1;
    }
    match String::from_utf8_lossy(&decoded) {
        Cow::Borrowed(_) => Cow::Owned(decoded),
        Cow::Owned(repaired) => Cow::Owned(repaired.into_bytes()),
    }
}

/// Appends the arguments of `query`, without its question mark, to `out` as an object in the way of Kong's log object.
pub fn push_query(out: &mut Vec<u8>, query: &[u8]) {
    write_arguments(&mut Writer(out), query);
}
