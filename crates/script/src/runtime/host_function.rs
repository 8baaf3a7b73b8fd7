//! Functions of the host in Lua.

use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua};

use super::deadline::check;

/// Makes a function for scripts. Each call stops a script whose time is over: a library function may call it many times
/// without any Lua in between, like `table.sort` its comparator.
///
/// # Errors
/// The VM has no memory left for it.
pub(crate) fn host_function<A, R>(
    lua: &Lua,
    function: impl Fn(&Lua, A) -> mlua::Result<R> + 'static,
) -> mlua::Result<Function>
where
    A: FromLuaMulti + 'static,
    R: IntoLuaMulti + 'static,
{
    lua.create_function(move |lua, arguments: A| {
        check()?;
        function(lua, arguments)
    })
}
