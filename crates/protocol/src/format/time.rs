//! The language of START_TIME: strftime with the additions of Abseil (`%E3S`) and Envoy (`%s`, `%3f`)
//! (<https://github.com/abseil/abseil-cpp/blob/master/absl/time/time.h>, `FormatTime`).
//!
//! Names are those of the C locale, as in Envoy. Fractions are cut, never rounded.

use jiff::Timestamp;
use jiff::civil::{DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};

use super::number::{push_padded, push_signed};

/// A compiled time format.
#[derive(Debug, Clone)]
pub(super) struct TimeFormat {
    parts: Vec<Part>,
    zone: Option<TimeZone>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Conversion(u8, Padding),
    /// Seconds since 1970.
    Epoch,
    /// So many digits of the fraction; `None`: those up to the last that is not zero, and of those that all are, none.
    Fraction(Option<usize>),
    /// Seconds, and as many digits of the fraction.
    Seconds(Option<usize>),
    /// The offset, with so many colons.
    Offset(u8),
}

/// What fills a number up (flags of the C library): its own way, nothing, or a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Padding {
    Own,
    None,
    With(u8),
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The conversions of one letter that print a value of their own.
const LETTERS: &[u8] = b"YCyGgmdejHkIlMSpPaAbBhuwUWVZt";

/// A time in its zone.
struct Moment<'a> {
    civil: DateTime,
    seconds: i64,
    nanoseconds: u32,
    offset: i32,
    name: &'a str,
}

impl TimeFormat {
    /// Compiles `format`, in UTC unless there is a zone. `None` if it prints a line end, which Envoy refuses.
    pub(super) fn new(format: &str, zone: Option<TimeZone>) -> Option<Self> {
        // Envoy looks for it as text, so that it refuses `%%n`, too.
        if format.contains("%n") {
            return None;
        }
        let default = if zone.is_some() { "%Y-%m-%dT%H:%M:%E3S%z" } else { "%Y-%m-%dT%H:%M:%E3SZ" };
        let mut parts = Vec::new();
        compile(if format.is_empty() { default } else { format }, &mut parts);
        Some(Self { parts, zone })
    }

    /// Appends the time; false if it is out of the range of years.
    pub(super) fn write(&self, (seconds, nanoseconds): (i64, u32), out: &mut Vec<u8>) -> bool {
        let nanos = i32::try_from(nanoseconds).unwrap_or(0);
        let Ok(time) = Timestamp::new(seconds, nanos) else { return false };
        let info = self.zone.as_ref().map(|zone| zone.to_offset_info(time));
        let (offset, name) = info.as_ref().map_or((Offset::UTC, "UTC"), |info| (info.offset(), info.abbreviation()));
        let moment = Moment { civil: offset.to_datetime(time), seconds, nanoseconds, offset: offset.seconds(), name };
        self.parts.iter().for_each(|part| moment.write(part, out));
        true
    }
}

/// Compiles a format, or a conversion that stands for several.
fn compile(format: &str, parts: &mut Vec<Part>) {
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        push_text(parts, &rest[..at]);
        rest = &rest[at..];
        let taken = conversion(&rest.as_bytes()[1..], parts);
        if taken == 0 {
            push_text(parts, "%");
        }
        rest = &rest[taken + 1..];
    }
    push_text(parts, rest);
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// The conversion that follows a `%`: how many bytes it takes, all of them ASCII. None of them if it is not known: it is text.
fn conversion(after: &[u8], parts: &mut Vec<Part>) -> usize {
    let (part, taken) = match after {
        [b'%', ..] => {
            push_text(parts, "%");
            return 1;
        }
        [b's', ..] => (Part::Epoch, 1),
        [b'f', ..] => (Part::Fraction(Some(9)), 1),
        [digit @ b'1'..=b'9', b'f', ..] => (Part::Fraction(Some(usize::from(digit - b'0'))), 2),
        [b'z', ..] => (Part::Offset(0), 1),
        [b':', b'z', ..] | [b'E', b'z', ..] => (Part::Offset(1), 2),
        [b':', b':', b'z', ..] | [b'E', b'*', b'z', ..] => (Part::Offset(2), 3),
        [b'E', b'4', b'Y', ..] => (Part::Conversion(b'Y', Padding::With(b'0')), 3),
        [b'E', b'T', ..] => (Part::Text("T".to_owned()), 2),
        [b'E', b'*', b'S', ..] => (Part::Seconds(None), 3),
        [b'E', b'*', b'f', ..] => (Part::Fraction(None), 3),
        [b'E', rest @ ..] if rest.first().is_some_and(u8::is_ascii_digit) => return precision(rest, parts),
        // The other forms of the locale, which the C locale does not have.
        [b'E', letter @ (b'c' | b'C' | b'x' | b'X' | b'y' | b'Y'), ..]
        | [
            b'O',
            letter @ (b'd' | b'e' | b'H' | b'I' | b'm' | b'M' | b'S' | b'u' | b'U' | b'V' | b'w' | b'W' | b'y'),
            ..,
        ] => {
            simple(*letter, Padding::Own, parts);
            return 2;
        }
        [flag @ (b'-' | b'_' | b'0'), letter, ..] if LETTERS.contains(letter) => {
            let padding = match flag {
                b'-' => Padding::None,
                b'_' => Padding::With(b' '),
                _ => Padding::With(b'0'),
            };
            simple(*letter, padding, parts);
            return 2;
        }
        [letter, ..] if LETTERS.contains(letter) || composite(*letter).is_some() => {
            simple(*letter, Padding::Own, parts);
            return 1;
        }
        _ => return 0,
    };
    parts.push(part);
    taken
}

/// `%E3S` and `%E3f`, without `%E`: how many bytes, with the `E`; none if neither follows.
fn precision(after: &[u8], parts: &mut Vec<Part>) -> usize {
    let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    // Abseil has no more than 15 digits.
    let count = after[..digits].iter().fold(0_usize, |sum, digit| (sum * 10 + usize::from(digit - b'0')).min(1000));
    let part = match after.get(digits) {
        Some(b'S') if count <= 1000 => Part::Seconds(Some(count.min(15))),
        Some(b'f') if count <= 1000 => Part::Fraction(Some(count.min(15))),
        _ => return 0,
    };
    parts.push(part);
    digits + 2
}

/// What a conversion stands for.
fn composite(letter: u8) -> Option<&'static str> {
    Some(match letter {
        b'F' => "%Y-%m-%d",
        b'T' | b'X' => "%H:%M:%S",
        b'D' | b'x' => "%m/%d/%y",
        b'R' => "%H:%M",
        b'r' => "%I:%M:%S %p",
        b'c' => "%a %b %e %H:%M:%S %Y",
        _ => return None,
    })
}

/// A conversion of one letter.
fn simple(letter: u8, padding: Padding, parts: &mut Vec<Part>) {
    match composite(letter) {
        Some(format) => compile(format, parts),
        None if letter == b't' => push_text(parts, "\t"),
        None => parts.push(Part::Conversion(letter, padding)),
    }
}

impl Moment<'_> {
    fn write(&self, part: &Part, out: &mut Vec<u8>) {
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Epoch => push_signed(out, self.seconds),
            Part::Seconds(digits) => {
                push_padded(out, self.civil.second().unsigned_abs().into(), 2, b'0');
                if *digits != Some(0) && (digits.is_some() || self.nanoseconds != 0) {
                    out.push(b'.');
                    self.fraction(*digits, out);
                }
            }
            Part::Fraction(digits) => self.fraction(*digits, out),
            Part::Offset(colons) => self.offset(*colons, out),
            Part::Conversion(letter, padding) => self.convert(*letter, *padding, out),
        }
    }

    fn fraction(&self, digits: Option<usize>, out: &mut Vec<u8>) {
        let mark = out.len();
        push_padded(out, self.nanoseconds.into(), 9, b'0');
        match digits {
            Some(digits) => out.resize(mark + digits, b'0'),
            None => {
                while out.len() > mark && out.last() == Some(&b'0') {
                    out.pop();
                }
            }
        }
    }

    fn offset(&self, colons: u8, out: &mut Vec<u8>) {
        let seconds = u64::from(self.offset.unsigned_abs());
        out.push(if self.offset < 0 { b'-' } else { b'+' });
        push_padded(out, seconds / 3600, 2, b'0');
        if colons > 0 {
            out.push(b':');
        }
        push_padded(out, seconds / 60 % 60, 2, b'0');
        if colons > 1 {
            out.push(b':');
            push_padded(out, seconds % 60, 2, b'0');
        }
    }

    fn convert(&self, letter: u8, padding: Padding, out: &mut Vec<u8>) {
        let civil = &self.civil;
        let day = civil.weekday().to_sunday_zero_offset().unsigned_abs();
        let month = civil.month().unsigned_abs();
        let hour = civil.hour().unsigned_abs();
        let twelve = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
        let (value, width, fill): (i64, usize, u8) = match letter {
            b'a' => return out.extend_from_slice(&DAYS[usize::from(day % 7)].as_bytes()[..3]),
            b'A' => return out.extend_from_slice(DAYS[usize::from(day % 7)].as_bytes()),
            b'b' | b'h' => return out.extend_from_slice(&month_name(month).as_bytes()[..3]),
            b'B' => return out.extend_from_slice(month_name(month).as_bytes()),
            b'p' => return out.extend_from_slice(if hour < 12 { b"AM" } else { b"PM" }),
            b'P' => return out.extend_from_slice(if hour < 12 { b"am" } else { b"pm" }),
            b'Z' => return out.extend_from_slice(self.name.as_bytes()),
            b'Y' => (civil.year().into(), if padding == Padding::Own { 1 } else { 4 }, b'0'),
            b'C' => (i64::from(civil.year()).div_euclid(100), 2, b'0'),
            b'y' => (i64::from(civil.year()).rem_euclid(100), 2, b'0'),
            b'G' => (civil.iso_week_date().year().into(), 1, b'0'),
            b'g' => (i64::from(civil.iso_week_date().year()).rem_euclid(100), 2, b'0'),
            b'V' => (civil.iso_week_date().week().into(), 2, b'0'),
            b'm' => (month.into(), 2, b'0'),
            b'd' => (civil.day().into(), 2, b'0'),
            b'e' => (civil.day().into(), 2, b' '),
            b'j' => (civil.day_of_year().into(), 3, b'0'),
            b'H' => (hour.into(), 2, b'0'),
            b'k' => (hour.into(), 2, b' '),
            b'I' => (twelve.into(), 2, b'0'),
            b'l' => (twelve.into(), 2, b' '),
            b'M' => (civil.minute().into(), 2, b'0'),
            b'S' => (civil.second().into(), 2, b'0'),
            b'u' => (if civil.weekday() == Weekday::Sunday { 7 } else { day.into() }, 1, b'0'),
            b'w' => (day.into(), 1, b'0'),
            // Weeks that begin with the first Sunday or Monday of the year.
            b'U' => ((i64::from(civil.day_of_year()) + 6 - i64::from(day)) / 7, 2, b'0'),
            b'W' => ((i64::from(civil.day_of_year()) + 6 - i64::from((day + 6) % 7)) / 7, 2, b'0'),
            _ => return,
        };
        let (width, fill) = match padding {
            Padding::Own => (width, fill),
            Padding::None => (1, b'0'),
            Padding::With(fill) => (width, fill),
        };
        if value < 0 {
            out.push(b'-');
        }
        push_padded(out, value.unsigned_abs(), width, fill);
    }
}

fn month_name(month: u8) -> &'static str {
    MONTHS.get(usize::from(month).wrapping_sub(1)).copied().unwrap_or(MONTHS[0])
}
