//! OpenResty's `ngx`, as far as the log phase may use it.
//!
//! What each function answers is what the documentation of lua-nginx-module and lua-resty-core says; what would reach
//! out of the sandbox or change the response says so.

mod closed;
mod constants;
mod date;
pub(super) mod escape;
pub(super) mod hash;
mod re;
pub(super) mod req;
pub(super) mod time;
mod var;

use std::rc::Rc;
use std::sync::OnceLock;

use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value as Lv, Variadic};

pub(super) use date::{function as os_date, time_function as os_time};

use super::convert::kind_name;
use super::deadline;
pub(super) use re::module as re_module;

use super::environment::frozen;
use super::interrupt::OUT_OF_TIME;
use super::pdk::{Module, index, raise, write_parts};
use super::state::State;
use crate::transaction::{Level, Numbers, text};

/// The longest text that one of the functions takes, in bytes: no honest one is longer, and the deadline is met in
/// time.
const LONGEST: usize = 8 << 20;

/// The global `ngx`.
pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    time::add(&mut module)?;
    hash::add(&mut module)?;
    escape::add(&mut module)?;
    module.function("get_phase", |_, _, (): ()| Ok("log"))?;
    // NGX_HTTP_LUA_CONTEXT_LOG
    module.function("get_raw_phase", |_, _, _: Lv| Ok(0x10))?;
    module.function("log", log)?;
    let ngx = module.done();
    constants::add(&ngx)?;
    closed::add(lua, state, &ngx)?;
    ngx.raw_set("re", frozen(re::table(lua)?))?;
    ngx.raw_set("null", Lv::NULL)?;
    ngx.raw_set("is_subrequest", false)?;
    ngx.raw_set("headers_sent", true)?;
    ngx.raw_set("req", req::request(lua, state)?)?;
    ngx.raw_set("resp", req::response(lua, state)?)?;
    ngx.raw_set("worker", worker(lua, state)?)?;
    ngx.raw_set("config", config(lua, state)?)?;
    let read_only = "attempt to write ngx.var.{}: variables are read-only here";
    ngx.raw_set("var", view(lua, state, var::get, read_only)?)?;
    let sent = "attempt to set ngx.header.{} after sending out response headers";
    ngx.raw_set("header", view(lua, state, req::response_header, sent)?)?;
    super::pdk::make_lazy(lua, state, &ngx, |lua, state, name| match name {
        "status" => Ok(state.member(Level::Response, "status", |view| view.number()).map_or(Lv::Nil, Lv::Number)),
        "ctx" => Ok(state.context_table(lua, name)?.map_or(Lv::Nil, Lv::Table)),
        _ => Ok(Lv::Nil),
    })?;
    Ok(frozen(ngx))
}

/// A table whose members are looked up by name each time, and that refuses writing with `refusal`, in which `{}` is
/// the name.
fn view(
    lua: &Lua,
    state: &Rc<State>,
    look: impl Fn(&Lua, &State, &str) -> mlua::Result<Lv> + 'static,
    refusal: &'static str,
) -> mlua::Result<Table> {
    let metatable = lua.create_table()?;
    let refuse = lua.create_function(move |lua, (_, name): (Lv, Lv)| -> mlua::Result<()> {
        let name = match &name {
            Lv::String(name) => name.to_string_lossy().chars().take(100).collect(),
            other => kind_name(other).to_owned(),
        };
        Err(raise(lua, &refusal.replace("{}", &name)))
    })?;
    metatable.raw_set("__index", index(lua, state, look)?)?;
    metatable.raw_set("__newindex", refuse)?;
    metatable.raw_set("__metatable", false)?;
    let table = lua.create_table()?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(frozen(table))
}

/// This process, asked once: threads that run scripts may ask the kernel for nothing.
fn process_id() -> u32 {
    static ID: OnceLock<u32> = OnceLock::new();
    *ID.get_or_init(std::process::id)
}

/// Finds out what locked threads cannot.
pub(super) fn prepare() {
    process_id();
    time::zone();
}

/// One worker of one process, as scripts need not know more.
fn worker(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("id", |_, _, (): ()| Ok(0))?;
    module.function("count", |_, _, (): ()| Ok(1))?;
    module.function("exiting", |_, _, (): ()| Ok(false))?;
    module.function("pid", |_, _, (): ()| Ok(process_id()))?;
    module.function("pids", |_, _, (): ()| Ok(vec![process_id()]))?;
    Ok(frozen(module.done()))
}

/// That of Kong 3.10.
fn config(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("prefix", |_, _, (): ()| Ok("/usr/local/kong/"))?;
    module.function("nginx_configure", |_, _, (): ()| Ok(""))?;
    let config = module.done();
    config.raw_set("subsystem", "http")?;
    config.raw_set("debug", false)?;
    config.raw_set("nginx_version", 1_027_001)?;
    config.raw_set("ngx_lua_version", 10_027)?;
    Ok(frozen(config))
}

fn log(lua: &Lua, state: &State, arguments: Variadic<Lv>) -> mlua::Result<()> {
    const NAMES: [&str; 9] = ["emerg", "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];
    let level = arguments.first().unwrap_or(&Lv::Nil);
    let Some(number) = number(level) else {
        let message = format!("bad argument #1 to 'log' (number expected, got {})", kind_name(level));
        return Err(raise(lua, &message));
    };
    let Some(name) = (number >= 0.0).then(|| NAMES.get(number as usize)).flatten() else {
        return Err(raise(lua, &format!("bad argument #1 to 'log' (bad log level: {number})")));
    };
    write_parts(state, name, &arguments[1..]);
    Ok(())
}

fn number(value: &Lv) -> Option<f64> {
    match value {
        Lv::Integer(number) => Some(*number as f64),
        Lv::Number(number) => Some(*number),
        Lv::String(text) => text.to_str().ok()?.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}

/// A number as Lua 5.1 writes it.
fn number_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let mut out = Vec::new();
    text::push_number(&mut out, number, Numbers::Kong);
    String::from_utf8(out).unwrap_or_default()
}

/// What ngx_lua takes where it asks for a text: strings, numbers, booleans and nil.
fn text_of(lua: &Lua, value: &Lv, function: &str, position: usize) -> mlua::Result<Vec<u8>> {
    Ok(match value {
        Lv::String(text) if text.as_bytes().len() > LONGEST => {
            let message = format!("bad argument #{position} to '{function}' (longer than {LONGEST} bytes)");
            return Err(raise(lua, &message));
        }
        Lv::String(text) => text.as_bytes().to_vec(),
        Lv::Nil | Lv::Boolean(false) => Vec::new(),
        Lv::Integer(number) => number.to_string().into_bytes(),
        Lv::Number(number) => number_text(*number).into_bytes(),
        Lv::Boolean(true) => b"true".to_vec(),
        other => {
            let message =
                format!("bad argument #{position} to '{function}' (string expected, got {})", kind_name(other));
            return Err(raise(lua, &message));
        }
    })
}

/// A limit on headers or arguments, `default` where none is given; 0 is none at all.
fn most(lua: &Lua, default: usize, given: &Lv, function: &str, position: usize) -> mlua::Result<usize> {
    match (given, number(given)) {
        (Lv::Nil, _) => Ok(default),
        (_, Some(number)) if number >= 0.0 => Ok(number as usize),
        (_, Some(_)) => Ok(default),
        (other, None) => {
            let message =
                format!("bad argument #{position} to '{function}' (number expected, got {})", kind_name(other));
            Err(raise(lua, &message))
        }
    }
}

/// A table, and that there was more of it. One value where there was not: `f(ngx.req.get_headers())` has to be right.
fn with_cut(lua: &Lua, table: Table, cut: bool) -> mlua::Result<MultiValue> {
    if cut { (table, "truncated").into_lua_multi(lua) } else { table.into_lua_multi(lua) }
}

/// Does `work` on one piece of `text` after the other, so that a script whose time is over ends between two.
fn in_pieces(text: &[u8], mut work: impl FnMut(&[u8])) -> mlua::Result<()> {
    for piece in text.chunks(64 << 10) {
        if deadline::is_over() {
            return Err(mlua::Error::runtime(OUT_OF_TIME));
        }
        work(piece);
    }
    Ok(())
}
