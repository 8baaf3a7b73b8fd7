//! Members of `ngx` that a snippet must not use. Any use raises an error that names the member.

use std::rc::Rc;

use crate::host::State;
use crate::runtime::{frozen, host_function, raise};
use mlua::{Function, Lua, Table, Value as Lv, Variadic};

/// Why a member cannot be used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reason {
    /// nginx forbids it in the log phase as well.
    Phase,
    /// It would reach sockets, timers, threads or shared memory.
    Outside,
}

impl Reason {
    fn text(self, name: &str) -> String {
        match self {
            // nginx's words.
            Self::Phase => "API disabled in the context of log_by_lua*".to_owned(),
            Self::Outside => format!("{name} is not available in the sandbox: it would reach out of it"),
        }
    }
}

/// Whether `ngx.NAME` would reach out of the sandbox.
pub(crate) fn is_outside(name: &str) -> bool {
    LIBRARIES.iter().any(|(known, reason, _)| *known == name && matches!(reason, Reason::Outside))
}

/// Functions of `ngx` itself. nginx would let `ngx.exit` end the log phase of all plugins.
const FUNCTIONS: [(&str, Reason); 11] = [
    ("eof", Reason::Phase),
    ("exec", Reason::Phase),
    ("exit", Reason::Phase),
    ("flush", Reason::Phase),
    ("on_abort", Reason::Phase),
    ("print", Reason::Phase),
    ("redirect", Reason::Phase),
    ("say", Reason::Phase),
    ("send_headers", Reason::Phase),
    ("sleep", Reason::Phase),
    ("run_worker_thread", Reason::Outside),
];

/// Libraries, with the members that Kong's list and nginx's documentation name.
const LIBRARIES: [(&str, Reason, &[&str]); 15] = [
    ("arg", Reason::Phase, &[]),
    ("balancer", Reason::Outside, &[]),
    ("errlog", Reason::Outside, &[]),
    ("event", Reason::Outside, &[]),
    ("location", Reason::Outside, &["capture", "capture_multi"]),
    ("ocsp", Reason::Outside, &[]),
    ("pipe", Reason::Outside, &[]),
    ("process", Reason::Outside, &[]),
    ("semaphore", Reason::Outside, &["new"]),
    ("shared", Reason::Outside, &[]),
    ("socket", Reason::Outside, &["connect", "stream", "tcp", "udp"]),
    ("ssl", Reason::Outside, &[]),
    ("thread", Reason::Outside, &["kill", "spawn", "wait"]),
    ("timer", Reason::Outside, &["at", "every", "running_count", "pending_count"]),
    ("upstream", Reason::Outside, &[]),
];

/// Adds all of them to `ngx`.
pub(super) fn add(lua: &Lua, state: &Rc<State>, ngx: &Table) -> mlua::Result<()> {
    for (name, reason) in FUNCTIONS {
        ngx.raw_set(name, function(lua, format!("ngx.{name}"), reason)?)?;
    }
    for (name, reason, members) in LIBRARIES {
        ngx.raw_set(name, library(lua, state, name, reason, members)?)?;
    }
    Ok(())
}

/// A function that always raises.
pub(super) fn function(lua: &Lua, name: String, reason: Reason) -> mlua::Result<Function> {
    host_function(lua, move |lua, _: Variadic<Lv>| -> mlua::Result<()> { Err(raise(lua, &reason.text(&name))) })
}

fn library(lua: &Lua, state: &Rc<State>, name: &str, reason: Reason, members: &[&str]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for member in members {
        table.raw_set(*member, function(lua, format!("ngx.{name}.{member}"), reason)?)?;
    }
    let metatable = lua.create_table()?;
    for event in ["__index", "__newindex", "__call", "__iter", "__len"] {
        let (state, name) = (state.clone(), format!("ngx.{name}"));
        let refuse = host_function(lua, move |lua, (_, member): (Lv, Lv)| match (&member, event) {
            // Luau may cache values that it looks up while loading a snippet.
            _ if state.loading.get() => Ok(Lv::Nil),
            (Lv::String(member), "__index" | "__newindex") => {
                let shown: String = member.to_string_lossy().chars().take(100).collect();
                Err(raise(lua, &reason.text(&format!("{name}.{shown}"))))
            }
            _ => Err(raise(lua, &reason.text(&name))),
        })?;
        metatable.raw_set(event, refuse)?;
    }
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(frozen(table))
}
