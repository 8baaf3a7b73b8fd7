//! Converts JSON numbers to Avro's types without losing digits.

/// The largest number of digits that is supported, also for a `decimal`.
pub(super) const MAX_DIGITS: u32 = 38;

/// The parts of a JSON number: `whole.fraction * 10^exponent`.
struct Exact<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

fn exact(text: &str) -> Exact<'_> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // An exponent past i64 makes the number too large or too small, unless it is zero; the callers find out.
    let far = if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent).parse().unwrap_or(far);
    Exact { negative, whole, fraction, exponent }
}

/// `text * 10^scale`, if that is an integer of at most [`MAX_DIGITS`] digits.
pub(super) fn scaled(text: &str, scale: u32) -> Option<i128> {
    let number = exact(text);
    let digits: String = [number.whole, number.fraction].concat();
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return Some(0);
    }
    let zeros = (digits.len() - kept.len()) as i64 - number.fraction.len() as i64;
    let zeros = zeros.checked_add(number.exponent)?.checked_add(i64::from(scale))?;
    if zeros < 0 || zeros.checked_add(kept.len() as i64)? > i64::from(MAX_DIGITS) {
        return None;
    }
    let value = kept.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(u32::try_from(zeros).ok()?)?)?;
    Some(if number.negative { -value } else { value })
}

/// Whether the number has neither a fraction nor an exponent.
pub(super) fn is_integer(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
}

/// A number cannot be a `float` or `double`. The text is a fragment that follows the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NumberError {
    #[error("is not a number")]
    Syntax,
    #[error("is out of the range of {0}")]
    OutOfRange(&'static str),
    #[error("is an integer that {kind} cannot hold exactly; make the field a long or a {wider}")]
    Inexact { kind: &'static str, wider: &'static str },
    #[error("is too small for {0}")]
    TooSmall(&'static str),
}

/// The nearest `double`. It is exact for an integer, finite, and zero only for zero.
pub(super) fn double(text: &str) -> Result<f64, NumberError> {
    let value: f64 = text.parse().map_err(|_| NumberError::Syntax)?;
    check(text, value, "double", "decimal")?;
    Ok(value)
}

/// The nearest `float`, by the rules of [`double`].
pub(super) fn float(text: &str) -> Result<f32, NumberError> {
    let value: f32 = text.parse().map_err(|_| NumberError::Syntax)?;
    check(text, f64::from(value), "float", "double")?;
    Ok(value)
}

/// Checks that `value`, the nearest to `text`, can stand for it.
fn check(text: &str, value: f64, kind: &'static str, wider: &'static str) -> Result<(), NumberError> {
    if !value.is_finite() {
        return Err(NumberError::OutOfRange(kind));
    }
    if is_integer(text) && !holds(text, value) {
        return Err(NumberError::Inexact { kind, wider });
    }
    if value == 0.0 && scaled(text, 0) != Some(0) {
        return Err(NumberError::TooSmall(kind));
    }
    Ok(())
}

/// Whether `value`, the nearest to the integer `text`, is that integer.
fn holds(text: &str, value: f64) -> bool {
    // 10^38 is below 2^127, so that the results of `scaled` and their neighbours convert without saturating.
    scaled(text, 0).is_some_and(|integer| value.abs() < 1.7e38 && value as i128 == integer)
}

/// `value` in two's complement, big-endian, as short as possible or in `size` bytes.
pub(super) fn big_endian(value: i128, size: Option<usize>) -> Option<Vec<u8>> {
    let bytes = value.to_be_bytes();
    let filler = if value < 0 { 0xff } else { 0 };
    let redundant = bytes.windows(2).take_while(|pair| pair[0] == filler && (pair[1] & 0x80 == filler & 0x80)).count();
    let short = &bytes[redundant..];
    let Some(size) = size else { return Some(short.to_vec()) };
    let missing = size.checked_sub(short.len())?;
    let mut out = vec![filler; missing];
    out.extend_from_slice(short);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scenario: numbers in all notations of JSON, at the limits.
    /// Guarantees: the result is an exact integer or nothing.
    #[test]
    fn scaled_is_exact() {
        for (text, scale, expected) in [
            ("0", 0, Some(0)),
            ("-0.000e99", 0, Some(0)),
            ("1.7838395395e+18", 0, Some(1_783_839_539_500_000_000)),
            ("5.0", 0, Some(5)),
            ("5.5", 0, None),
            ("-5.5", 1, Some(-55)),
            ("12.340", 2, Some(1234)),
            ("12.345", 2, None),
            ("1e38", 0, None),
            ("1e37", 0, Some(10_i128.pow(37))),
            ("1e99999999999999999999", 0, None),
            ("1e-99999999999999999999", 0, None),
            ("99999999999999999999999999999999999999", 0, Some(10_i128.pow(38) - 1)),
            ("123456789012345678901234567890123456789", 0, None),
        ] {
            assert_eq!(scaled(text, scale), expected, "{text} at {scale}");
        }
    }

    /// Scenario: integers past 2^53, fractions, and values out of range.
    /// Guarantees: an integer is exact or refused; nothing becomes infinite or silently zero.
    #[test]
    fn floats_refuse_what_they_cannot_hold() {
        assert_eq!(double("9007199254740992"), Ok(9_007_199_254_740_992.0));
        assert!(double("9007199254740993").is_err());
        assert!(double("340282366920938463463374607431768211456").is_err());
        assert_eq!(double("0.1"), Ok(0.1));
        assert!(double("1e400").is_err());
        assert!(double("1e-400").is_err());
        assert_eq!(double("0e-400"), Ok(0.0));
        assert_eq!(float("16777216"), Ok(16_777_216.0));
        assert!(float("16777217").is_err());
        assert!(float("1e39").is_err());
    }

    proptest! {
        /// Scenario: any integer. Guarantees: its two's complement decodes to it, also in more bytes than needed.
        #[test]
        fn big_endian_decodes(value: i128, more in 0usize..20) {
            let short = big_endian(value, None).expect("any size");
            let read = |bytes: &[u8]| {
                let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
                bytes.iter().fold(sign, |value: i128, &byte| value << 8 | i128::from(byte))
            };
            prop_assert_eq!(read(&short), value);
            let wide = big_endian(value, Some(short.len() + more)).expect("large enough");
            prop_assert_eq!(wide.len(), short.len() + more);
            prop_assert_eq!(read(&wide), value);
            prop_assert_eq!(big_endian(value, Some(short.len() - 1)), None);
        }
    }
}
