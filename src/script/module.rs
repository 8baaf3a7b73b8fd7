//! Modules that Kong's LuaJIT has and Luau lacks, written in Lua.

use mlua::{Lua, Table, Value};

use super::vm::script_error;

const PRELUDE: &str = include_str!("../../lua/prelude.luau");

/// How errors begin whose place is in the modules themselves.
pub(super) const PLACE: &str = "logphase:";

/// The modules by name, not yet frozen.
pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    let host_error = lua.create_function(|lua, problem: Value| match problem {
        Value::Error(error) => Ok(Some(lua.create_string(script_error(&error).message)?)),
        _ => Ok(None),
    })?;
    lua.load(PRELUDE).set_name("=logphase").call(host_error)
}
