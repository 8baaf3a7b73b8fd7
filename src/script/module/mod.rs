//! What `require` gives, by name, and the modules that every snippet has.

mod prelude;

use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv};

use super::environment::frozen;
use super::profile::Dialect;
use super::state::State;

pub(super) use prelude::load;

/// Makes one module for one VM, out of the libraries that every snippet has.
type Make = fn(&Lua, &Rc<State>, &Table) -> mlua::Result<Lv>;

/// Every module that is offered.
const MODULES: &[(&str, Make)] = &[
    ("bit", |_, _, base| base.raw_get("bit")),
    ("table.clear", |_, _, base| member(base, "table", "clear")),
    ("table.clone", |_, _, base| member(base, "table", "clone")),
    ("table.isarray", |_, _, base| member(base, "table", "isarray")),
    ("table.isempty", |_, _, base| member(base, "table", "isempty")),
    ("table.new", |_, _, base| member(base, "table", "new")),
    ("table.nkeys", |_, _, base| member(base, "table", "nkeys")),
];

/// The names of all modules.
pub(super) fn offered() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|(name, _)| *name)
}

/// The global `require`. The modules that `dialect` allows are made here, once, and cannot be written to.
pub(super) fn require(lua: &Lua, state: &Rc<State>, dialect: &Dialect, base: &Table) -> mlua::Result<Function> {
    let mut loaded = HashMap::new();
    for (name, make) in MODULES.iter().filter(|(name, _)| dialect.may_require(name)) {
        let module = match make(lua, state, base)? {
            Lv::Table(table) => Lv::Table(frozen(table)),
            other => other,
        };
        loaded.insert(name.as_bytes(), module);
    }
    lua.create_function(move |_, name: Lv| {
        let found = match &name {
            Lv::String(text) => loaded.get(&*text.as_bytes()).cloned(),
            _ => None,
        };
        found.ok_or_else(|| mlua::Error::runtime(refusal(&name)))
    })
}

/// Kong's words (kong/tools/sandbox.lua).
fn refusal(name: &Lv) -> String {
    let shown = match name {
        Lv::String(text) => text.to_string_lossy().chars().take(100).collect(),
        other => super::convert::kind_name(other).to_owned(),
    };
    format!("require '{shown}' not allowed within sandbox")
}

fn member(base: &Table, library: &str, name: &str) -> mlua::Result<Lv> {
    base.raw_get::<Table>(library)?.raw_get(name)
}
