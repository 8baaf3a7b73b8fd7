//! Modules that Kong's LuaJIT has and Luau lacks, written in Lua.

use mlua::{Lua, Table};

const PRELUDE: &str = include_str!("../../lua/prelude.luau");

/// How errors begin whose place is in the modules themselves.
pub(super) const PLACE: &str = "logphase:";

/// The modules by name, not yet frozen.
pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    lua.load(PRELUDE).set_name("=logphase").eval()
}
