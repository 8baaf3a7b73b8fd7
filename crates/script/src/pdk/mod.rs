//! Kong's plugin development kit, as far as the log phase may call it.
//!
//! Argument checks and their words are Kong's (kong/pdk/*.lua); errors carry the place of the call in the snippet.

mod body;
mod cache;
mod client;
mod facts;
mod headers;
mod inspect;
mod json;
mod log;
mod node;
mod plain;
mod request;
mod response;
mod router;
mod service;
mod tracing;

use std::rc::Rc;

use mlua::{Function, IntoLua, Lua, Table, Value as Lv};

pub(super) use cache::Cache;
pub(super) use headers::header_table;
pub(super) use log::{LogBudget, print, write_parts};
pub(super) use node::prepare;
pub(super) use request::{Address, body, query_table, raw_query, uri_path};

use super::environment::frozen;
use super::profile::Dialect;
use super::state::State;
use crate::message::Mode;
use crate::transaction::Level;

/// The release of Kong whose names and answers these are.
const VERSION: (&str, u32) = ("3.14.0", 3_014_000);

/// Parts of `kong` that reach the database, the network, secrets, other workers or the control plane.
const CLOSED: [&str; 16] = [
    "kong.async",
    "kong.cluster_events",
    "kong.clustering",
    "kong.core_cache",
    "kong.db",
    "kong.dns",
    "kong.enterprise_edition",
    "kong.jwe",
    "kong.keyring",
    "kong.licensing",
    "kong.rpc",
    "kong.sync",
    "kong.timer",
    "kong.vault",
    "kong.websocket",
    "kong.worker_events",
];

/// The global `kong`; `base` has the libraries of scripts.
pub(super) fn table(lua: &Lua, state: &Rc<State>, dialect: &Dialect, base: &Table) -> mlua::Result<Table> {
    let kong = lua.create_table()?;
    for (name, module) in [
        ("request", request::table(lua, state)?),
        ("response", response::table(lua, state)?),
        ("service", service::table(lua, state)?),
        ("client", client::table(lua, state)?),
        ("router", router::table(lua, state)?),
        ("log", log::table(lua, state)?),
        ("node", node::table(lua, state)?),
        ("ctx", contexts(lua, state)?),
        ("cache", cache::table(lua, state, base)?),
        ("tracing", tracing::table(lua, state)?),
        ("ip", facts::ip(lua, state)?),
        ("table", facts::tables(lua, state, base)?),
        ("plugin", facts::plugin(lua, state)?),
        ("nginx", facts::nginx(lua, state)?),
        ("cluster", facts::cluster(lua, state)?),
        ("telemetry", facts::telemetry(lua, state)?),
        ("configuration", facts::configuration(lua, state, dialect)?),
    ] {
        kong.raw_set(name, frozen(module))?;
    }
    kong.raw_set("version", VERSION.0)?;
    kong.raw_set("version_num", VERSION.1)?;
    for name in CLOSED {
        kong.raw_set(name.trim_start_matches("kong."), closed(lua, name)?)?;
    }
    make_lazy(lua, state, &kong, |lua, state, name| match name {
        "default_workspace" => state.text(Level::Root, "workspace").into_lua(lua),
        _ => Ok(Lv::Nil),
    })?;
    Ok(frozen(kong))
}

/// `kong.ctx`.
fn contexts(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    lazy(lua, state, |lua, state, name| match name {
        "shared" | "plugin" | "core" => state.context_table(lua, name)?.into_lua(lua),
        _ => Ok(Lv::Nil),
    })
}

/// Something that would reach out of the sandbox: any use of it is one error that names it.
pub(crate) fn closed(lua: &Lua, name: &'static str) -> mlua::Result<Table> {
    let refuse = lua.create_function(move |lua, (): ()| -> mlua::Result<()> { Err(out_of_reach(lua, name)) })?;
    let metatable = lua.create_table()?;
    for event in ["__index", "__newindex", "__call", "__iter", "__len"] {
        metatable.raw_set(event, refuse.clone())?;
    }
    metatable.raw_set("__metatable", false)?;
    let table = lua.create_table()?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(frozen(table))
}

/// The refusal of what would reach out of the sandbox.
fn out_of_reach(lua: &Lua, name: &str) -> mlua::Error {
    raise(lua, &format!("{name} is not available in the sandbox: it would reach out of it"))
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
    metatable.raw_set("__index", index(lua, state, look)?)?;
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(frozen(metatable)))
}

/// An `__index` that looks a member up by its name.
pub(super) fn index(
    lua: &Lua,
    state: &Rc<State>,
    look: impl Fn(&Lua, &State, &str) -> mlua::Result<Lv> + 'static,
) -> mlua::Result<Function> {
    let state = state.clone();
    lua.create_function(move |lua, (_, name): (Lv, Lv)| match name {
        // What Luau looks up while it loads a snippet it may keep for good.
        Lv::String(name) if !state.loading.get() => look(lua, &state, &name.to_string_lossy()),
        _ => Ok(Lv::Nil),
    })
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
