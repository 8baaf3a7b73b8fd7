//! `string.format`, as LuaJIT's (`lj_strfmt.c`): its rounding, its flags, any value for `%s`, and no addresses.

use mlua::{Lua, LuaString, MultiValue, Value as Lv};

use crate::host::text::{check_result, shown, to_number};
use crate::runtime::{bad_argument, kind_name, push_lua_number, raise, work};
use crate::transaction::number::{Ties, push_exponent, push_fixed, push_general};

/// A conversion like `%-5.2f`.
#[derive(Debug, Clone, Copy, Default)]
struct Conversion {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    kind: u8,
}

/// Reads the conversion at the front of `text`, which begins with `%`, and its length.
///
/// # Errors
/// It is none: the length of what LuaJIT's error shows of it.
fn conversion(text: &[u8]) -> Result<(Conversion, usize), usize> {
    let mut made = Conversion::default();
    let mut at = 1;
    while let Some(flag) = text.get(at) {
        match flag {
            b'-' => made.left = true,
            b'+' => made.plus = true,
            b' ' => made.space = true,
            b'#' => made.alternate = true,
            b'0' => made.zero = true,
            _ => break,
        }
        at += 1;
    }
    // At most two digits each.
    let number = |at: &mut usize| {
        let begin = *at;
        while *at < begin + 2 && text.get(*at).is_some_and(u8::is_ascii_digit) {
            *at += 1;
        }
        text[begin..*at].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
    };
    made.width = number(&mut at);
    if text.get(at) == Some(&b'.') {
        at += 1;
        made.precision = Some(number(&mut at));
    }
    made.kind = *text.get(at).ok_or(text.len())?;
    at += 1;
    match made.kind {
        b'a' | b'A' | b'c' | b'd' | b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'i' | b'o' | b'q' | b's' | b'u'
        | b'x' | b'X' => Ok((made, at)),
        // Luau's string interpolation compiles to it.
        b'*' if at == 2 => Ok((made, at)),
        _ => Err(at),
    }
}

/// The function.
pub(super) fn format(lua: &Lua, arguments: MultiValue) -> mlua::Result<LuaString> {
    let mut arguments = arguments.into_iter();
    let pattern = match arguments.next() {
        Some(Lv::String(pattern)) => pattern,
        Some(number @ (Lv::Integer(_) | Lv::Number(_))) => lua.create_string(shown(&number))?,
        other => return Err(missing(lua, 1, "string", other.as_ref())),
    };
    let pattern = pattern.as_bytes();
    work(pattern.len());
    let (mut out, mut rest, mut position) = (Vec::with_capacity(pattern.len() + 32), &pattern[..], 1);
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if rest.get(1) == Some(&b'%') {
            out.push(b'%');
            rest = &rest[2..];
            continue;
        }
        let (conversion, length) = conversion(rest).map_err(|length| {
            let shown = String::from_utf8_lossy(&rest[..length]);
            raise(lua, &format!("invalid option '{shown}' to 'format'"))
        })?;
        rest = &rest[length..];
        position += 1;
        let Some(value) = arguments.next() else {
            return Err(bad_argument(lua, position, "format", "value expected"));
        };
        conversion.push(lua, &mut out, &value, position)?;
        check_result(lua, &out)?;
    }
    out.extend_from_slice(rest);
    lua.create_string(out)
}

/// LuaJIT's error for a missing argument or one of the wrong type.
fn missing(lua: &Lua, position: usize, expected: &str, given: Option<&Lv>) -> mlua::Error {
    let given = given.map_or("no value", kind_name);
    bad_argument(lua, position, "format", &format!("{expected} expected, got {given}"))
}

impl Conversion {
    fn push(&self, lua: &Lua, out: &mut Vec<u8>, value: &Lv, position: usize) -> mlua::Result<()> {
        match self.kind {
            b's' | b'*' => self.push_text(out, value),
            b'q' => match value {
                Lv::String(text) => push_quoted(out, &text.as_bytes()),
                other => push_quoted(out, shown(other).as_bytes()),
            },
            _ => {
                let number = to_number(value).ok_or_else(|| missing(lua, position, "number", Some(value)))?;
                self.push_number(out, number);
            }
        }
        Ok(())
    }

    fn push_text(&self, out: &mut Vec<u8>, value: &Lv) {
        if self.width == 0 && self.precision.is_none() {
            match value {
                Lv::String(text) => {
                    work(text.as_bytes().len());
                    out.extend_from_slice(&text.as_bytes());
                }
                Lv::Integer(number) => push_lua_number(out, *number as f64),
                Lv::Number(number) => push_lua_number(out, *number),
                other => out.extend_from_slice(shown(other).as_bytes()),
            }
            return;
        }
        match value {
            Lv::String(text) => self.pad(out, self.cut(&text.as_bytes())),
            other => self.pad(out, self.cut(shown(other).as_bytes())),
        }
    }

    fn cut<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        self.precision.and_then(|most| text.get(..most)).unwrap_or(text)
    }

    fn push_number(&self, out: &mut Vec<u8>, number: f64) {
        match self.kind {
            b'c' => self.pad(out, &[to_whole(number) as u8]),
            b'd' | b'i' => {
                let whole = to_whole(number);
                self.push_whole(out, self.sign(whole < 0), &whole.unsigned_abs().to_string());
            }
            b'u' => self.push_whole(out, "", &to_unsigned(number).to_string()),
            b'o' => {
                let digits = format!("{:o}", to_unsigned(number));
                // The flag `#` is a leading zero, which a precision may give already.
                let zero = digits == "0" && self.precision != Some(0);
                let leading = self.alternate && !zero && self.precision.unwrap_or(0) <= digits.len();
                self.push_whole(out, if leading { "0" } else { "" }, &digits);
            }
            b'x' | b'X' => {
                let number = to_unsigned(number);
                let digits = if self.kind == b'x' { format!("{number:x}") } else { format!("{number:X}") };
                let prefix = if self.kind == b'x' { "0x" } else { "0X" };
                self.push_whole(out, if self.alternate && number != 0 { prefix } else { "" }, &digits);
            }
            _ => self.push_float(out, number),
        }
    }

    /// What goes before the digits of a number.
    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        }
    }

    fn push_whole(&self, out: &mut Vec<u8>, prefix: &str, digits: &str) {
        let digits = if digits == "0" && self.precision == Some(0) { "" } else { digits };
        let mut text = prefix.as_bytes().to_vec();
        let zeros = match self.precision {
            Some(least) => least.saturating_sub(digits.len()),
            None if self.zero && !self.left => self.width.saturating_sub(prefix.len() + digits.len()),
            None => 0,
        };
        text.resize(text.len() + zeros, b'0');
        text.extend_from_slice(digits.as_bytes());
        self.pad(out, &text);
    }

    fn push_float(&self, out: &mut Vec<u8>, number: f64) {
        let upper = self.kind.is_ascii_uppercase();
        let mut digits = Vec::new();
        if number.is_nan() {
            return self.pad(out, if upper { b"NAN" } else { b"nan" });
        }
        let sign = self.sign(number.is_sign_negative());
        if number.is_infinite() {
            let text = format!("{sign}{}", if upper { "INF" } else { "inf" });
            return self.pad(out, text.as_bytes());
        }
        let (precision, mut prefix) = (self.precision.unwrap_or(6), sign.to_owned());
        match self.kind.to_ascii_lowercase() {
            b'e' => push_exponent(&mut digits, number, precision, Ties::Away, self.alternate),
            b'f' => {
                push_fixed(&mut digits, number, precision, Ties::Away);
                if self.alternate && precision == 0 {
                    digits.push(b'.');
                }
            }
            b'g' => push_general(&mut digits, number, precision, Ties::Away, self.alternate),
            _ => {
                prefix.push_str("0x");
                push_hexadecimal(&mut digits, number.abs(), self.precision, self.alternate);
            }
        }
        if self.zero && !self.left {
            let zeros = self.width.saturating_sub(prefix.len() + digits.len());
            digits.splice(0..0, std::iter::repeat_n(b'0', zeros));
        }
        digits.splice(0..0, prefix.bytes());
        if upper {
            digits.make_ascii_uppercase();
        }
        self.pad(out, &digits);
    }

    fn pad(&self, out: &mut Vec<u8>, text: &[u8]) {
        let spaces = self.width.saturating_sub(text.len());
        work(text.len());
        if !self.left {
            out.resize(out.len() + spaces, b' ');
        }
        out.extend_from_slice(text);
        if self.left {
            out.resize(out.len() + spaces, b' ');
        }
    }
}

/// The conversion to a whole number that LuaJIT's x64 code makes: what is out of range is the least one.
fn to_whole(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

fn to_unsigned(number: f64) -> u64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let whole = if number >= LIMIT { to_whole(number - 2.0 * LIMIT) } else { to_whole(number) };
    whole as u64
}

/// The digits of `%a` after `0x`.
fn push_hexadecimal(out: &mut Vec<u8>, number: f64, precision: Option<usize>, point: bool) {
    const FRACTION: u64 = (1 << 52) - 1;
    let bits = number.to_bits();
    let (fraction, exponent) = (bits & FRACTION, (bits >> 52) as i32);
    let (mut mantissa, exponent) = match (exponent, fraction) {
        (0, 0) => (0, 0),
        // The least numbers are shown with their first digit before the point, too.
        (0, _) => {
            let shift = fraction.leading_zeros() - 11;
            (fraction << shift, -1022 - shift as i32)
        }
        _ => (fraction | 1 << 52, exponent - 1023),
    };
    let mut places = 13;
    match precision {
        Some(precision) if precision < places => {
            let dropped = 4 * (places - precision) as u32;
            mantissa = (mantissa + (1 << (dropped - 1))) >> dropped << dropped;
            places = precision;
        }
        Some(_) => {}
        None => {
            let zeros = (mantissa & FRACTION | 1 << 52).trailing_zeros() as usize / 4;
            places -= zeros.min(places);
        }
    }
    out.extend_from_slice((mantissa >> 52).to_string().as_bytes());
    let digits = format!("{:013x}", mantissa & FRACTION);
    let wanted = precision.unwrap_or(places);
    if wanted > 0 || point {
        out.push(b'.');
    }
    out.extend_from_slice(&digits.as_bytes()[..places]);
    out.resize(out.len() + wanted - places, b'0');
    out.extend_from_slice(format!("p{exponent:+}").as_bytes());
}

/// `%q`: a text that Lua reads back.
fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    work(text.len());
    out.push(b'"');
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'"' | b'\\' | b'\n' => out.extend_from_slice(&[b'\\', byte]),
            // As few digits as possible before another character than a digit.
            0..=31 | 127 if text.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                out.extend_from_slice(format!("\\{byte:03}").as_bytes());
            }
            0..=31 | 127 => out.extend_from_slice(format!("\\{byte}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
