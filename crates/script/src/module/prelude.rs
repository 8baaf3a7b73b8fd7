//! Libraries that Kong's LuaJIT has and Luau lacks, written in Lua.

use crate::host::text::first_offset;
use crate::runtime::{bundled, deadline, host_function, script_error, work};
use mlua::{Lua, LuaString, Table, Value};

pub(super) const PRELUDE: &str = include_str!("../../../../lua/prelude.luau");

/// The modules by name, not yet frozen.
pub(crate) fn load(lua: &Lua, quirks: bool) -> mlua::Result<Table> {
    let find_plain = host_function(lua, find_plain)?;
    let host_error = host_function(lua, |lua, problem: Value| match problem {
        Value::Error(error) => Ok(Some(lua.create_string(script_error(&error).message)?)),
        _ => Ok(None),
    })?;
    let out_of_memory = host_function(lua, |_, (): ()| {
        deadline::out_of_memory();
        Ok(())
    })?;
    let pattern = super::pattern::functions(lua)?;
    bundled::load(lua, PRELUDE)?.call((find_plain, host_error, out_of_memory, quirks, pattern))
}

/// `string.find` for plain text, in linear time.
fn find_plain(
    _: &Lua,
    (text, wanted, from): (LuaString, LuaString, Option<f64>),
) -> mlua::Result<(Option<usize>, Option<usize>)> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    work(text.len());
    // Nothing is found past the end.
    let from = first_offset(text.len(), from.unwrap_or(1.0));
    let found = text.get(from..).and_then(|rest| memchr::memmem::find(rest, &wanted));
    Ok((found.map(|at| from + at + 1), found.map(|at| from + at + wanted.len())))
}
