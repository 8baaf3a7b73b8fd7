//! Numbers in texts, as LuaJIT reads them (`lj_strscan.c`).

/// The number that `text` is: decimal, hexadecimal or binary, with a sign and white space around it, or `inf` or `nan`.
pub fn parse(text: &[u8]) -> Option<f64> {
    let (negative, digits) = sign(trim(text));
    let number = match digits {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits)?,
        [b'0', b'b' | b'B', digits @ ..] => whole(digits, 2)?,
        _ if [&b"inf"[..], b"infinity"].iter().any(|word| digits.eq_ignore_ascii_case(word)) => f64::INFINITY,
        _ if digits.eq_ignore_ascii_case(b"nan") => f64::NAN,
        // What else Rust reads as a number begins with a letter.
        [b'0'..=b'9' | b'.', ..] => std::str::from_utf8(digits).ok()?.parse().ok()?,
        _ => return None,
    };
    Some(if negative { -number } else { number })
}

/// The whole number that `text` is with the radix 2 to 36; one beyond 64 bits is the largest.
pub(crate) fn with_radix(text: &[u8], radix: u32) -> Option<f64> {
    let (negative, digits) = sign(trim(text.split(|byte| *byte == 0).next().unwrap_or(text)));
    let digits = match digits {
        [b'0', b'x' | b'X', digits @ ..] if radix == 16 => digits,
        digits => digits,
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0_u64;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix)?;
        number = number.saturating_mul(u64::from(radix)).saturating_add(u64::from(digit));
    }
    let number = number as f64;
    Some(if negative { -number } else { number })
}

/// C's white space.
fn trim(text: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let begin = text.iter().position(|byte| !space(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !space(byte)).map_or(begin, |last| last + 1);
    &text[begin..end]
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    }
}

/// The whole number that `digits` are, rounded once beyond 64 bits.
fn whole(digits: &[u8], radix: u32) -> Option<f64> {
    let mut number = 0_f64;
    for digit in digits {
        number = number * f64::from(radix) + f64::from(char::from(*digit).to_digit(radix)?);
    }
    (!digits.is_empty()).then_some(number)
}

/// A hexadecimal number with an optional fraction and an optional binary exponent.
pub(crate) fn hexadecimal(text: &[u8]) -> Option<f64> {
    let (digits, exponent) = match text.iter().position(|byte| matches!(byte, b'p' | b'P')) {
        Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (before, after) = match digits.iter().position(|byte| *byte == b'.') {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &b""[..]),
    };
    let digits = [before, after].concat();
    let places = i32::try_from(after.len()).ok()?;
    // The exponent is clamped to what takes any number to zero or to infinity.
    let exponent = exponent.saturating_sub(places.saturating_mul(4)).clamp(-1_000_000, 1_000_000);
    let mut number = whole(&digits, 16)?;
    // In steps, because a power of two may be out of range where the product is not.
    let mut left = exponent;
    while left != 0 && number != 0.0 && number.is_finite() {
        let step = left.clamp(-1000, 1000);
        number *= 2_f64.powi(step);
        left -= step;
    }
    Some(number)
}
