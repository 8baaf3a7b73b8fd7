//! The Lua sources of the program itself, compiled once per process: a compiler leaves memory behind on every thread
//! that it ran on.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua};

/// Bytecode by the address of its source, which is static.
static COMPILED: Mutex<Option<HashMap<usize, Arc<[u8]>>>> = Mutex::new(None);

/// Compiles `source` unless an earlier call has.
///
/// # Errors
/// The source does not compile, which a test rules out.
pub(crate) fn compile(source: &'static str) -> mlua::Result<Arc<[u8]>> {
    let mut compiled = COMPILED.lock();
    let compiled = compiled.get_or_insert_default();
    if let Some(code) = compiled.get(&source.as_ptr().addr()) {
        return Ok(code.clone());
    }
    // Inlining would move the positions that errors report.
    let code: Arc<[u8]> = Compiler::new().set_optimization_level(1).set_debug_level(1).compile(source)?.into();
    compiled.insert(source.as_ptr().addr(), code.clone());
    Ok(code)
}

/// Loads `source` as a function.
///
/// # Errors
/// The VM has no memory left for it.
pub(crate) fn load(lua: &Lua, source: &'static str) -> mlua::Result<Function> {
    let code = compile(source)?;
    lua.load(&*code).set_name("=logphase").set_mode(ChunkMode::Binary).into_function()
}
