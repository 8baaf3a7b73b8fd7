//! `ngx.req`, `ngx.resp` and `ngx.header`: the request and the response as they were.

use std::rc::Rc;

use mlua::{IntoLuaMulti, Lua, LuaString, Table, Value as Lv};

use super::super::environment::frozen;
use super::super::pdk::{Module, body, header_table, query_table, raise, raw_query};
use super::super::state::State;
use super::closed::{self, Why};
use super::escape::arguments;
use crate::transaction::{Level, Value, text};

/// What changes a request, which the log phase cannot.
const SETTERS: [&str; 14] = [
    "add_header",
    "append_body",
    "clear_header",
    "discard_body",
    "finish_body",
    "init_body",
    "read_body",
    "set_body_data",
    "set_body_file",
    "set_header",
    "set_method",
    "set_uri",
    "set_uri_args",
    "socket",
];

/// `ngx.req`, which is also a module to require.
pub(in super::super) fn request(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    get_headers(&mut module, Level::RequestHeaders)?;
    module.function("get_method", |_, state, (): ()| Ok(state.text(Level::Request, "method")))?;
    for name in ["get_uri_args", "get_query_args"] {
        module.function(name, move |lua, state, most: Lv| {
            let most = super::most(lua, state.most.uri_args, &most, name, 1)?;
            let (table, cut) = match raw_query(state) {
                Some(query) => arguments(lua, query.as_bytes(), most)?,
                None => query_table(lua, state, if most == 0 { usize::MAX } else { most })?,
            };
            super::with_cut(lua, table, cut)
        })?;
    }
    module.function("get_post_args", |lua, state, most: Lv| {
        let most = super::most(lua, state.most.post_args, &most, "get_post_args", 1)?;
        let Some(form) = body(state, "request_body") else {
            let problem = "no request body found; maybe you should turn on lua_need_request_body?";
            return (Lv::Nil, problem).into_lua_multi(lua);
        };
        let (table, cut) = arguments(lua, &form, most)?;
        super::with_cut(lua, table, cut)
    })?;
    module.function("get_body_data", |lua, state, _: Lv| {
        body(state, "request_body").map(|bytes| lua.create_string(bytes)).transpose()
    })?;
    module.function("get_body_file", |_, _, (): ()| Ok(Lv::Nil))?;
    module.function("start_time", |_, state, (): ()| {
        Ok(state.member(Level::Root, "started_at", |view| view.number()).map(|milliseconds| milliseconds / 1000.0))
    })?;
    module.function("http_version", |_, state, (): ()| Ok(state.context_number("http_version").unwrap_or(1.1)))?;
    module.function("is_internal", |_, _, (): ()| Ok(false))?;
    module.function("raw_header", raw_header)?;
    let table = module.done();
    for name in SETTERS {
        table.raw_set(name, closed::function(lua, format!("ngx.req.{name}"), Why::Phase)?)?;
    }
    Ok(frozen(table))
}

/// `ngx.resp`, which is also a module to require.
pub(in super::super) fn response(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    get_headers(&mut module, Level::ResponseHeaders)?;
    let table = module.done();
    for name in ["add_header", "set_status"] {
        table.raw_set(name, closed::function(lua, format!("ngx.resp.{name}"), Why::Phase)?)?;
    }
    Ok(frozen(table))
}

fn get_headers(module: &mut Module<'_>, level: Level) -> mlua::Result<()> {
    module.function("get_headers", move |lua, state, (most, raw): (Lv, Option<bool>)| {
        let default = match level {
            Level::ResponseHeaders => state.most.resp_headers,
            _ => state.most.req_headers,
        };
        let most = super::most(lua, default, &most, "get_headers", 1)?;
        let (table, cut) = header_table(lua, state, level, if most == 0 { usize::MAX } else { most })?;
        if raw == Some(true) {
            table.set_metatable(None)?;
        }
        super::with_cut(lua, table, cut)
    })
}

/// One response header, or a table of those that are there several times.
pub(super) fn response_header(lua: &Lua, state: &State, name: &str) -> mlua::Result<Lv> {
    let found = state.with(|transaction| {
        transaction.header(Level::ResponseHeaders, name.as_bytes()).map(|value| match value.value() {
            // nginx gives texts, whatever the log object made of them.
            Value::Number(_) | Value::Bool(_) => Ok(Lv::String(lua.create_string(value.raw())?)),
            _ => state.to_lua(lua, value),
        })
    });
    found.flatten().unwrap_or(Ok(Lv::Nil))
}

/// nginx has the bytes of the request; here the header is put together from what the transaction says.
fn raw_header(lua: &Lua, state: &State, no_request_line: Option<bool>) -> mlua::Result<Option<LuaString>> {
    let Some(method) = state.text(Level::Request, "method") else { return Ok(None) };
    let uri = state.text(Level::Request, "uri").unwrap_or_default();
    let version = state.context_number("http_version").unwrap_or(1.1);
    let mut out = Vec::new();
    if no_request_line != Some(true) {
        out.extend_from_slice(format!("{method} {uri} HTTP/{version:.1}\r\n").as_bytes());
    }
    state.with(|transaction| {
        let bytes = transaction.bytes();
        for member in transaction.members_at(Level::RequestHeaders) {
            let name = text::unescape(member.key.of(bytes));
            let value = crate::transaction::View::new(member.value.of(bytes));
            let values = match value.value() {
                Value::Array(several) => several,
                _ => vec![value],
            };
            for value in values {
                out.extend_from_slice(&name);
                out.extend_from_slice(b": ");
                match value.string() {
                    Some(text) => out.extend_from_slice(&text),
                    None => out.extend_from_slice(value.raw()),
                }
                out.extend_from_slice(b"\r\n");
            }
        }
    });
    out.extend_from_slice(b"\r\n");
    if out.len() > super::LONGEST {
        return Err(raise(lua, "the request's header is too long"));
    }
    lua.create_string(out).map(Some)
}
