//! JSON text as Lua values, with cjson's error messages.

use crate::source::numeral;
use mlua::{Lua, Table, Value as Lv};

use super::options::{MAX_DEPTH, Options};
use crate::host::State;
use crate::host::json::ValueError;
use crate::runtime::deadline;

/// Reads `text`, which has to be exactly one value.
///
/// # Errors
/// The text is malformed, in cjson's words; or the script has to stop.
pub(super) fn decode(lua: &Lua, state: &State, options: Options, text: &[u8]) -> Result<Lv, ValueError> {
    if let [a, b, ..] = text
        && (*a == 0 || *b == 0)
    {
        return Err(ValueError::Invalid("JSON parser does not support UTF-16 or UTF-32".to_owned()));
    }
    let mut decoder = Decoder { lua, state, options, text, at: 0, depth: 0 };
    let first = decoder.next()?;
    let value = decoder.value(first)?;
    match decoder.next()? {
        Token { kind: Kind::End, .. } => Ok(value),
        other => Err(expected("the end", &other)),
    }
}

#[derive(Debug)]
enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    End,
    Invalid(&'static str),
}

struct Token {
    kind: Kind,
    /// Offset in bytes.
    at: usize,
}

fn expected(what: &str, found: &Token) -> ValueError {
    let name = match &found.kind {
        Kind::ObjectBegin => "T_OBJ_BEGIN",
        Kind::ObjectEnd => "T_OBJ_END",
        Kind::ArrayBegin => "T_ARR_BEGIN",
        Kind::ArrayEnd => "T_ARR_END",
        Kind::Colon => "T_COLON",
        Kind::Comma => "T_COMMA",
        Kind::String(_) => "T_STRING",
        Kind::Number(_) => "T_NUMBER",
        Kind::Boolean(_) => "T_BOOLEAN",
        Kind::Null => "T_NULL",
        Kind::End => "T_END",
        Kind::Invalid(problem) => problem,
    };
    ValueError::Invalid(format!("Expected {what} but found {name} at character {}", found.at + 1))
}

struct Decoder<'a> {
    lua: &'a Lua,
    state: &'a State,
    options: Options,
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Decoder<'_> {
    fn next(&mut self) -> Result<Token, ValueError> {
        if deadline::is_over() {
            return Err(ValueError::OutOfTime);
        }
        let blank = self.text[self.at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += blank;
        let at = self.at;
        let Some(&byte) = self.text.get(at) else { return Ok(Token { kind: Kind::End, at }) };
        let (kind, length) = match byte {
            b'{' => (Kind::ObjectBegin, 1),
            b'}' => (Kind::ObjectEnd, 1),
            b'[' => (Kind::ArrayBegin, 1),
            b']' => (Kind::ArrayEnd, 1),
            b':' => (Kind::Colon, 1),
            b',' => (Kind::Comma, 1),
            b'"' => return Ok(self.string()),
            b'-' | b'0'..=b'9' => self.number(),
            b'+' if self.options.decode_invalid_numbers => self.number(),
            _ => self.word(),
        };
        self.at += length;
        Ok(Token { kind, at })
    }

    fn word(&self) -> (Kind, usize) {
        let rest = &self.text[self.at..];
        if rest.starts_with(b"true") {
            (Kind::Boolean(true), 4)
        } else if rest.starts_with(b"false") {
            (Kind::Boolean(false), 5)
        } else if rest.starts_with(b"null") {
            (Kind::Null, 4)
        } else {
            self.not_a_number(rest).unwrap_or((Kind::Invalid("invalid token"), 0))
        }
    }

    /// A word that is a number in C, if the options allow it.
    fn not_a_number(&self, rest: &[u8]) -> Option<(Kind, usize)> {
        let words: [(&[u8], f64); 6] = [
            (b"nan", f64::NAN),
            (b"infinity", f64::INFINITY),
            (b"inf", f64::INFINITY),
            (b"-nan", f64::NAN),
            (b"-infinity", f64::NEG_INFINITY),
            (b"-inf", f64::NEG_INFINITY),
        ];
        let is = |word: &[u8]| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let (word, number) = words.into_iter().find(|(word, _)| self.options.decode_invalid_numbers && is(word))?;
        Some((Kind::Number(number), word.len()))
    }

    /// As C's `strtod` reads a number. The option `decode_invalid_numbers` decides about a plus sign, zeros in front, and
    /// hexadecimal digits.
    fn number(&self) -> (Kind, usize) {
        let rest = &self.text[self.at..];
        let digits = |from: usize| rest[from.min(rest.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let invalid = self.options.decode_invalid_numbers;
        let mut end = usize::from(matches!(rest[0], b'-' | b'+'));
        if let (true, [b'0', b'x' | b'X', hexadecimal @ ..]) = (invalid, &rest[end..]) {
            let length = hexadecimal.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            if let Some(number) = numeral::hexadecimal(&hexadecimal[..length]) {
                return (Kind::Number(if rest[0] == b'-' { -number } else { number }), end + 2 + length);
            }
        }
        let whole = digits(end);
        if whole == 0
            && let Some(found) = self.not_a_number(rest)
        {
            return found;
        }
        if whole == 0 || (!invalid && whole > 1 && rest[end] == b'0') {
            return (Kind::Invalid("invalid number"), 0);
        }
        end += whole;
        if rest.get(end) == Some(&b'.') {
            end += 1 + digits(end + 1);
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let number = std::str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse().ok());
        match number {
            Some(number) => (Kind::Number(number), end),
            None => (Kind::Invalid("invalid number"), 0),
        }
    }

    /// The string that begins here. An error has the position of the invalid character.
    fn string(&mut self) -> Token {
        let begin = self.at;
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(step) = memchr::memchr3(b'"', b'\\', 0, rest) else {
                self.at = self.text.len();
                return Token { kind: Kind::Invalid("unexpected end of string"), at: self.at };
            };
            out.extend_from_slice(&rest[..step]);
            self.at += step;
            match rest[step] {
                b'"' => {
                    self.at += 1;
                    return Token { kind: Kind::String(out), at: begin };
                }
                0 => return Token { kind: Kind::Invalid("unexpected end of string"), at: self.at },
                _ => match self.escape(&mut out) {
                    Ok(length) => self.at += length,
                    Err(problem) => return Token { kind: Kind::Invalid(problem), at: self.at },
                },
            }
        }
    }

    /// Appends the character of the escape here and returns the length of the escape.
    fn escape(&self, out: &mut Vec<u8>) -> Result<usize, &'static str> {
        const INVALID: &str = "invalid unicode escape code";
        let rest = &self.text[self.at..];
        out.push(match rest.get(1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let first = unit(rest).ok_or(INVALID)?;
                let (character, length) = match first {
                    0xd800..0xdc00 => {
                        let second = unit(&rest[6..]).filter(|unit| (0xdc00..0xe000).contains(unit)).ok_or(INVALID)?;
                        (0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), 12)
                    }
                    _ => (first, 6),
                };
                let character = char::from_u32(character).ok_or(INVALID)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(length);
            }
            _ => return Err("invalid escape code"),
        });
        Ok(2)
    }

    fn value(&mut self, token: Token) -> Result<Lv, ValueError> {
        match token.kind {
            Kind::String(bytes) => Ok(Lv::String(self.lua.create_string(bytes)?)),
            Kind::Number(number) => Ok(Lv::Number(number)),
            Kind::Boolean(value) => Ok(Lv::Boolean(value)),
            Kind::Null => Ok(Lv::NULL),
            Kind::ObjectBegin => self.nested(Self::object),
            Kind::ArrayBegin => self.nested(Self::array),
            _ => Err(expected("value", &token)),
        }
    }

    fn nested(&mut self, read: fn(&mut Self, &Table) -> Result<(), ValueError>) -> Result<Lv, ValueError> {
        let deepest = self.options.decode_depth.unsigned_abs().min(MAX_DEPTH as u64) as usize;
        self.depth += 1;
        if self.depth > deepest {
            let (depth, at) = (self.depth, self.at);
            return Err(ValueError::Invalid(format!(
                "Found too many nested data structures ({depth}) at character {at}"
            )));
        }
        let table = self.lua.create_table()?;
        read(self, &table)?;
        self.depth -= 1;
        Ok(Lv::Table(table))
    }

    fn object(&mut self, table: &Table) -> Result<(), ValueError> {
        let mut token = self.next()?;
        if matches!(token.kind, Kind::ObjectEnd) {
            return Ok(());
        }
        loop {
            let Kind::String(key) = token.kind else { return Err(expected("object key string", &token)) };
            let key = self.lua.create_string(key)?;
            let colon = self.next()?;
            if !matches!(colon.kind, Kind::Colon) {
                return Err(expected("colon", &colon));
            }
            let first = self.next()?;
            let value = self.value(first)?;
            table.raw_set(key, value)?;
            token = self.next()?;
            match token.kind {
                Kind::ObjectEnd => return Ok(()),
                Kind::Comma => token = self.next()?,
                _ => return Err(expected("comma or object end", &token)),
            }
        }
    }

    fn array(&mut self, table: &Table) -> Result<(), ValueError> {
        if self.options.array_with_array_mt {
            table.set_metatable(Some(self.state.array_mark.clone()))?;
        }
        let mut token = self.next()?;
        if matches!(token.kind, Kind::ArrayEnd) {
            return Ok(());
        }
        for at in 1.. {
            let value = self.value(token)?;
            table.raw_set(at, value)?;
            token = self.next()?;
            match token.kind {
                Kind::ArrayEnd => break,
                Kind::Comma => token = self.next()?,
                _ => return Err(expected("comma or array end", &token)),
            }
        }
        Ok(())
    }
}

/// The number in `\uXXXX`.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
