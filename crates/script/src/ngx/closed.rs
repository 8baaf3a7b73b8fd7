//! What `ngx` has in nginx and a snippet must not use: each answers any use with one error that names it.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv, Variadic};

use super::super::environment::frozen;
use super::super::pdk::raise;
use super::super::state::State;

/// Why something cannot be used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    /// nginx forbids it in the log phase as well.
    Phase,
    /// It would reach sockets, timers, threads or memory that others share.
    Outside,
}

impl Why {
    fn text(self, name: &str) -> String {
        match self {
            // nginx's words behind the name.
            Self::Phase => format!("{name}: API disabled in the context of log_by_lua*"),
            Self::Outside => format!("{name} is not available in the sandbox: it would reach out of it"),
        }
    }
}

/// Functions of `ngx` itself. nginx would let `ngx.exit` end the log phase of all plugins.
const FUNCTIONS: [(&str, Why); 11] = [
    ("eof", Why::Phase),
    ("exec", Why::Phase),
    ("exit", Why::Phase),
    ("flush", Why::Phase),
    ("on_abort", Why::Phase),
    ("print", Why::Phase),
    ("redirect", Why::Phase),
    ("say", Why::Phase),
    ("send_headers", Why::Phase),
    ("sleep", Why::Phase),
    ("run_worker_thread", Why::Outside),
];

/// Libraries, with the members that Kong's list and nginx's documentation name.
const LIBRARIES: [(&str, Why, &[&str]); 15] = [
    ("arg", Why::Phase, &[]),
    ("balancer", Why::Outside, &[]),
    ("errlog", Why::Outside, &[]),
    ("event", Why::Outside, &[]),
    ("location", Why::Outside, &["capture", "capture_multi"]),
    ("ocsp", Why::Outside, &[]),
    ("pipe", Why::Outside, &[]),
    ("process", Why::Outside, &[]),
    ("semaphore", Why::Outside, &["new"]),
    ("shared", Why::Outside, &[]),
    ("socket", Why::Outside, &["connect", "stream", "tcp", "udp"]),
    ("ssl", Why::Outside, &[]),
    ("thread", Why::Outside, &["kill", "spawn", "wait"]),
    ("timer", Why::Outside, &["at", "every", "running_count", "pending_count"]),
    ("upstream", Why::Outside, &[]),
];

/// Adds them all to `ngx`.
pub(super) fn add(lua: &Lua, state: &Rc<State>, ngx: &Table) -> mlua::Result<()> {
    for (name, why) in FUNCTIONS {
        ngx.raw_set(name, function(lua, format!("ngx.{name}"), why)?)?;
    }
    for (name, why, members) in LIBRARIES {
        ngx.raw_set(name, library(lua, state, name, why, members)?)?;
    }
    Ok(())
}

/// A function that only raises.
pub(super) fn function(lua: &Lua, name: String, why: Why) -> mlua::Result<Function> {
    lua.create_function(move |lua, _: Variadic<Lv>| -> mlua::Result<()> { Err(raise(lua, &why.text(&name))) })
}

fn library(lua: &Lua, state: &Rc<State>, name: &str, why: Why, members: &[&str]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for member in members {
        table.raw_set(*member, function(lua, format!("ngx.{name}.{member}"), why)?)?;
    }
    let metatable = lua.create_table()?;
    for event in ["__index", "__newindex", "__call", "__iter", "__len"] {
        let (state, name) = (state.clone(), format!("ngx.{name}"));
        let refuse = lua.create_function(move |lua, (_, member): (Lv, Lv)| match (&member, event) {
            // What Luau looks up while it loads a snippet it may keep for good.
            _ if state.loading.get() => Ok(Lv::Nil),
            (Lv::String(member), "__index" | "__newindex") => {
                let shown: String = member.to_string_lossy().chars().take(100).collect();
                Err(raise(lua, &why.text(&format!("{name}.{shown}"))))
            }
            _ => Err(raise(lua, &why.text(&name))),
        })?;
        metatable.raw_set(event, refuse)?;
    }
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(frozen(table))
}
