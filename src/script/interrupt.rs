//! The VM's interrupt, which Luau calls at every call, return and turn of a loop, and inside pattern matching.
//!
//! Set without mlua's wrapper, which costs a snippet more than its own work: `return 'x'` took 806 ns with the
//! wrapper and 384 ns without, `kong.request.get_header` 1,152 ns and 656 ns (`make bench`).
#![expect(unsafe_code, reason = "mlua offers the interrupt only behind a closure that is called through a guard")]

use std::ffi::c_int;

use mlua::{Lua, ffi};

use super::deadline;

/// Makes `lua` stop scripts whose time is over.
pub(super) fn install(lua: &Lua) -> mlua::Result<()> {
    // SAFETY: `state` is the VM's own and valid for the call; `lua_callbacks` gives its table of callbacks, which
    // lives as long as the VM. `interrupt` has the type that Luau asks for and needs nothing but the state.
    unsafe {
        lua.exec_raw((), |state| {
            (*ffi::lua_callbacks(state)).interrupt = Some(interrupt);
        })
    }
}

/// Raises an error where the time is over. The collector's calls (`gc` not negative) must not be left by an error.
unsafe extern "C-unwind" fn interrupt(state: *mut ffi::lua_State, gc: c_int) {
    if gc < 0 && deadline::is_over() {
        // SAFETY: Luau calls the interrupt at points where an error may be raised, with the state that runs. Nothing
        // here has a destructor that the unwinding would pass over.
        unsafe { ffi::luaL_error(state, MESSAGE.as_ptr()) }
    }
}

/// Raised at every turn once the deadline has passed.
pub(super) const OUT_OF_TIME: &str = "the snippet's time is over";

const MESSAGE: &std::ffi::CStr = c"the snippet's time is over";
