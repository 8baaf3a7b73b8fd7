//! Escapes in URIs, arguments, and SQL strings.

use mlua::{Lua, Table, Value as Lv};

use super::argument::{limit, with_truncated};
use crate::host::Module;
use crate::host::arguments::arguments;
use crate::host::text::{MAX_TEXT, in_chunks, text_of};
use crate::host::uri::{decode_form, encode, is_unreserved};
use crate::runtime::{check, kind_name, raise, wrong_type};

/// Adds `ngx.escape_uri`, `ngx.unescape_uri`, `ngx.quote_sql_str`, `ngx.encode_args` and `ngx.decode_args`.
pub(super) fn add(module: &mut Module<'_>) -> mlua::Result<()> {
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
        lua.create_string(encode(&bytes, escaped)?)
    })?;
    module.function("unescape_uri", |lua, _, text: Lv| {
        lua.create_string(decode_form(&text_of(lua, &text, "unescape_uri", 1)?)?)
    })?;
    module.function("quote_sql_str", |lua, _, text: Lv| {
        if text.is_nil() {
            return Err(wrong_type(lua, 1, "quote_sql_str", "string", &text));
        }
        lua.create_string(quote(&text_of(lua, &text, "quote_sql_str", 1)?)?)
    })?;
    module.function("encode_args", |lua, _, arguments: Lv| match arguments {
        Lv::Table(table) => lua.create_string(encode_args(lua, &table)?),
        other => Err(wrong_type(lua, 1, "encode_args", "table", &other)),
    })?;
    module.function("decode_args", |lua, _, (text, max_args): (Lv, Lv)| {
        let Lv::String(_) = &text else { return Err(wrong_type(lua, 1, "decode_args", "string", &text)) };
        let limit = limit(lua, 100, &max_args, "decode_args", 2)?;
        let (table, more) = arguments(lua, &text_of(lua, &text, "decode_args", 1)?, limit)?;
        with_truncated(lua, table, more)
    })
}

fn in_address(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'#' | b'%' | b'?' | 0x7f..)
}

fn in_arguments(byte: u8) -> bool {
    in_address(byte) || byte == b'+'
}

/// nginx leaves the marks of RFC 2396 alone, too.
fn in_component(byte: u8) -> bool {
    !is_unreserved(byte) && !matches!(byte, b'!' | b'\'' | b'(' | b')' | b'*')
}

/// Quotes a string by MySQL's rules.
fn quote(text: &[u8]) -> mlua::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'\'');
    in_chunks(text, |chunk| {
        for &byte in chunk {
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

/// `{a = 1, b = {"x", true}}` as `a=1&b=x&b`, sorted by name. nginx's order is the table's, which is undefined.
pub(super) fn encode_args(lua: &Lua, table: &Table) -> mlua::Result<Vec<u8>> {
    let mut pairs: Vec<(Vec<u8>, Vec<Lv>)> = Vec::new();
    let mut room = MAX_PAIRS;
    table.for_each(|name: Lv, value: Lv| {
        let name = match &name {
            Lv::String(name) => name.as_bytes().to_vec(),
            _ => return Err(raise(lua, "attempt to use a non-string key in the \"args\" option table")),
        };
        let values = match value {
            Lv::Table(several) => several.sequence_values::<Lv>().take(room + 1).collect::<mlua::Result<Vec<_>>>()?,
            one => vec![one],
        };
        room = room
            .checked_sub(values.len().max(1))
            .ok_or_else(|| raise(lua, &format!("more than {MAX_PAIRS} arguments")))?;
        pairs.push((name, values));
        check()
    })?;
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = Vec::new();
    for (name, values) in &pairs {
        let name = encode(name, in_component)?;
        for value in values {
            push_argument(lua, &mut out, &name, value)?;
        }
    }
    Ok(out)
}

const MAX_PAIRS: usize = 10_000;

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
        out.extend_from_slice(&encode(&value, in_component)?);
    }
    if out.len() > MAX_TEXT {
        return Err(raise(lua, &format!("arguments are longer than {} bytes", MAX_TEXT)));
    }
    check()
}
