//! Limits of counts as ngx_lua takes them, and results that may be incomplete.

use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value as Lv};

use crate::host::text::to_number;
use crate::runtime::wrong_type;

/// A limit on headers or arguments: `default` for nil and negative numbers; 0 means no limit.
///
/// # Errors
/// It is not a number.
pub(super) fn limit(lua: &Lua, default: usize, given: &Lv, function: &str, position: usize) -> mlua::Result<usize> {
    let count = match (given, to_number(given)) {
        (Lv::Nil, _) => default,
        (_, Some(number)) if number >= 0.0 => number as usize,
        (_, Some(_)) => default,
        (other, None) => return Err(wrong_type(lua, position, function, "number", other)),
    };
    Ok(if count == 0 { usize::MAX } else { count })
}

/// A table, and "truncated" if it is incomplete. A complete one is a single value, so that it can be the last argument
/// of a call.
///
/// # Errors
/// The VM failed.
pub(super) fn with_truncated(lua: &Lua, table: Table, more: bool) -> mlua::Result<MultiValue> {
    if more { (table, "truncated").into_lua_multi(lua) } else { table.into_lua_multi(lua) }
}
