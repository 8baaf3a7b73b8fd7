//! The arguments of a query or a form as a Lua table.

use mlua::{IntoLua, Lua, Table, Value as Lv};

use super::uri::decode_form;
use crate::runtime::{bad_argument, check, raise, wrong_type};
use crate::transaction::body::form;

/// At most `limit` arguments, decoded as ngx_lua does, and whether there are more. A name without `=` is `true`; a
/// repeated name gets an array.
///
/// # Errors
/// The script has to stop, or the VM failed.
pub(crate) fn arguments(lua: &Lua, text: &[u8], limit: usize) -> mlua::Result<(Table, bool)> {
    let table = lua.create_table()?;
    let mut count = 0;
    for (name, value) in form::pairs(text) {
        // ngx_lua leaves out arguments without a name.
        if name.is_empty() {
            check()?;
            continue;
        }
        if count == limit {
            return Ok((table, true));
        }
        count += 1;
        let value = match value {
            Some(value) => Lv::String(lua.create_string(decode_form(value)?)?),
            None => Lv::Boolean(true),
        };
        append(lua, &table, &decode_form(name)?, value)?;
    }
    Ok((table, false))
}

/// Sets `name`, or adds `value` to those that it has already.
///
/// # Errors
/// The script has to stop, or the VM failed.
pub(crate) fn append(lua: &Lua, table: &Table, name: &[u8], value: Lv) -> mlua::Result<()> {
    check()?;
    let name = lua.create_string(name)?;
    match table.raw_get(&name)? {
        Lv::Nil => table.raw_set(name, value),
        Lv::Table(several) => several.raw_push(value),
        one => table.raw_set(name, lua.create_sequence_from([one, value])?),
    }
}

/// ngx_lua's mark of an incomplete result: "truncated", or nil.
///
/// # Errors
/// The VM failed.
pub(crate) fn truncated(lua: &Lua, more: bool) -> mlua::Result<Lv> {
    more.then_some("truncated").into_lua(lua)
}

/// A script's limit on headers or arguments, with Kong's checks and words; `default` for nil.
///
/// # Errors
/// It is not a number from 1 to 1000.
pub(crate) fn limit(lua: &Lua, default: usize, given: &Lv, name: &str) -> mlua::Result<usize> {
    let number = match given {
        Lv::Nil => return Ok(default),
        Lv::Integer(number) => *number as f64,
        Lv::Number(number) => *number,
        _ => return Err(raise(lua, &format!("{name} must be a number"))),
    };
    if number.is_nan() || number < 1.0 {
        return Err(raise(lua, &format!("{name} must be >= 1")));
    }
    if number > 1000.0 {
        return Err(raise(lua, &format!("{name} must be <= 1000")));
    }
    Ok(number as usize)
}

/// An argument that has to be a number.
///
/// # Errors
/// It is something else.
pub(crate) fn number(lua: &Lua, position: usize, function: &str, given: &Lv) -> mlua::Result<f64> {
    match given {
        Lv::Integer(number) => Ok(*number as f64),
        Lv::Number(number) => Ok(*number),
        other => Err(wrong_type(lua, position, function, "number", other)),
    }
}

/// The bytes of an argument that has to be a string of at most `limit` bytes.
///
/// # Errors
/// It is something else, or longer.
pub(crate) fn bounded_string(lua: &Lua, function: &str, given: &Lv, limit: usize) -> mlua::Result<Vec<u8>> {
    match given {
        Lv::String(text) if text.as_bytes().len() <= limit => Ok(text.as_bytes().to_vec()),
        Lv::String(_) => Err(bad_argument(lua, 1, function, &format!("longer than {limit} bytes"))),
        other => Err(wrong_type(lua, 1, function, "string", other)),
    }
}
