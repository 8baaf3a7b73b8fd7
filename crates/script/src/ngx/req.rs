//! `ngx.req`, `ngx.resp` and `ngx.header`.

use std::rc::Rc;

use mlua::{IntoLuaMulti, Lua, LuaString, Table, Value as Lv};

use super::argument::{limit, with_truncated};
use super::closed::{self, BEFORE_RESPONSE, Reason};
use super::constants::METHODS;
use super::uri::encode_args;
use crate::host::arguments::arguments;
use crate::host::changes::{set_header, set_method, set_query};
use crate::host::headers::header_table;
use crate::host::request::{body, method, query_table, raw_query};
use crate::host::text::{MAX_TEXT, text_of};
use crate::host::{Module, Phases, State};
use crate::runtime::{frozen, raise, wrong_type};
use crate::transaction::{Level, Value, text};

/// Functions that change the request's body or read it, which the log phase must not call.
const SETTERS: [&str; 7] =
    ["add_header", "append_body", "finish_body", "init_body", "set_body_data", "set_body_file", "socket"];

/// `ngx.req`, which is also a module to require.
pub(crate) fn request(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    get_headers(&mut module, Level::RequestHeaders)?;
    module.function("get_method", |_, state, (): ()| Ok(method(state)))?;
    setters(&mut module)?;
    for name in ["get_uri_args", "get_query_args"] {
        module.function(name, move |lua, state, max_args: Lv| {
            let limit = limit(lua, state.counts.uri_args, &max_args, name, 1)?;
            let (table, more) = match raw_query(state) {
                Some(query) => arguments(lua, query.as_bytes(), limit)?,
                None => query_table(lua, state, limit)?,
            };
            with_truncated(lua, table, more)
        })?;
    }
    module.function("get_post_args", |lua, state, max_args: Lv| {
        let limit = limit(lua, state.counts.post_args, &max_args, "get_post_args", 1)?;
        let Some(form) = body(state, "request_body") else {
            let problem = "no request body found; maybe you should turn on lua_need_request_body?";
            return (Lv::Nil, problem).into_lua_multi(lua);
        };
        let (table, more) = arguments(lua, &form, limit)?;
        with_truncated(lua, table, more)
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
    let reading = Phases::of(BEFORE_RESPONSE);
    // What can be read of the body has been read.
    module.function("read_body", move |lua, state, _: Lv| {
        if reading.has(state.phase.get()) { Ok(()) } else { Err(closed::wrong_context(lua, state)) }
    })?;
    let table = module.done();
    for name in SETTERS {
        let reason = Reason::Phase(BEFORE_RESPONSE);
        table.raw_set(name, closed::function(lua, state, &format!("ngx.req.{name}"), reason)?)?;
    }
    Ok(frozen(table))
}

/// Functions that change the request, and that nginx allows in the log phase. There the message and later reads see the
/// change; in an earlier phase they would change what the upstream gets, which is over.
fn setters(module: &mut Module<'_>) -> mlua::Result<()> {
    let [header, clear, method_name, args, uri] =
        ["set_header", "clear_header", "set_method", "set_uri_args", "set_uri"]
            .map(|name| -> Rc<str> { format!("ngx.req.{name}").into() });
    module.function("set_header", move |lua, state, (name, value): (Lv, Lv)| {
        let name = text_of(lua, &name, "set_header", 1)?;
        let values = match &value {
            Lv::Nil => Vec::new(),
            Lv::Table(several) => {
                let texts = several.sequence_values::<Lv>().take(MAX_VALUES);
                texts.map(|value| text_of(lua, &value?, "set_header", 2)).collect::<mlua::Result<_>>()?
            }
            one => vec![text_of(lua, one, "set_header", 2)?],
        };
        unless_replayed(state, &header, || set_header(lua, state, &name, values))
    })?;
    module.function("clear_header", move |lua, state, name: Lv| {
        let name = text_of(lua, &name, "clear_header", 1)?;
        unless_replayed(state, &clear, || set_header(lua, state, &name, Vec::new()))
    })?;
    module.function("set_method", move |lua, state, method: Lv| {
        let number = method.as_f64().or_else(|| method.as_i64().map(|number| number as f64));
        let Some(number) = number else { return Err(wrong_type(lua, 1, "set_method", "number", &method)) };
        let known = (0..METHODS.len()).find(|at| (2_u32 << at) as f64 == number);
        match known {
            Some(at) => unless_replayed(state, &method_name, || set_method(lua, state, METHODS[at])),
            None => Err(raise(lua, &format!("unsupported HTTP method: {number}"))),
        }
    })?;
    module.function("set_uri_args", move |lua, state, arguments_given: Lv| {
        let query = match &arguments_given {
            Lv::Table(table) => encode_args(lua, table)?,
            Lv::String(_) | Lv::Integer(_) | Lv::Number(_) => text_of(lua, &arguments_given, "set_uri_args", 1)?,
            other => return Err(wrong_type(lua, 1, "set_uri_args", "string, number, or table", other)),
        };
        let (table, _) = arguments(lua, &query, state.counts.uri_args)?;
        unless_replayed(state, &args, || set_query(lua, state, query, &table))
    })?;
    // The upstream has its request already.
    module.function("set_uri", move |lua, state, given: Lv| {
        text_of(lua, &given, "set_uri", 1)?;
        unless_replayed(state, &uri, || Ok(()))
    })?;
    module.function("discard_body", |_, _, (): ()| Ok(()))
}

/// Does `change`, or notes in a replayed phase that `name` has no effect.
fn unless_replayed(state: &State, name: &Rc<str>, change: impl FnOnce() -> mlua::Result<()>) -> mlua::Result<()> {
    if state.replays() {
        state.note_no_effect(name);
        return Ok(());
    }
    change()
}

/// Values of one header.
const MAX_VALUES: usize = 1000;

/// `ngx.resp`, which is also a module to require.
pub(crate) fn response(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    get_headers(&mut module, Level::ResponseHeaders)?;
    let table = module.done();
    for name in ["add_header", "set_status"] {
        let reason = Reason::Phase("rewrite, access, header_filter");
        table.raw_set(name, closed::function(lua, state, &format!("ngx.resp.{name}"), reason)?)?;
    }
    Ok(frozen(table))
}

fn get_headers(module: &mut Module<'_>, level: Level) -> mlua::Result<()> {
    module.function("get_headers", move |lua, state, (max_headers, raw): (Lv, Option<bool>)| {
        let default = match level {
            Level::ResponseHeaders => state.counts.resp_headers,
            _ => state.counts.req_headers,
        };
        let limit = limit(lua, default, &max_headers, "get_headers", 1)?;
        let (table, more) = header_table(lua, state, level, limit)?;
        if raw == Some(true) {
            table.set_metatable(None)?;
        }
        with_truncated(lua, table, more)
    })
}

/// One response header; a table if it is there several times. There is none before the response begins.
pub(super) fn response_header(lua: &Lua, state: &State, name: &str) -> mlua::Result<Lv> {
    if !state.phase.get().has_response() {
        return Ok(Lv::Nil);
    }
    let found = state.with(|transaction| {
        transaction.header(Level::ResponseHeaders, name.as_bytes()).map(|value| match value.value() {
            // In nginx headers are strings, whatever their type in the log object.
            Value::Number(_) | Value::Bool(_) => Ok(Lv::String(lua.create_string(value.raw())?)),
            _ => state.to_lua(lua, value),
        })
    });
    found.flatten().unwrap_or(Ok(Lv::Nil))
}

/// The request's header, composed from the transaction; nginx has the original bytes.
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
    if out.len() > MAX_TEXT {
        return Err(raise(lua, "the request's header is too long"));
    }
    lua.create_string(out).map(Some)
}
