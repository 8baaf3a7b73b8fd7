//! Members of `ngx` that a snippet must not use. Any use raises an error that names the member.

use std::rc::Rc;

use crate::host::{Phases, State, out_of_reach};
use crate::runtime::{frozen, host_function, raise};
use mlua::{Function, Lua, Table, Value as Lv, Variadic};

/// Why a member cannot be used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reason {
    /// nginx allows it in these phases alone. It would change the traffic, which is over: in them it does nothing, and it is
    /// noted.
    Phase(&'static str),
    /// It would reach sockets, timers, threads or shared memory.
    Outside,
}

/// nginx's refusal of a function outside of its phases.
pub(super) fn wrong_context(lua: &Lua, state: &State) -> mlua::Error {
    raise(lua, &format!("API disabled in the context of {}_by_lua*", state.phase.get()))
}

/// Whether `ngx.NAME` would reach out of the sandbox.
pub(crate) fn is_outside(name: &str) -> bool {
    LIBRARIES.iter().any(|(known, _)| *known == name)
}

/// Functions of `ngx` itself. nginx would let `ngx.exit` end the log phase of all plugins.
const FUNCTIONS: [(&str, Reason); 11] = [
    ("eof", Reason::Phase(BEFORE_RESPONSE)),
    ("exec", Reason::Phase(BEFORE_RESPONSE)),
    ("exit", Reason::Phase("rewrite, access, header_filter")),
    ("flush", Reason::Phase(BEFORE_RESPONSE)),
    ("on_abort", Reason::Phase(BEFORE_RESPONSE)),
    ("print", Reason::Phase(BEFORE_RESPONSE)),
    ("redirect", Reason::Phase(BEFORE_RESPONSE)),
    ("say", Reason::Phase(BEFORE_RESPONSE)),
    ("send_headers", Reason::Phase(BEFORE_RESPONSE)),
    ("sleep", Reason::Phase(BEFORE_RESPONSE)),
    ("run_worker_thread", Reason::Outside),
];

/// The phases in which nginx lets a function answer or hold back the request.
pub(super) const BEFORE_RESPONSE: &str = "rewrite, access";

/// Libraries, with the members that Kong's list and nginx's documentation name.
const LIBRARIES: [(&str, &[&str]); 14] = [
    ("balancer", &[]),
    ("errlog", &[]),
    ("event", &[]),
    ("location", &["capture", "capture_multi"]),
    ("ocsp", &[]),
    ("pipe", &[]),
    ("process", &[]),
    ("semaphore", &["new"]),
    ("shared", &[]),
    ("socket", &["connect", "stream", "tcp", "udp"]),
    ("ssl", &[]),
    ("thread", &["kill", "spawn", "wait"]),
    ("timer", &["at", "every", "running_count", "pending_count"]),
    ("upstream", &[]),
];

/// Adds all of them to `ngx`.
pub(super) fn add(lua: &Lua, state: &Rc<State>, ngx: &Table) -> mlua::Result<()> {
    for (name, reason) in FUNCTIONS {
        ngx.raw_set(name, function(lua, state, &format!("ngx.{name}"), reason)?)?;
    }
    for (name, members) in LIBRARIES {
        ngx.raw_set(name, library(lua, state, name, members)?)?;
    }
    Ok(())
}

/// A function that raises, or does nothing in the phases that `reason` names.
pub(super) fn function(lua: &Lua, state: &Rc<State>, name: &str, reason: Reason) -> mlua::Result<Function> {
    let (state, name): (_, Rc<str>) = (state.clone(), name.into());
    let phases = match reason {
        Reason::Phase(phases) => {
            state.restricted.borrow_mut().push((name.clone(), phases));
            Phases::of(phases)
        }
        Reason::Outside => {
            return host_function(lua, move |lua, _: Variadic<Lv>| -> mlua::Result<()> {
                Err(out_of_reach(lua, &name))
            });
        }
    };
    host_function(lua, move |lua, _: Variadic<Lv>| {
        if !phases.has(state.phase.get()) {
            return Err(wrong_context(lua, &state));
        }
        state.note_no_effect(&name);
        Ok(())
    })
}

fn library(lua: &Lua, state: &Rc<State>, name: &str, members: &[&str]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for member in members {
        table.raw_set(*member, function(lua, state, &format!("ngx.{name}.{member}"), Reason::Outside)?)?;
    }
    let metatable = lua.create_table()?;
    for event in ["__index", "__newindex", "__call", "__iter", "__len"] {
        let (state, name) = (state.clone(), format!("ngx.{name}"));
        let refuse = host_function(lua, move |lua, (_, member): (Lv, Lv)| match (&member, event) {
            // Luau may cache values that it looks up while loading a snippet.
            _ if state.loading.get() => Ok(Lv::Nil),
            (Lv::String(member), "__index" | "__newindex") => {
                let shown: String = member.to_string_lossy().chars().take(100).collect();
                Err(out_of_reach(lua, &format!("{name}.{shown}")))
            }
            _ => Err(out_of_reach(lua, &name)),
        })?;
        metatable.raw_set(event, refuse)?;
    }
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(frozen(table))
}
