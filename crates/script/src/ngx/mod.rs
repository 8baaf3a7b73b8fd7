//! OpenResty's `ngx`, as far as the log phase may use it.
//!
//! Results are those of the documentation of lua-nginx-module and lua-resty-core. Functions that would reach out of the
//! sandbox or change the response raise an error that says so.

mod arg;
mod argument;
mod closed;
pub(crate) mod constants;
pub(crate) mod ctx;
mod date;
mod hash;
mod process;
mod re;
mod req;
mod time;
mod uri;
mod var;

use std::rc::Rc;

use mlua::{Function, IntoLua, Lua, Table, Value as Lv, Variadic};

pub(crate) use closed::is_outside;
pub(crate) use date::{os_date, os_time};
pub(crate) use time::http_date;

use crate::host::log::write_parts;
use crate::host::text::{shown, to_number};
use crate::host::{Loader, Module, Phase, State, base64, index, is_session, make_lazy};
use crate::runtime::{bad_argument, frozen, host_function, kind_name, raise, wrong_type};
use crate::transaction::Level;

/// The modules of `ngx` that `require` offers.
pub(crate) const MODULES: &[(&str, Loader)] = &[
    ("ngx.re", |lua, _, _| re::module(lua).map(Lv::Table)),
    ("ngx.req", |lua, state, _| req::request(lua, state).map(Lv::Table)),
    ("ngx.resp", |lua, state, _| req::response(lua, state).map(Lv::Table)),
];

/// The global `ngx`.
pub(crate) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    time::add(&mut module)?;
    hash::add(&mut module)?;
    base64::add(&mut module)?;
    uri::add(&mut module)?;
    module.function("get_phase", |_, state, (): ()| Ok(state.phase.get().name()))?;
    // The numbers are NGX_HTTP_LUA_CONTEXT_...
    module.function("get_raw_phase", |_, state, _: Lv| {
        Ok(match state.phase.get() {
            Phase::Rewrite => 0x02,
            Phase::Access => 0x04,
            Phase::HeaderFilter => 0x20,
            Phase::BodyFilter => 0x40,
            Phase::Log => 0x10,
        })
    })?;
    module.function("log", log)?;
    let ngx = module.done();
    constants::add(&ngx)?;
    closed::add(lua, state, &ngx)?;
    ngx.raw_set("re", frozen(re::table(lua)?))?;
    ngx.raw_set("null", Lv::NULL)?;
    ngx.raw_set("is_subrequest", false)?;
    ngx.raw_set("arg", arg::table(lua, state)?)?;
    ngx.raw_set("req", req::request(lua, state)?)?;
    ngx.raw_set("resp", req::response(lua, state)?)?;
    ngx.raw_set("worker", worker(lua, state)?)?;
    ngx.raw_set("config", config(lua, state)?)?;
    ngx.raw_set("var", variables(lua, state)?)?;
    ngx.raw_set("header", headers(lua, state)?)?;
    let look = |lua: &Lua, state: &State, name: &str| match name {
        "status" if !state.phase.get().has_response() => Ok(Lv::Integer(0)),
        "status" => {
            let status = state.member(Level::Response, "status", |view| view.number());
            let of_session = || state.member(Level::Root, "session", |session| session.get("status")?.number());
            Ok(status.or_else(of_session).map_or(Lv::Nil, Lv::Number))
        }
        "headers_sent" => Ok(Lv::Boolean(state.phase.get() > Phase::HeaderFilter)),
        "ctx" => Ok(state.context_table(lua, name)?.map_or(Lv::Nil, Lv::Table)),
        _ => Ok(Lv::Nil),
    };
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", index(lua, state, look)?)?;
    metatable.raw_set("__newindex", set_status(lua, state)?)?;
    metatable.raw_set("__metatable", false)?;
    ngx.set_metatable(Some(frozen(metatable)))?;
    *state.ctx_metatable.borrow_mut() = Some(ctx::metatable(lua, state)?);
    Ok(frozen(ngx))
}

/// An assignment to `ngx.status` before the response is sent has no effect on one that was; any other assignment to `ngx` is
/// refused.
fn set_status(lua: &Lua, state: &Rc<State>) -> mlua::Result<Function> {
    let (state, status) = (state.clone(), Rc::from("ngx.status"));
    host_function(lua, move |lua, (_, name, _): (Lv, Lv, Lv)| match &name {
        Lv::String(name) if *name == "status" && state.replays() => {
            state.note_no_effect(&status);
            Ok(())
        }
        _ => Err(raise(lua, "attempt to modify a readonly table")),
    })
}

/// `ngx.header`. nginx logs an error for an assignment after the response's header was sent, and goes on; before, it has no
/// effect on a response that was sent.
fn headers(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let metatable = lua.create_table()?;
    let (shared, header) = (state.clone(), Rc::from("ngx.header"));
    let ignore = host_function(lua, move |lua, (_, name, _): (Lv, Lv, Lv)| {
        if shared.phase.get() < Phase::BodyFilter {
            shared.note_no_effect(&header);
            return Ok(());
        }
        let name: String = shown(&name).chars().take(100).collect();
        let text = format!("attempt to set ngx.header.{name} after sending out response headers");
        write_parts(&shared, "err", &[Lv::String(lua.create_string(text)?)]);
        Ok(())
    })?;
    metatable.raw_set("__index", index(lua, state, req::response_header)?)?;
    metatable.raw_set("__newindex", ignore)?;
    metatable.raw_set("__metatable", false)?;
    let table = lua.create_table()?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(frozen(table))
}

/// `ngx.var`. Assignments have no effect in replayed phases, and are refused in the log phase.
fn variables(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let metatable = lua.create_table()?;
    let (shared, variable) = (state.clone(), Rc::from("ngx.var"));
    let refuse = host_function(lua, move |lua, (_, name): (Lv, Lv)| -> mlua::Result<()> {
        if shared.replays() {
            shared.note_no_effect(&variable);
            return Ok(());
        }
        let name = match &name {
            Lv::String(name) => name.to_string_lossy().chars().take(100).collect(),
            other => kind_name(other).to_owned(),
        };
        Err(raise(lua, &format!("attempt to write ngx.var.{name}: variables are read-only here")))
    })?;
    metatable.raw_set("__index", index(lua, state, var::get)?)?;
    metatable.raw_set("__newindex", refuse)?;
    metatable.raw_set("__metatable", false)?;
    let table = lua.create_table()?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(frozen(table))
}

/// Reads what threads that run scripts cannot.
pub(crate) fn prepare() {
    process::id();
    crate::host::time::zone();
}

/// `ngx.worker`: always one worker.
fn worker(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("id", |_, _, (): ()| Ok(0))?;
    module.function("count", |_, _, (): ()| Ok(1))?;
    module.function("exiting", |_, _, (): ()| Ok(false))?;
    module.function("pid", |_, _, (): ()| Ok(process::id()))?;
    module.function("pids", |_, _, (): ()| Ok(vec![process::id()]))?;
    Ok(frozen(module.done()))
}

/// `ngx.config` of Kong 3.10.
fn config(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("prefix", |_, _, (): ()| Ok("/usr/local/kong/"))?;
    module.function("nginx_configure", |_, _, (): ()| Ok(""))?;
    let config = module.done();
    config.raw_set("debug", false)?;
    config.raw_set("nginx_version", 1_027_001)?;
    config.raw_set("ngx_lua_version", 10_027)?;
    make_lazy(lua, state, &config, |lua, state, name| match name {
        "subsystem" => (if is_session(state) { "stream" } else { "http" }).into_lua(lua),
        _ => Ok(Lv::Nil),
    })?;
    Ok(frozen(config))
}

fn log(lua: &Lua, state: &State, arguments: Variadic<Lv>) -> mlua::Result<()> {
    const NAMES: [&str; 9] = ["emerg", "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];
    let level = arguments.first().unwrap_or(&Lv::Nil);
    let Some(number) = to_number(level) else { return Err(wrong_type(lua, 1, "log", "number", level)) };
    let Some(name) = (number >= 0.0).then(|| NAMES.get(number as usize)).flatten() else {
        return Err(bad_argument(lua, 1, "log", &format!("bad log level: {number}")));
    };
    write_parts(state, name, &arguments[1..]);
    Ok(())
}
