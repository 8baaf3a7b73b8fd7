//! Kong's plugin development kit, as far as the log phase may call it.
//!
//! Argument checks and their words are Kong's (kong/pdk/*.lua). Errors carry the position of the call in the snippet.

mod body;
mod cache;
mod client;
mod facts;
mod forwarded;
mod inspect;
mod json;
mod log;
mod node;
mod request;
mod response;
mod router;
mod service;
mod tracing;
mod vault;

use std::rc::Rc;

use mlua::{IntoLua, Lua, Table, Value as Lv};

pub(crate) use log::print;
pub(crate) use node::prepare;

use crate::host::{Dialect, State, lazy, make_lazy, out_of_reach};
use crate::runtime::{frozen, host_function};
use crate::transaction::Level;

/// The release of Kong whose names and results these are.
pub(crate) const VERSION: (&str, u32) = ("3.14.0", 3_014_000);

/// Parts of `kong` that reach the database, the network, secrets, other workers or the control plane.
const CLOSED: [&str; 15] = [
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
    "kong.websocket",
    "kong.worker_events",
];

/// Whether `kong.NAME` is closed.
pub(crate) fn is_closed(name: &str) -> bool {
    CLOSED.iter().any(|closed| closed.strip_prefix("kong.") == Some(name))
}

/// The global `kong`. `base` holds the libraries of scripts.
pub(crate) fn table(lua: &Lua, state: &Rc<State>, dialect: &Dialect, base: &Table) -> mlua::Result<Table> {
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
        ("vault", vault::table(lua, state)?),
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

/// A member that would reach out of the sandbox: any use raises an error that names it.
fn closed(lua: &Lua, name: &'static str) -> mlua::Result<Table> {
    let refuse = host_function(lua, move |lua, (): ()| -> mlua::Result<()> { Err(out_of_reach(lua, name)) })?;
    let metatable = lua.create_table()?;
    for event in ["__index", "__newindex", "__call", "__iter", "__len"] {
        metatable.raw_set(event, refuse.clone())?;
    }
    metatable.raw_set("__metatable", false)?;
    let table = lua.create_table()?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(frozen(table))
}
