//! Times and durations, with their units. They are counted in nanoseconds, without fractions of floating point.

use jiff::Timestamp;

/// Nanoseconds in a millisecond.
pub(super) const MILLISECOND: i128 = 1_000_000;

/// The names of units.
pub(super) const NAMES: &[&str] = &["ns", "us", "µs", "ms", "s", "rfc3339"];

/// The unit of a number, or the form of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A number of so many nanoseconds.
    Nanoseconds(i128),
    /// A timestamp such as `2026-01-02T03:04:05.678Z` (RFC 3339), counted from 1970.
    Rfc3339,
}

impl Unit {
    /// The unit called `name`.
    pub(super) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "ns" => Self::Nanoseconds(1),
            "us" | "µs" => Self::Nanoseconds(1000),
            "ms" => Self::Nanoseconds(MILLISECOND),
            "s" => Self::Nanoseconds(1000 * MILLISECOND),
            "rfc3339" => Self::Rfc3339,
            _ => return None,
        })
    }

    /// The nanoseconds of `text`. `None` if it is none, and for a negative one, which stands for no value.
    pub(super) fn read(self, text: &[u8]) -> Option<i128> {
        let text = text.trim_ascii();
        let found = match self {
            Self::Nanoseconds(unit) => decimal(text, unit)?,
            Self::Rfc3339 => std::str::from_utf8(text).ok()?.parse::<Timestamp>().ok()?.as_nanosecond(),
        };
        (found >= 0).then_some(found)
    }
}

/// A decimal number times `unit`, rounded down.
fn decimal(text: &[u8], unit: i128) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let split = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(split);
    let fraction = match rest {
        [] => &[][..],
        [b'.', fraction @ ..] if fraction.iter().all(u8::is_ascii_digit) => fraction,
        _ => return scientific(text, unit),
    };
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 19 {
        return None;
    }
    // Digits after the eighteenth are less than a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let value = |digits: &[u8]| digits.iter().fold(0_i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    let scale = 10_i128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let total = value(whole) * unit + value(fraction) * unit / scale;
    Some(if negative { -total } else { total })
}

/// A number with an exponent, times `unit`.
#[cold]
fn scientific(text: &[u8], unit: i128) -> Option<i128> {
    if text.len() > 64 || text.iter().any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E')) {
        return None;
    }
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "units are powers of ten up to a billion")]
    let total = number * unit as f64;
    #[expect(clippy::cast_possible_truncation, reason = "within the range, and rounding down is meant")]
    (total.abs() < 1e30).then_some(total as i128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(unit: &str, text: &str) -> Option<i128> {
        Unit::find(unit).unwrap().read(text.as_bytes())
    }

    /// Scenario: numbers in every unit, timestamps, negative and malformed ones.
    /// Guarantees: nanoseconds are exact; what is no number, or negative, has no value.
    #[test]
    fn reads_units() {
        assert_eq!(NAMES.iter().filter(|name| Unit::find(name).is_none()).count(), 0);
        assert_eq!(read("s", "1700000000.123"), Some(1_700_000_000_123_000_000));
        assert_eq!(read("s", "0.012"), Some(12 * MILLISECOND));
        assert_eq!(read("s", "6.1e-05"), Some(61_000));
        assert_eq!(read("s", ".5"), Some(500 * MILLISECOND));
        assert_eq!(read("ms", "7"), Some(7 * MILLISECOND));
        assert_eq!(read("us", "1500"), read("µs", "1500"));
        assert_eq!(read("ns", "1999999"), Some(1_999_999));
        assert_eq!(read("rfc3339", "1970-01-01T01:00:01.5+01:00"), Some(1500 * MILLISECOND));
        for text in ["", "-", "-1", "-0.5", "1.2.3", "1e999", "NaN", "inf", "1 2", "99999999999999999999"] {
            assert_eq!(read("s", text), None, "{text}");
        }
        assert_eq!(read("rfc3339", "yesterday"), None);
    }

    proptest! {
        /// Scenario: any number of nanoseconds, written in each unit. Guarantees: it is read back exactly.
        #[test]
        fn units_round_trip(nanoseconds in 0..4_000_000_000_000_000_000_i128) {
            for (name, digits) in [("ns", 0), ("us", 3), ("µs", 3), ("ms", 6), ("s", 9)] {
                let unit = 10_i128.pow(digits);
                let width = digits as usize;
                let text = match digits {
                    0 => nanoseconds.to_string(),
                    _ => format!("{}.{:0width$}", nanoseconds / unit, nanoseconds % unit),
                };
                prop_assert_eq!(read(name, &text), Some(nanoseconds), "{} {}", text, name);
            }
        }

        /// Scenario: any text in each unit. Guarantees: no panic.
        #[test]
        fn any_text(text in proptest::collection::vec(any::<u8>(), 0..40), which in 0..NAMES.len()) {
            let _ = Unit::find(NAMES[which]).unwrap().read(&text);
        }
    }
}
