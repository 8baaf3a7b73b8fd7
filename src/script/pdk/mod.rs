//! Kong's plugin development kit, as far as the log phase may call it.
//!
//! Argument checks and their words are Kong's (kong/pdk/*.lua); errors carry the place of the call in the snippet.

mod client;
mod headers;
mod log;
mod node;
mod request;
mod response;
mod router;

use std::rc::Rc;

use mlua::{Function, IntoLua, Lua, Table, Value as Lv};

pub(super) use headers::{header, header_table};
pub(super) use log::{LogBudget, print, write_line};
pub(super) use node::prepare;
pub(super) use request::{Address, body, query_table, raw_query, uri_path};

use super::environment::frozen;
use super::state::State;
use crate::message::Mode;

/// The global `kong`.
pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let kong = lua.create_table()?;
    for (name, module) in [
        ("request", request::table(lua, state)?),
        ("response", response::table(lua, state)?),
        ("service", response::service(lua, state)?),
        ("client", client::table(lua, state)?),
        ("router", router::table(lua, state)?),
        ("log", log::table(lua, state)?),
        ("node", node::table(lua, state)?),
        (
            "ctx",
            lazy(lua, state, |lua, state, name| match name {
                "shared" | "plugin" => state.context_table(lua, name)?.into_lua(lua),
                _ => Ok(Lv::Nil),
            })?,
        ),
    ] {
        kong.raw_set(name, frozen(module))?;
    }
    Ok(frozen(kong))
}

/// Collects the functions of one module.
pub(super) struct Module<'a> {
    lua: &'a Lua,
    state: &'a Rc<State>,
    table: Table,
}

impl<'a> Module<'a> {
    pub(super) fn new(lua: &'a Lua, state: &'a Rc<State>) -> mlua::Result<Self> {
        Ok(Self { lua, state, table: lua.create_table()? })
    }

    /// Adds a function.
    pub(super) fn function<A, R>(
        &mut self,
        name: &str,
        function: impl Fn(&Lua, &State, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()>
    where
        A: mlua::FromLuaMulti + 'static,
        R: mlua::IntoLuaMulti + 'static,
    {
        let state = self.state.clone();
        let function: Function = self.lua.create_function(move |lua, arguments: A| function(lua, &state, arguments))?;
        self.table.raw_set(name, function)
    }

    /// Adds functions that Kong has and that the log phase may not call.
    pub(super) fn forbidden(&mut self, names: &[&str], phases: &'static str) -> mlua::Result<()> {
        names.iter().try_for_each(|name| {
            self.function(name, move |lua, _, (): ()| -> mlua::Result<()> { Err(wrong_phase(lua, phases)) })
        })
    }

    pub(super) fn done(self) -> Table {
        self.table
    }
}

/// A table whose members are looked up by name each time.
pub(super) fn lazy(
    lua: &Lua,
    state: &Rc<State>,
    look: impl Fn(&Lua, &State, &str) -> mlua::Result<Lv> + 'static,
) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    make_lazy(lua, state, &table, look)?;
    Ok(table)
}

/// Gives `table` members that are looked up by name where it has none of its own.
pub(super) fn make_lazy(
    lua: &Lua,
    state: &Rc<State>,
    table: &Table,
    look: impl Fn(&Lua, &State, &str) -> mlua::Result<Lv> + 'static,
) -> mlua::Result<()> {
    let metatable = lua.create_table()?;
    let state = state.clone();
    let index = lua.create_function(move |lua, (_, name): (Lv, Lv)| match name {
        // What Luau looks up while it loads a snippet it may keep for good.
        Lv::String(name) if !state.loading.get() => look(lua, &state, &name.to_string_lossy()),
        _ => Ok(Lv::Nil),
    })?;
    metatable.raw_set("__index", index)?;
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(frozen(metatable)))
}

/// An error at the place of the call.
pub(super) fn raise(lua: &Lua, message: &str) -> mlua::Error {
    let place = lua.inspect_stack(1, |frame| {
        let source = frame.source().short_src.map(|name| name.into_owned()).unwrap_or_default();
        (source, frame.current_line())
    });
    mlua::Error::runtime(match place {
        Some((source, Some(line))) if !source.is_empty() => format!("{source}:{line}: {message}"),
        _ => message.to_owned(),
    })
}

/// Kong's refusal of a function outside of its phases (kong/pdk/private/phases.lua).
pub(super) fn wrong_phase(lua: &Lua, phases: &str) -> mlua::Error {
    raise(lua, &format!("function cannot be called in log phase (only in: {phases})"))
}

/// A limit on headers or arguments: Kong's checks and words, `default` where none is given.
pub(super) fn limit(lua: &Lua, default: usize, given: &Lv, what: &str) -> mlua::Result<usize> {
    let number = match given {
        Lv::Nil => return Ok(default),
        Lv::Integer(number) => *number as f64,
        Lv::Number(number) => *number,
        _ => return Err(raise(lua, &format!("{what} must be a number"))),
    };
    if number.is_nan() || number < 1.0 {
        return Err(raise(lua, &format!("{what} must be >= 1")));
    }
    if number > 1000.0 {
        return Err(raise(lua, &format!("{what} must be <= 1000")));
    }
    Ok(number as usize)
}

/// The `mode` of an edit's options, in Kong's words where it is none.
pub(super) fn mode(value: &Lv) -> Result<Mode, String> {
    let text = match value {
        Lv::Nil | Lv::Boolean(false) => return Ok(Mode::Set),
        Lv::String(text) => text.to_string_lossy(),
        _ => String::new(),
    };
    match text.as_str() {
        "set" => Ok(Mode::Set),
        "add" => Ok(Mode::Add),
        "replace" => Ok(Mode::Replace),
        _ => Err("mode must be 'set', 'add' or 'replace'".to_owned()),
    }
}
