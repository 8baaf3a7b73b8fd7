//! Numbers as text: the conversions `e`, `f` and `g` of C's `printf`, in C's and in LuaJIT's rounding.

use std::fmt::Write;

/// How a number exactly in the middle between two texts is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ties {
    /// To the even digit, as C's `printf` does, and with it cjson.
    Even,
    /// Away from zero, as LuaJIT does.
    Away,
}

/// The significant digits of a number.
pub(crate) struct Digits {
    text: Text,
    /// The power of ten of the first digit.
    exponent: i32,
}

/// Room for the longest text that a conversion with at most 99 digits of precision makes.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    bytes: [u8; Text::ROOM],
    length: usize,
}

impl Text {
    const ROOM: usize = 128;

    fn new() -> Self {
        Self { bytes: [0; Self::ROOM], length: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// The first `count` significant digits, 1 to 100, of the finite `number`, without its sign.
pub(crate) fn digits(number: f64, count: usize, ties: Ties) -> Digits {
    let number = number.abs();
    let mut made = scientific(number, count);
    let decimals = count as i32 - 1 - made.exponent;
    if ties == Ties::Away && is_tie(number, decimals) {
        // The next digit, a 5, is the last one that is not zero.
        made = scientific(number, count + 1);
        made.text.length -= 1;
        made.increment();
    }
    made
}

fn scientific(number: f64, count: usize) -> Digits {
    let mut text = Text::new();
    write!(text, "{number:.*e}", count - 1).expect("there is room for 101 digits and an exponent");
    let written = text.as_bytes();
    let at = memchr::memrchr(b'e', written).expect("`e` formatting writes an exponent");
    let exponent = std::str::from_utf8(&written[at + 1..]).ok().and_then(|text| text.parse().ok());
    text.length = at;
    if count > 1 {
        text.bytes.copy_within(2..at, 1);
        text.length -= 1;
    }
    Digits { text, exponent: exponent.expect("`e` formatting writes a whole exponent") }
}

/// Whether the positive `number` is exactly in the middle between two numbers with `decimals` digits after the point. A
/// negative count is one of zeros before the point.
fn is_tie(number: f64, decimals: i32) -> bool {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = number.to_bits();
    let (fraction, exponent) = (bits & MANTISSA, (bits >> 52) as i32);
    let (mantissa, exponent) = if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    if mantissa == 0 {
        return false;
    }
    // number = odd * 2^power. It is a tie if twice the number, in units of its last digit, is odd.
    let zeros = mantissa.trailing_zeros();
    let (odd, power) = (mantissa >> zeros, exponent + zeros as i32);
    if power + decimals + 1 != 0 {
        return false;
    }
    decimals >= 0 || 5_u64.checked_pow(decimals.unsigned_abs()).is_some_and(|fives| odd % fives == 0)
}

impl Digits {
    /// Adds one unit of the last digit.
    fn increment(&mut self) {
        let digits = &mut self.text.bytes[..self.text.length];
        for digit in digits.iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        if let Some(first) = digits.first_mut() {
            *first = b'1';
            self.exponent += 1;
        }
    }

    fn without_zeros(&self) -> &[u8] {
        let digits = self.text.as_bytes();
        let end = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
        &digits[..end]
    }
}

/// The conversion `%.{precision}g` of the finite `number` without its sign. `zeros` keeps zeros at the end, as the flag `#` does.
pub(crate) fn push_general(out: &mut Vec<u8>, number: f64, precision: usize, ties: Ties, zeros: bool) {
    let made = digits(number, precision.max(1), ties);
    let (digits, exponent) = (if zeros { made.text.as_bytes() } else { made.without_zeros() }, made.exponent);
    if exponent < -4 || exponent >= precision.max(1) as i32 {
        push_scientific(out, digits, exponent, zeros);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-1 - exponent) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        out.extend_from_slice(&digits[..whole.min(digits.len())]);
        out.resize(out.len() + whole.saturating_sub(digits.len()), b'0');
        if digits.len() > whole || zeros {
            out.push(b'.');
            out.extend_from_slice(digits.get(whole..).unwrap_or_default());
        }
    }
}

/// The conversion `%.{precision}e` of the finite `number` without its sign.
pub(crate) fn push_exponent(out: &mut Vec<u8>, number: f64, precision: usize, ties: Ties, point: bool) {
    let made = digits(number, precision + 1, ties);
    push_scientific(out, made.text.as_bytes(), made.exponent, point);
}

fn push_scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i32, point: bool) {
    let (first, rest) = digits.split_at(1);
    out.extend_from_slice(first);
    if point || !rest.is_empty() {
        out.push(b'.');
    }
    out.extend_from_slice(rest);
    out.push(b'e');
    out.push(if exponent < 0 { b'-' } else { b'+' });
    let size = exponent.unsigned_abs();
    if size >= 100 {
        out.push(b'0' + (size / 100) as u8);
    }
    out.extend_from_slice(&[b'0' + (size / 10 % 10) as u8, b'0' + (size % 10) as u8]);
}

/// The conversion `%.{precision}f` of the finite `number` without its sign.
pub(crate) fn push_fixed(out: &mut Vec<u8>, number: f64, precision: usize, ties: Ties) {
    let number = number.abs();
    let begin = out.len();
    let tie = ties == Ties::Away && is_tie(number, precision as i32);
    let decimals = precision + usize::from(tie);
    out.extend_from_slice(format!("{number:.decimals$}").as_bytes());
    if !tie {
        return;
    }
    out.pop();
    if out.last() == Some(&b'.') {
        out.pop();
    }
    for at in (begin..out.len()).rev() {
        match out[at] {
            b'.' => {}
            b'9' => out[at] = b'0',
            _ => {
                out[at] += 1;
                return;
            }
        }
    }
    out.insert(begin, b'1');
}

/// The digits of a number that are written by default: C's `%.14g`, with the sign.
pub(crate) fn push_fourteen(out: &mut Vec<u8>, number: f64, ties: Ties) {
    if number.is_sign_negative() {
        out.push(b'-');
    }
    push_general(out, number, 14, ties, false);
}

/// The largest number up to which every whole number is a double.
pub(crate) const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends a whole number of at most [`MAX_EXACT`], other than negative zero; false if `number` is another one.
pub(crate) fn push_whole(out: &mut Vec<u8>, number: f64) -> bool {
    let whole = number as i64;
    if whole as f64 != number || number.abs() > MAX_EXACT || (whole == 0 && number.is_sign_negative()) {
        return false;
    }
    if whole < 0 {
        out.push(b'-');
    }
    // Sixteen digits at most.
    let (mut digits, mut at, mut rest) = ([0; 16], 16, whole.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    true
}

#[cfg(test)]
mod tests {
    use super::{Ties, push_exponent, push_fixed, push_general};
    use proptest::prelude::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("digits")
    }

    /// Scenario: numbers in the middle between two texts, near it, and with digits that carry; large, small and zero.
    /// Guarantees: a tie goes to the even digit or away from zero, as asked; nothing else depends on it.
    #[test]
    fn ties_are_rounded_as_asked() {
        for (number, precision, even, away) in [
            (1.25, 1, "1.2", "1.3"),
            (1.35, 1, "1.4", "1.4"),
            (0.5, 0, "0", "1"),
            (2.5, 0, "2", "3"),
            (9.5, 0, "10", "10"),
            (8.5, 0, "8", "9"),
            (99.5, 0, "100", "100"),
            (999.96, 1, "1000.0", "1000.0"),
            (0.0, 2, "0.00", "0.00"),
            (1e22, 0, "10000000000000000000000", "10000000000000000000000"),
        ] {
            assert_eq!(text(|out| push_fixed(out, number, precision, Ties::Even)), even, "{number} {precision}");
            assert_eq!(text(|out| push_fixed(out, number, precision, Ties::Away)), away, "{number} {precision}");
        }
        for (number, precision, even, away) in [
            (123_456_789_012_345.0, 14, "1.2345678901234e+14", "1.2345678901235e+14"),
            (12_345_678_901_234.5, 14, "12345678901234", "12345678901235"),
            (25.0, 1, "2e+01", "3e+01"),
            (0.1 + 0.2, 14, "0.3", "0.3"),
            (1e-5, 14, "1e-05", "1e-05"),
            (0.000_12, 14, "0.00012", "0.00012"),
            (5e-324, 14, "4.9406564584125e-324", "4.9406564584125e-324"),
            (0.0, 14, "0", "0"),
            (100.0, 3, "100", "100"),
            (1000.0, 3, "1e+03", "1e+03"),
        ] {
            assert_eq!(text(|out| push_general(out, number, precision, Ties::Even, false)), even, "{number}");
            assert_eq!(text(|out| push_general(out, number, precision, Ties::Away, false)), away, "{number}");
        }
        assert_eq!(text(|out| push_exponent(out, 1.125, 2, Ties::Even, false)), "1.12e+00");
        assert_eq!(text(|out| push_exponent(out, 1.125, 2, Ties::Away, false)), "1.13e+00");
        assert_eq!(text(|out| push_general(out, 1.5, 6, Ties::Even, true)), "1.50000");
    }

    proptest! {
        /// Scenario: any finite number with any precision.
        /// Guarantees: read again, the text is no further from the number than half a unit of its last digit, and both
        /// roundings differ by one unit at most.
        #[test]
        fn texts_are_close(bits in any::<u64>(), precision in 1_usize..30) {
            let number = f64::from_bits(bits).abs();
            prop_assume!(number.is_finite());
            let even = text(|out| push_exponent(out, number, precision, Ties::Even, false));
            let away = text(|out| push_exponent(out, number, precision, Ties::Away, false));
            let (even_value, away_value): (f64, f64) = (even.parse().expect("a number"), away.parse().expect("a number"));
            prop_assume!(even_value.is_finite() && away_value.is_finite());
            let unit = 10_f64.powi(-(precision as i32)) * number.max(f64::MIN_POSITIVE) + f64::MIN_POSITIVE;
            prop_assert!((even_value - number).abs() <= unit, "{} {}", number, even);
            prop_assert!(even == away || away_value >= even_value, "{} {}", even, away);
        }
    }
}
