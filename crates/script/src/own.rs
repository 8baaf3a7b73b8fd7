//! Our own Lua, compiled once for the process: a compiler leaves every thread that it ran on with memory.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua};

/// Compiled texts by their place in the program.
static COMPILED: Mutex<Option<HashMap<usize, Arc<[u8]>>>> = Mutex::new(None);

/// Compiles `source`, unless that was done.
///
/// # Errors
/// It is no Lua, which a test would have shown.
pub(super) fn compile(source: &'static str) -> mlua::Result<Arc<[u8]>> {
    let mut compiled = COMPILED.lock();
    let compiled = compiled.get_or_insert_default();
    if let Some(code) = compiled.get(&source.as_ptr().addr()) {
        return Ok(code.clone());
    }
    // Inlining would move the places that our errors point at.
    let code: Arc<[u8]> = Compiler::new().set_optimization_level(1).set_debug_level(1).compile(source)?.into();
    compiled.insert(source.as_ptr().addr(), code.clone());
    Ok(code)
}

/// The function that `source` is.
///
/// # Errors
/// The VM has no room for it.
pub(super) fn load(lua: &Lua, source: &'static str) -> mlua::Result<Function> {
    let code = compile(source)?;
    lua.load(&*code).set_name("=logphase").set_mode(ChunkMode::Binary).into_function()
}
