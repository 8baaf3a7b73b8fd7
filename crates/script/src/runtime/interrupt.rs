//! The VM's interrupt, which Luau calls at every call, return and loop iteration, and inside pattern matching.
//!
//! mlua's own interrupt builds an error object with a traceback each time it raises. A script that recurses and catches
//! as deep as it can is interrupted hundreds of times, and would pay for its whole stack each time.

use std::ffi::c_int;

use mlua::{Lua, ffi};

use super::deadline::{OUT_OF_TIME, is_over};

/// Installs the interrupt that stops scripts whose time is over.
///
/// # Errors
/// The VM has no memory left for the call.
#[expect(unsafe_code, reason = "mlua offers no interrupt that raises a plain string")]
pub(crate) fn install(lua: &Lua) -> mlua::Result<()> {
    // SAFETY: `state` is the state of this live VM, and its callbacks live as long as it does. Nothing is pushed or
    // taken, as exec_raw asks where no value is returned.
    unsafe {
        lua.exec_raw::<()>((), |state| {
            (*ffi::lua_callbacks(state)).interrupt = Some(interrupt);
        })
    }
}

/// Called by the VM at a safe point; `gc` is negative unless the garbage collector calls.
#[expect(unsafe_code, reason = "called by the VM")]
unsafe extern "C-unwind" fn interrupt(state: *mut ffi::lua_State, gc: c_int) {
    // An error must not unwind through the collector.
    if gc >= 0 || !is_over() {
        return;
    }
    // SAFETY: `state` is the running thread's, at a point where the VM allows errors (Luau's lua_Callbacks); the check
    // for room may itself raise. This frame owns nothing that unwinding past it would have to drop.
    unsafe {
        ffi::lua_rawcheckstack(state, 1);
        ffi::lua_pushlstring(state, OUT_OF_TIME.as_ptr().cast(), OUT_OF_TIME.len());
        ffi::lua_error(state);
    }
}
