//! Base64, escapes in addresses, arguments, and SQL texts.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mlua::{IntoLuaMulti, Lua, Table, Value as Lv};

use super::super::convert::kind_name;
use super::super::deadline;
use super::super::interrupt::OUT_OF_TIME;
use super::super::pdk::{Module, raise};
use super::{in_pieces, number_text, text_of};

/// ngx_lua decodes with and without padding.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const DECODER: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Adds `ngx.encode_base64` and its kin.
pub(in super::super) fn add(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("encode_base64", |lua, _, (text, no_padding): (Lv, Option<bool>)| {
        let bytes = text_of(lua, &text, "encode_base64", 1)?;
        let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let text = if no_padding == Some(true) { encoded.trim_end_matches('=') } else { &encoded };
        lua.create_string(text)
    })?;
    module.function("decode_base64", |lua, _, text: Lv| {
        let Lv::String(_) = &text else { return Err(raise(lua, "string argument only")) };
        DECODER.decode(text_of(lua, &text, "decode_base64", 1)?).ok().map(|bytes| lua.create_string(bytes)).transpose()
    })?;
    module.function("decode_base64mime", |lua, _, text: Lv| {
        let Lv::String(_) = &text else { return Err(raise(lua, "string argument only")) };
        let mut kept = text_of(lua, &text, "decode_base64mime", 1)?;
        kept.retain(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
        DECODER.decode(kept).ok().map(|bytes| lua.create_string(bytes)).transpose()
    })?;
    module.function("escape_uri", |lua, _, (text, kind): (Lv, Lv)| {
        let bytes = text_of(lua, &text, "escape_uri", 1)?;
        let escaped: fn(u8) -> bool = match kind.as_f64().or_else(|| kind.as_i64().map(|kind| kind as f64)) {
            None if kind.is_nil() => in_component,
            None => return Err(raise(lua, "\"esc_type\" is not number")),
            Some(0.0) => in_address,
            Some(1.0) => in_arguments,
            Some(2.0) => in_component,
            Some(kind) => return Err(raise(lua, &format!("\"esc_type\" {kind} is not one of 0, 1 and 2"))),
        };
        lua.create_string(escape(&bytes, escaped)?)
    })?;
    module.function("unescape_uri", |lua, _, text: Lv| {
        lua.create_string(unescape(&text_of(lua, &text, "unescape_uri", 1)?)?)
    })?;
    module.function("quote_sql_str", |lua, _, text: Lv| {
        lua.create_string(quote(&text_of(lua, &text, "quote_sql_str", 1)?)?)
    })?;
    module.function("encode_args", |lua, _, arguments: Lv| match arguments {
        Lv::Table(table) => lua.create_string(encode_args(lua, &table)?),
        other => {
            let message = format!("bad argument #1 to 'encode_args' (table expected, got {})", kind_name(&other));
            Err(raise(lua, &message))
        }
    })?;
    module.function("decode_args", |lua, _, (text, most): (Lv, Lv)| {
        let Lv::String(_) = &text else {
            let message = format!("bad argument #1 to 'decode_args' (string expected, got {})", kind_name(&text));
            return Err(raise(lua, &message));
        };
        let most = super::most(lua, 100, &most, "decode_args", 2)?;
        let (table, cut) = arguments(lua, &text_of(lua, &text, "decode_args", 1)?, most)?;
        super::with_cut(lua, table, cut)
    })
}

/// The module `ngx.base64` (lua-resty-core).
pub(in super::super) fn for_urls(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("encode_base64url", |lua, _, text: Lv| match &text {
        Lv::String(_) => {
            lua.create_string(FOR_URLS.encode(text_of(lua, &text, "encode_base64url", 1)?))?.into_lua_multi(lua)
        }
        _ => (Lv::Nil, "must provide a string").into_lua_multi(lua),
    })?;
    module.function("decode_base64url", |lua, _, text: Lv| match &text {
        Lv::String(_) => match FOR_URLS.decode(text_of(lua, &text, "decode_base64url", 1)?) {
            Ok(bytes) => lua.create_string(bytes)?.into_lua_multi(lua),
            Err(_) => (Lv::Nil, "invalid input").into_lua_multi(lua),
        },
        _ => (Lv::Nil, "must provide a string").into_lua_multi(lua),
    })
}

/// Bytes for URLs in base64 without padding.
pub(in super::super) fn url_safe(bytes: &[u8]) -> String {
    FOR_URLS.encode(bytes)
}

fn in_address(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'#' | b'%' | b'?' | 0x7f..)
}

fn in_arguments(byte: u8) -> bool {
    in_address(byte) || matches!(byte, b'&' | b'+')
}

fn in_component(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Each byte for which `escaped` holds as `%XX`.
pub(in super::super) fn escape(text: &[u8], escaped: impl Fn(u8) -> bool) -> mlua::Result<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len());
    in_pieces(text, |piece| {
        for &byte in piece {
            if escaped(byte) {
                out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            } else {
                out.push(byte);
            }
        }
    })?;
    Ok(out)
}

/// `%XX` as the byte and `+` as a blank; what is no escape stays.
fn unescape(text: &[u8]) -> mlua::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        rest = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                &after[2..]
            }
            (b'+', ..) => {
                out.push(b' ');
                after
            }
            _ => {
                out.push(*first);
                after
            }
        };
        if out.len() % 65_536 == 0 && deadline::is_over() {
            return Err(mlua::Error::runtime(OUT_OF_TIME));
        }
    }
    Ok(out)
}

/// MySQL's rules.
fn quote(text: &[u8]) -> mlua::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'\'');
    in_pieces(text, |piece| {
        for &byte in piece {
            let letter = match byte {
                0 => b'0',
                0x08 => b'b',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x1a => b'Z',
                b'\\' | b'\'' | b'"' => byte,
                _ => {
                    out.push(byte);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', letter]);
        }
    })?;
    out.push(b'\'');
    Ok(out)
}

/// The arguments of a query or a form as ngx_lua gives them, `most` at most (0: all); with whether some were cut.
/// A name without `=` is `true`, one that is given again makes an array.
pub(super) fn arguments(lua: &Lua, text: &[u8], most: usize) -> mlua::Result<(Table, bool)> {
    let table = lua.create_table()?;
    let mut count = 0;
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if most > 0 && count >= most {
            return Ok((table, true));
        }
        if deadline::is_over() {
            return Err(mlua::Error::runtime(OUT_OF_TIME));
        }
        let (name, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], Some(&pair[at + 1..])),
            None => (pair, None),
        };
        if name.is_empty() {
            continue;
        }
        count += 1;
        let name = lua.create_string(unescape(name)?)?;
        let value = match value {
            Some(value) => Lv::String(lua.create_string(unescape(value)?)?),
            None => Lv::Boolean(true),
        };
        match table.raw_get::<Lv>(&name)? {
            Lv::Nil => table.raw_set(name, value)?,
            Lv::Table(several) => several.raw_push(value)?,
            one => table.raw_set(name, lua.create_sequence_from([one, value])?)?,
        }
    }
    Ok((table, false))
}

/// `{a = 1, b = {"x", true}}` as `a=1&b=x&b`, by name. nginx's order is the table's, which nobody can rely on.
fn encode_args(lua: &Lua, table: &Table) -> mlua::Result<Vec<u8>> {
    let mut pairs: Vec<(Vec<u8>, Vec<Lv>)> = Vec::new();
    let mut room = MOST_PAIRS;
    table.for_each(|name: Lv, value: Lv| {
        let name = match &name {
            Lv::String(name) => name.as_bytes().to_vec(),
            Lv::Integer(number) => number.to_string().into_bytes(),
            Lv::Number(number) => number_text(*number).into_bytes(),
            _ => return Err(raise(lua, "attempt to use a non-string key in the 'args' option table")),
        };
        let values = match value {
            Lv::Table(several) => several.sequence_values::<Lv>().take(room + 1).collect::<mlua::Result<Vec<_>>>()?,
            one => vec![one],
        };
        room = room
            .checked_sub(values.len().max(1))
            .ok_or_else(|| raise(lua, &format!("more than {MOST_PAIRS} arguments")))?;
        pairs.push((name, values));
        if deadline::is_over() { Err(mlua::Error::runtime(OUT_OF_TIME)) } else { Ok(()) }
    })?;
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = Vec::new();
    for (name, values) in &pairs {
        let name = escape(name, in_component)?;
        for value in values {
            push_argument(lua, &mut out, &name, value)?;
        }
    }
    Ok(out)
}

const MOST_PAIRS: usize = 10_000;

fn push_argument(lua: &Lua, out: &mut Vec<u8>, name: &[u8], value: &Lv) -> mlua::Result<()> {
    let value = match value {
        Lv::Boolean(false) => return Ok(()),
        Lv::Boolean(true) => None,
        Lv::String(_) | Lv::Integer(_) | Lv::Number(_) => Some(text_of(lua, value, "encode_args", 1)?),
        other => return Err(raise(lua, &format!("attempt to use {} as query arg value", kind_name(other)))),
    };
    if !out.is_empty() {
        out.push(b'&');
    }
    out.extend_from_slice(name);
    if let Some(value) = value {
        out.push(b'=');
        out.extend_from_slice(&escape(&value, in_component)?);
    }
    if out.len() > super::LONGEST {
        return Err(raise(lua, &format!("arguments are longer than {} bytes", super::LONGEST)));
    }
    if deadline::is_over() { Err(mlua::Error::runtime(OUT_OF_TIME)) } else { Ok(()) }
}
