//! The VM's interrupt, which Luau calls at every call, return and turn of a loop, and inside pattern matching.

use mlua::{Lua, VmState};

use super::deadline;

/// Raised at every turn once the deadline has passed.
pub(super) const OUT_OF_TIME: &str = "the snippet's time is over";

/// Makes `lua` stop scripts whose time is over.
pub(super) fn install(lua: &Lua) {
    lua.set_interrupt(|_| match deadline::is_over() {
        false => Ok(VmState::Continue),
        true => Err(mlua::Error::runtime(OUT_OF_TIME)),
    });
}
