//! Text into JSON strings, in place: what an operator has appended is escaped where it stands.

/// Escapes what follows `mark` as Envoy does in a JSON string, between quotes if `quotes`. Quotes, backslashes and control
/// characters are escaped; if the text is not UTF-8, so is each of its bytes from 0x80 on, as `\u00XX`.
pub(super) fn escape(out: &mut Vec<u8>, mark: usize, quotes: bool) {
    let text = &out[mark..];
    let broken = !text.is_ascii() && std::str::from_utf8(text).is_err();
    let extra: usize = text.iter().map(|byte| width(*byte, broken) - 1).sum();
    let edge = usize::from(quotes);
    if extra + edge == 0 {
        return;
    }
    let mut from = out.len();
    out.resize(from + extra + 2 * edge, b'"');
    let mut to = out.len() - edge;
    // From the end, so that nothing is overwritten before it is read.
    while from > mark {
        from -= 1;
        let byte = out[from];
        let count = width(byte, broken);
        to -= count;
        match count {
            1 => out[to] = byte,
            2 => out[to..to + 2].copy_from_slice(&[b'\\', short(byte).unwrap_or(byte)]),
            _ => out[to..to + 6].copy_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]),
        }
    }
    if quotes {
        out[mark] = b'"';
    }
}

/// The bytes that a byte takes.
fn width(byte: u8, broken: bool) -> usize {
    match byte {
        b'"' | b'\\' | 0..0x20 => 2 + 4 * usize::from(short(byte).is_none()),
        0x80.. if broken => 6,
        _ => 1,
    }
}

/// The letter of a short escape.
fn short(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' => byte,
        8 => b'b',
        9 => b't',
        10 => b'n',
        12 => b'f',
        13 => b'r',
        _ => return None,
    })
}

fn hex(digit: u8) -> u8 {
    b"0123456789abcdef"[usize::from(digit & 15)]
}
