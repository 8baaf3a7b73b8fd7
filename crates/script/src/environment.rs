//! What scripts see: Kong's list of names, frozen, and a place of their own for globals.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv};

use super::profile::Dialect;
use super::state::State;
use super::{module, ngx, pdk};

/// Functions of Luau's own that are on Kong's list (kong-lua-sandbox and the `strict` list of Kong 3.14), without
/// those that Kong's Kafka Log page names as not available.
const GLOBALS: [&str; 8] = ["assert", "error", "ipairs", "next", "pairs", "select", "tonumber", "type"];
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

/// The shared, frozen names and the means to give each snippet its own globals on top.
pub(super) struct Environment {
    metatable: Table,
    /// Puts right what a stopped script may have left half done in our own Lua.
    begin_anew: Function,
}

impl Environment {
    pub(super) fn new(lua: &Lua, state: &Rc<State>, dialect: &Dialect) -> mlua::Result<Self> {
        let own = module::load(lua, state.quirks)?;
        let base = base(lua, state, dialect, &own)?;
        let metatable = lua.create_table()?;
        metatable.raw_set("__index", base.clone())?;
        let soiled = state.clone();
        // Most snippets write no global, so that the others alone pay for cleaning up behind them.
        let note = lua.create_function(move |_, (globals, name, value): (Table, Lv, Lv)| {
            globals.raw_set(name, value)?;
            soiled.soiled.borrow_mut().push(globals);
            Ok(())
        })?;
        metatable.raw_set("__newindex", note)?;
        metatable.raw_set("__metatable", false)?;
        metatable.set_readonly(true);
        // Luau resolves the names of a chunk among the VM's globals when it is loaded, whatever its environment: there
        // must be no others than those that scripts may have.
        lua.set_globals(base)?;
        // Freezes the metatable of strings and whatever else is left of Luau's own libraries.
        lua.sandbox(true)?;
        Ok(Self { metatable, begin_anew: own.raw_get("begin_anew")? })
    }

    /// An environment for one snippet.
    pub(super) fn fresh(&self, lua: &Lua) -> mlua::Result<Table> {
        let globals = lua.create_table()?;
        globals.set_metatable(Some(self.metatable.clone()))?;
        // Nobody else can write into it, so that names may be resolved when the snippet is loaded.
        globals.set_safeenv(true);
        Ok(globals)
    }

    /// Makes ready for the next script after one that failed.
    pub(super) fn mend(&self) {
        // It only sets a number.
        let _ = self.begin_anew.call::<()>(());
    }

    /// Forgets the globals that the last snippet wrote.
    pub(super) fn clean(&self, state: &State) {
        if state.soiled.borrow().is_empty() {
            return;
        }
        for globals in state.soiled.borrow_mut().drain(..) {
            // A snippet's environment is never frozen, so that clearing it cannot fail.
            let _ = globals.clear();
        }
    }
}

fn base(lua: &Lua, state: &Rc<State>, dialect: &Dialect, own: &Table) -> mlua::Result<Table> {
    let globals = lua.globals();
    let base = lua.create_table()?;
    for name in GLOBALS {
        base.raw_set(name, globals.raw_get::<Function>(name)?)?;
    }
    for name in ["pcall", "xpcall", "tostring", "unpack"] {
        base.raw_set(name, own.raw_get::<Function>(name)?)?;
    }
    base.raw_set("_VERSION", "Lua 5.1")?;
    for (library, names) in [("coroutine", &COROUTINE[..]), ("math", &MATH), ("os", &OS), ("table", &TABLE)] {
        let picked = pick(lua, &globals.raw_get(library)?, names)?;
        if let Some(more) = own.raw_get::<Option<Table>>(library)? {
            add(&picked, &more)?;
        }
        base.raw_set(library, picked)?;
    }
    for library in ["bit", "jit", "io"] {
        base.raw_set(library, own.raw_get::<Table>(library)?)?;
    }
    // Methods of strings look names up in Luau's own table, which therefore has to be the one that is cut down.
    let string: Table = globals.raw_get("string")?;
    keep(&string, &STRING)?;
    add(&string, &own.raw_get("string")?)?;
    base.raw_set("string", string)?;
    let os = base.raw_get::<Table>("os")?;
    os.raw_set("date", ngx::os_date(lua)?)?;
    os.raw_set("time", ngx::os_time(lua)?)?;
    leave_out(&base, dialect)?;
    for library in LIBRARIES {
        if let Some(library) = base.raw_get::<Option<Table>>(library)? {
            frozen(library);
        }
    }

    let kong = pdk::table(lua, state, dialect, &base)?;
    let ngx = ngx::table(lua, state)?;
    base.raw_set("print", pdk::print(lua, state)?)?;
    let require = module::require(lua, state, dialect, &base)?;
    // In Kong `_G` is one table for everybody, a known leak; here it shows the same names and takes none.
    let masked = lua.create_table()?;
    masked.raw_set("_G", masked.clone())?;
    for (name, value) in [("kong", Lv::Table(kong)), ("ngx", Lv::Table(ngx)), ("require", Lv::Function(require))] {
        masked.raw_set(name, value.clone())?;
        base.raw_set(name, value)?;
    }
    base.raw_set("_G", frozen(masked))?;
    Ok(frozen(base))
}

/// Takes out what the profile does not have.
fn leave_out(base: &Table, dialect: &Dialect) -> mlua::Result<()> {
    for library in LIBRARIES {
        let table: Table = base.raw_get(library)?;
        let mut left_out = Vec::new();
        let mut left = 0;
        table.for_each(|name: String, _: Lv| {
            left += 1;
            if !dialect.has(&format!("{library}.{name}")) {
                left_out.push(name);
            }
            Ok(())
        })?;
        if left == left_out.len() {
            base.raw_set(library, Lv::Nil)?;
        }
        left_out.into_iter().try_for_each(|name| table.raw_set(name, Lv::Nil))?;
    }
    Ok(())
}

/// The table, which nobody can write to any more.
pub(super) fn frozen(table: Table) -> Table {
    table.set_readonly(true);
    table
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
