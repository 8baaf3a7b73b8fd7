//! What scripts see: Kong's list of names, frozen, and a place of their own for globals.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv};

use super::state::State;
use super::{module, ngx, pdk};

/// Functions of Luau's own that are on Kong's list (kong-lua-sandbox and the `strict` list of Kong 3.14), without
/// those that Kong's Kafka Log page names as not available.
const GLOBALS: [&str; 11] =
    ["assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type", "xpcall"];
const COROUTINE: [&str; 6] = ["create", "resume", "running", "status", "wrap", "yield"];
const MATH: [&str; 28] = [
    "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod", "frexp", "huge",
    "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow", "rad", "random", "sin", "sinh", "sqrt", "tan",
];
const STRING: [&str; 12] =
    ["byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "reverse", "sub", "upper"];
const TABLE: [&str; 12] =
    ["clear", "clone", "concat", "foreach", "foreachi", "getn", "insert", "maxn", "move", "pack", "remove", "sort"];
const OS: [&str; 3] = ["clock", "difftime", "time"];

/// The shared, frozen names and the means to give each snippet its own globals on top.
pub(super) struct Environment {
    metatable: Table,
}

impl Environment {
    pub(super) fn new(lua: &Lua, state: &Rc<State>) -> mlua::Result<Self> {
        let base = base(lua, state)?;
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
        Ok(Self { metatable })
    }

    /// An environment for one snippet.
    pub(super) fn fresh(&self, lua: &Lua) -> mlua::Result<Table> {
        let globals = lua.create_table()?;
        globals.set_metatable(Some(self.metatable.clone()))?;
        // Nobody else can write into it, so that names may be resolved when the snippet is loaded.
        globals.set_safeenv(true);
        Ok(globals)
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

fn base(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let globals = lua.globals();
    let base = lua.create_table()?;
    for name in GLOBALS {
        base.raw_set(name, globals.raw_get::<Function>(name)?)?;
    }
    let own = module::load(lua)?;
    for name in ["pcall", "xpcall"] {
        base.raw_set(name, own.raw_get::<Function>(name)?)?;
    }
    base.raw_set("_VERSION", "Lua 5.1")?;
    for (library, names) in [("coroutine", &COROUTINE[..]), ("math", &MATH), ("os", &OS)] {
        base.raw_set(library, frozen(pick(lua, &globals.raw_get(library)?, names)?))?;
    }
    let math: Table = base.raw_get("math")?;
    math.set_readonly(false);
    math.raw_set("tanh", globals.raw_get::<Table>("math")?.raw_get::<Function>("tanh")?)?;
    math.set_readonly(true);
    let coroutine: Table = base.raw_get("coroutine")?;
    coroutine.set_readonly(false);
    add(&coroutine, &own.raw_get("coroutine")?)?;
    coroutine.set_readonly(true);

    // Methods of strings look names up in Luau's own table, which therefore has to be the one that is cut down.
    let string: Table = globals.raw_get("string")?;
    keep(&string, &STRING)?;
    add(&string, &own.raw_get("string")?)?;
    base.raw_set("string", frozen(string))?;

    let table = pick(lua, &globals.raw_get("table")?, &TABLE)?;
    add(&table, &own.raw_get("table")?)?;
    table.raw_set("unpack", own.raw_get::<Function>("unpack")?)?;
    base.raw_set("table", frozen(table))?;
    base.raw_set("unpack", own.raw_get::<Function>("unpack")?)?;
    base.raw_set("bit", frozen(own.raw_get("bit")?))?;
    base.raw_set("jit", frozen(own.raw_get("jit")?))?;

    let kong = pdk::table(lua, state)?;
    let ngx = ngx::table(lua, state)?;
    base.raw_set("print", pdk::print(lua, state)?)?;
    // In Kong `_G` is one table for everybody, a known leak; here it shows the same names and takes none.
    let masked = lua.create_table()?;
    masked.raw_set("_G", masked.clone())?;
    for (name, value) in [("kong", kong), ("ngx", ngx)] {
        masked.raw_set(name, value.clone())?;
        base.raw_set(name, value)?;
    }
    base.raw_set("_G", frozen(masked))?;
    Ok(frozen(base))
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
