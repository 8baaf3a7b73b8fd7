//! Small modules: `kong.ip`, `kong.table`, `kong.plugin`, `kong.nginx`, `kong.cluster`, `kong.telemetry` and
//! `kong.configuration` (kong/pdk/*.lua).

use std::rc::Rc;

use mlua::{Lua, Table, Value as Lv};

use super::forwarded::is_trusted;
use crate::host::{Dialect, Module, Profile, State, is_session};
use crate::runtime::{check, frozen, host_function, raise, wrong_type};

pub(super) fn ip(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("is_trusted", |lua, state, address: Lv| match address {
        Lv::String(address) => Ok(is_trusted(state, &address.to_string_lossy())),
        _ => Err(raise(lua, "address must be a string")),
    })?;
    Ok(module.done())
}

pub(super) fn tables(lua: &Lua, state: &Rc<State>, base: &Table) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("merge", |lua, _, (first, second): (Lv, Lv)| {
        let merged = lua.create_table()?;
        for source in [first, second] {
            match source {
                Lv::Nil | Lv::Boolean(false) => {}
                Lv::Table(source) => source.for_each(|key: Lv, value: Lv| {
                    check()?;
                    merged.raw_set(key, value)
                })?,
                other => return Err(wrong_type(lua, 1, "for iterator", "table", &other)),
            }
        }
        Ok(merged)
    })?;
    let table = module.done();
    let library: Table = base.raw_get("table")?;
    for name in ["new", "clear"] {
        table.raw_set(name, library.raw_get::<Lv>(name)?)?;
    }
    Ok(table)
}

pub(super) fn plugin(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("get_id", |lua, state, (): ()| state.plugin_id().map(|id| lua.create_string(&*id)).transpose())?;
    Ok(module.done())
}

/// Counters of nginx, which the proxy can send along.
const STATISTICS: [&str; 7] = [
    "connections_active",
    "connections_reading",
    "connections_writing",
    "connections_waiting",
    "connections_accepted",
    "connections_handled",
    "total_requests",
];

pub(super) fn nginx(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("get_subsystem", |_, state, (): ()| Ok(if is_session(state) { "stream" } else { "http" }))?;
    module.function("get_statistics", |lua, state, (): ()| {
        let table = lua.create_table()?;
        for name in STATISTICS {
            let given =
                state.with(|transaction| transaction.context("node")?.get("statistics")?.get(name)?.number()).flatten();
            table.raw_set(name, given.unwrap_or(0.0))?;
        }
        Ok(table)
    })?;
    Ok(module.done())
}

/// Whether the transaction is an L4 session.
pub(super) fn cluster(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("get_id", |_, state, (): ()| {
        let given =
            state.with(|transaction| Some(transaction.context("node")?.get("cluster_id")?.text()?.into_owned()));
        Ok(match given.flatten() {
            Some(id) => (Some(id), None),
            None => (None, Some("the proxy did not say which cluster it is in (_context.node.cluster_id)")),
        })
    })?;
    Ok(module.done())
}

pub(super) fn telemetry(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("log", |_, _, (name, config, kind, message, attributes): (Lv, Lv, Lv, Lv, Lv)| {
        let given = |value: &Lv| !matches!(value, Lv::Nil | Lv::Boolean(false));
        let problem = if !name.is_string() {
            "plugin_name must be a string"
        } else if !config.is_table() {
            "plugin_config must be a table"
        } else if !kind.is_string() {
            "message_type must be a string"
        } else if given(&message) && !message.is_string() {
            "message must be a string"
        } else if given(&attributes) && !attributes.is_table() {
            "attributes must be a table"
        } else {
            "Telemetry logging is disabled: log entry will not be recorded. Ensure the OpenTelemetry plugin is \
             correctly configured to report logs in order to use this feature."
        };
        Ok((Lv::Nil, problem))
    })?;
    Ok(module.done())
}

/// The parts of Kong's configuration that exist here. None is secret.
pub(super) fn configuration(lua: &Lua, state: &Rc<State>, dialect: &Dialect) -> mlua::Result<Table> {
    let table = facts(lua, state, dialect)?;
    let (shared, dialect) = (state.clone(), dialect.clone());
    table.raw_set("remove_sensitive", host_function(lua, move |lua, (): ()| facts(lua, &shared, &dialect))?)?;
    for name in ["trusted_ips", "untrusted_lua_sandbox_requires", "untrusted_lua_sandbox_environment"] {
        frozen(table.raw_get(name)?);
    }
    Ok(table)
}

fn facts(lua: &Lua, state: &State, dialect: &Dialect) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let profile = match dialect.profile {
        Profile::Off => "off",
        Profile::Sandbox => "sandbox",
        Profile::Strict => "strict",
    };
    table.raw_set("untrusted_lua", profile)?;
    let networks = state.trusted_ips.iter().map(ToString::to_string);
    table.raw_set("trusted_ips", lua.create_sequence_from(networks)?)?;
    table.raw_set("untrusted_lua_sandbox_requires", lua.create_sequence_from(dialect.requires.clone())?)?;
    table.raw_set("untrusted_lua_sandbox_environment", lua.create_sequence_from(dialect.environment.clone())?)?;
    for (name, count) in [
        ("lua_max_req_headers", state.counts.req_headers),
        ("lua_max_resp_headers", state.counts.resp_headers),
        ("lua_max_uri_args", state.counts.uri_args),
        ("lua_max_post_args", state.counts.post_args),
    ] {
        table.raw_set(name, count)?;
    }
    Ok(table)
}
