//! Modules that Kong's LuaJIT has and Luau lacks, written in Lua.

use mlua::{Lua, Table};

const PRELUDE: &str = include_str!("../../lua/prelude.luau");

/// The modules by name, not yet frozen.
pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    lua.load(PRELUDE).set_name("=logphase").eval()
}
