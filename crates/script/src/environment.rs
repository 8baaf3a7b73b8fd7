//! The environment of scripts: frozen names from Kong's list, and a table of globals for each snippet.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv};

use crate::host::{Dialect, Loader, State};
use crate::runtime::{frozen, host_function};
use crate::{module, ngx, pdk};

/// Luau's own functions that are on Kong's list (kong-lua-sandbox and the `strict` list of Kong 3.14), without those that
/// Kong's Kafka Log page names as not available.
const GLOBALS: [&str; 6] = ["error", "ipairs", "next", "pairs", "select", "type"];
const COROUTINE: [&str; 6] = ["create", "resume", "running", "status", "wrap", "yield"];
const MATH: [&str; 29] = [
    "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod", "frexp", "huge",
    "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow", "rad", "random", "sin", "sinh", "sqrt", "tan", "tanh",
];
const STRING: [&str; 12] =
    ["byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "reverse", "sub", "upper"];
const TABLE: [&str; 12] =
    ["clear", "clone", "concat", "foreach", "foreachi", "getn", "insert", "maxn", "move", "pack", "remove", "sort"];
const LIBRARIES: [&str; 8] = ["bit", "coroutine", "io", "jit", "math", "os", "string", "table"];
const OS: [&str; 3] = ["clock", "difftime", "time"];

/// The modules that scripts can be allowed to require, by name.
pub fn modules() -> Vec<&'static str> {
    let mut names: Vec<_> = offered_modules().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}

fn offered_modules() -> impl Iterator<Item = &'static (&'static str, Loader)> {
    module::MODULES.iter().chain(ngx::MODULES)
}

/// The frozen names that all snippets share, and the means to give each snippet its own globals on top.
pub(super) struct Environment {
    metatable: Table,
    /// Resets the state of the bundled Lua, which a stopped script may have left inconsistent.
    reset: Function,
}

impl Environment {
    pub(super) fn new(lua: &Lua, state: &Rc<State>, dialect: &Dialect) -> mlua::Result<Self> {
        let bundled = module::load(lua, state)?;
        let base = base(lua, state, dialect, &bundled)?;
        let metatable = lua.create_table()?;
        metatable.raw_set("__index", base.clone())?;
        let shared = state.clone();
        // Most snippets set no global, and only those that do pay for the cleanup.
        let set = host_function(lua, move |_, (globals, name, value): (Table, Lv, Lv)| {
            globals.raw_set(name, value)?;
            shared.modified_globals.borrow_mut().push(globals);
            Ok(())
        })?;
        metatable.raw_set("__newindex", set)?;
        metatable.raw_set("__metatable", false)?;
        metatable.set_readonly(true);
        // When it loads a chunk, Luau resolves names among the VM's globals whatever the chunk's environment, so these
        // must be the names of scripts and no others.
        lua.set_globals(base)?;
        // Freezes the metatable of strings and the rest of Luau's own libraries.
        lua.sandbox(true)?;
        Ok(Self { metatable, reset: bundled.raw_get("reset")? })
    }

    /// An environment for one snippet.
    pub(super) fn fresh(&self, lua: &Lua) -> mlua::Result<Table> {
        let globals = lua.create_table()?;
        globals.set_metatable(Some(self.metatable.clone()))?;
        // Only the snippet writes to it, so Luau may resolve names when it loads the snippet.
        globals.set_safeenv(true);
        Ok(globals)
    }

    /// Prepares for the next script after one that failed.
    pub(super) fn reset(&self) {
        // The function only assigns a number and cannot fail.
        let _ = self.reset.call::<()>(());
    }

    /// Removes the globals that the last snippet set.
    pub(super) fn clean(&self, state: &State) {
        if state.modified_globals.borrow().is_empty() {
            return;
        }
        for globals in state.modified_globals.borrow_mut().drain(..) {
            // A snippet's environment is never frozen, so clearing it cannot fail.
            let _ = globals.clear();
        }
    }
}

fn base(lua: &Lua, state: &Rc<State>, dialect: &Dialect, bundled: &Table) -> mlua::Result<Table> {
    let globals = lua.globals();
    let base = lua.create_table()?;
    for name in GLOBALS {
        base.raw_set(name, globals.raw_get::<Function>(name)?)?;
    }
    for name in ["assert", "pcall", "xpcall", "tonumber", "tostring", "unpack"] {
        base.raw_set(name, bundled.raw_get::<Function>(name)?)?;
    }
    base.raw_set("_VERSION", "Lua 5.1")?;
    for (library, names) in [("coroutine", &COROUTINE[..]), ("math", &MATH), ("os", &OS), ("table", &TABLE)] {
        let picked = pick(lua, &globals.raw_get(library)?, names)?;
        if let Some(more) = bundled.raw_get::<Option<Table>>(library)? {
            add(&picked, &more)?;
        }
        base.raw_set(library, picked)?;
    }
    for library in ["bit", "jit", "io"] {
        base.raw_set(library, bundled.raw_get::<Table>(library)?)?;
    }
    // String methods are looked up in Luau's own table, so that table is reduced in place.
    let string: Table = globals.raw_get("string")?;
    keep(&string, &STRING)?;
    add(&string, &bundled.raw_get("string")?)?;
    base.raw_set("string", string)?;
    let os = base.raw_get::<Table>("os")?;
    os.raw_set("date", ngx::os_date(lua)?)?;
    os.raw_set("time", ngx::os_time(lua)?)?;
    remove_excluded(&base, dialect)?;
    for library in LIBRARIES {
        if let Some(library) = base.raw_get::<Option<Table>>(library)? {
            frozen(library);
        }
    }

    let kong = pdk::table(lua, state, dialect, &base)?;
    let ngx = ngx::table(lua, state)?;
    base.raw_set("print", pdk::print(lua, state)?)?;
    let require = module::require(lua, state, dialect, &base, offered_modules())?;
    // In Kong all snippets share a writable `_G`, a known leak. Here it has the same names and is read-only.
    let visible = lua.create_table()?;
    visible.raw_set("_G", visible.clone())?;
    for (name, value) in [("kong", Lv::Table(kong)), ("ngx", Lv::Table(ngx)), ("require", Lv::Function(require))] {
        visible.raw_set(name, value.clone())?;
        base.raw_set(name, value)?;
    }
    base.raw_set("_G", frozen(visible))?;
    Ok(frozen(base))
}

/// Removes the library members that the profile excludes.
fn remove_excluded(base: &Table, dialect: &Dialect) -> mlua::Result<()> {
    for library in LIBRARIES {
        let table: Table = base.raw_get(library)?;
        let mut excluded = Vec::new();
        let mut total = 0;
        table.for_each(|name: String, _: Lv| {
            total += 1;
            if !dialect.has(&format!("{library}.{name}")) {
                excluded.push(name);
            }
            Ok(())
        })?;
        if total == excluded.len() {
            base.raw_set(library, Lv::Nil)?;
        }
        excluded.into_iter().try_for_each(|name| table.raw_set(name, Lv::Nil))?;
    }
    Ok(())
}

fn pick(lua: &Lua, from: &Table, names: &[&str]) -> mlua::Result<Table> {
    let picked = lua.create_table_with_capacity(0, names.len())?;
    for name in names {
        picked.raw_set(*name, from.raw_get::<Lv>(*name)?)?;
    }
    Ok(picked)
}

fn add(table: &Table, functions: &Table) -> mlua::Result<()> {
    functions.for_each(|name: Lv, function: Lv| table.raw_set(name, function))
}

fn keep(table: &Table, names: &[&str]) -> mlua::Result<()> {
    let mut others = Vec::new();
    table.for_each(|name: String, _: Lv| {
        if !names.contains(&name.as_str()) {
            others.push(name);
        }
        Ok(())
    })?;
    others.into_iter().try_for_each(|name| table.raw_set(name, Lv::Nil))
}
