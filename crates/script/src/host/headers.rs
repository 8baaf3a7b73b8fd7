//! Headers as Lua values and tables.

use mlua::{Lua, Table, Value as Lv};

use super::changes::{apply_to_headers, value_of};
use super::state::State;
use crate::runtime::{frozen, host_function};
use crate::transaction::{Level, Value, View, text};

/// The first value of a header or an argument that may have several.
///
/// # Errors
/// The VM failed.
pub(crate) fn first<'a>(lua: &Lua, state: &State, view: View<'a>) -> mlua::Result<Lv> {
    match view.value() {
        Value::Array(elements) => elements.first().map_or(Ok(Lv::Nil), |first| state.to_lua(lua, *first)),
        Value::String(bytes) => Ok(Lv::String(lua.create_string(bytes.as_ref())?)),
        _ => state.to_lua(lua, view),
    }
}

/// The first value of the header `name`, or nil.
///
/// # Errors
/// The VM failed.
pub(crate) fn first_header(lua: &Lua, state: &State, level: Level, name: &[u8]) -> mlua::Result<Lv> {
    if level == Level::RequestHeaders
        && let Some(values) = state.changes.borrow().header(name)
    {
        return value_of(lua, &values[..values.len().min(1)]);
    }
    let value = state.with(|transaction| transaction.header(level, name).map(|value| first(lua, state, value)));
    value.flatten().unwrap_or(Ok(Lv::Nil))
}

/// At most `limit` headers of the transaction, and whether there are more. Names are in lower case; the table finds them
/// in any case and with `_` for `-`.
///
/// # Errors
/// The VM failed.
pub(crate) fn header_table(lua: &Lua, state: &State, level: Level, limit: usize) -> mlua::Result<(Table, bool)> {
    let table = lua.create_table()?;
    let headers = state.with(|transaction| -> mlua::Result<usize> {
        let bytes = transaction.bytes();
        let mut count = 0;
        for member in transaction.members_at(level) {
            if count < limit {
                let name = lua.create_string(text::unescape(member.key.of(bytes)).to_ascii_lowercase())?;
                table.raw_set(name, state.to_lua(lua, View::new(member.value.of(bytes)))?)?;
            }
            count += 1;
        }
        Ok(count)
    });
    apply_to_headers(lua, state, level, &table)?;
    find_any_case(lua, &table)?;
    let more = headers.transpose()?.is_some_and(|count| count > limit);
    Ok((table, more))
}

/// Like [`header_table`], of the members of `headers`.
///
/// # Errors
/// The VM failed.
pub(crate) fn header_table_of(
    lua: &Lua,
    state: &State,
    headers: View<'_>,
    limit: usize,
) -> mlua::Result<(Table, bool)> {
    let table = lua.create_table()?;
    let Value::Object(members) = headers.value() else {
        find_any_case(lua, &table)?;
        return Ok((table, false));
    };
    let more = members.len() > limit;
    for (name, value) in members.into_iter().take(limit) {
        table.raw_set(lua.create_string(name.to_ascii_lowercase())?, state.to_lua(lua, value)?)?;
    }
    find_any_case(lua, &table)?;
    Ok((table, more))
}

/// Makes a table of headers find names in any case and with `_` for `-`.
///
/// # Errors
/// The VM failed.
pub(crate) fn find_any_case(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let metatable = lua.create_table()?;
    let find = |lua: &Lua, (table, name): (Table, Lv)| {
        let Lv::String(name) = name else { return Ok(Lv::Nil) };
        let mut name = name.as_bytes().to_ascii_lowercase();
        // As it is, with `-` for `_`, and the other way round.
        for (from, to) in [(b' ', b' '), (b'_', b'-'), (b'-', b'_')] {
            name.iter_mut().filter(|byte| **byte == from).for_each(|byte| *byte = to);
            let value: Lv = table.raw_get(lua.create_string(&name)?)?;
            if !value.is_nil() {
                return Ok(value);
            }
        }
        Ok(Lv::Nil)
    };
    metatable.raw_set("__index", host_function(lua, find)?)?;
    table.set_metatable(Some(frozen(metatable)))
}
