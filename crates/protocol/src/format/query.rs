//! Parts of a path, cut out of it in place.

/// Keeps of the path behind `mark` the query, decoded if `decoded`. False, and nothing is kept, if it has none.
pub(super) fn keep_query(out: &mut Vec<u8>, mark: usize, decoded: bool) -> bool {
    let Some(at) = out[mark..].iter().position(|byte| *byte == b'?') else {
        out.truncate(mark);
        return false;
    };
    keep(out, mark, at + 1, out.len() - mark);
    if decoded {
        // Only what is visible in ASCII: a blank or a byte of other characters stays encoded. Of an escape that is none,
        // Envoy drops the `%`, if two characters follow.
        decode(out, mark, |byte| byte.is_ascii_graphic(), true);
    }
    true
}

/// Keeps of the path behind `mark` the value of the first parameter `name` of its query, decoded. False, and nothing is
/// kept, if it has none.
pub(super) fn keep_parameter(out: &mut Vec<u8>, mark: usize, name: &[u8]) -> bool {
    let found = find(&out[mark..], name);
    let Some((from, to)) = found else {
        out.truncate(mark);
        return false;
    };
    keep(out, mark, from, to);
    decode(out, mark, |_| true, false);
    true
}

/// Where the value of a parameter is in a path.
fn find(path: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    let mut start = path.iter().position(|byte| *byte == b'?')? + 1;
    for parameter in path[start..].split(|byte| *byte == b'&') {
        let end = start + parameter.len();
        let key = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
        if decoded(&parameter[..key]).eq(name.iter().copied()) {
            return Some(((start + key + 1).min(end), end));
        }
        start = end + 1;
    }
    None
}

/// The bytes of `text`, decoded.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *text.get(at)?;
        match encoded(text, at) {
            Some(decoded) => {
                at += 3;
                Some(decoded)
            }
            None => {
                at += 1;
                Some(byte)
            }
        }
    })
}

/// The byte that is encoded at `at`.
fn encoded(text: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    match (text.get(at), digit(at + 1), digit(at + 2)) {
        (Some(b'%'), Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
        _ => None,
    }
}

/// Moves the bytes `from..to`, counted from `mark`, to `mark`, and drops the rest.
fn keep(out: &mut Vec<u8>, mark: usize, from: usize, to: usize) {
    out.copy_within(mark + from..mark + to, mark);
    out.truncate(mark + to - from);
}

/// Decodes what follows `mark`, where `wanted` of the decoded byte; `drops` the `%` of what is no escape.
fn decode(out: &mut Vec<u8>, mark: usize, wanted: impl Fn(u8) -> bool, drops: bool) {
    let (mut from, mut to) = (mark, mark);
    while from < out.len() {
        let (byte, taken) = match encoded(out, from) {
            Some(byte) if wanted(byte) => (byte, 3),
            None if drops && out[from] == b'%' && from + 2 < out.len() => {
                from += 1;
                continue;
            }
            _ => (out[from], 1),
        };
        out[to] = byte;
        from += taken;
        to += 1;
    }
    out.truncate(to);
}
