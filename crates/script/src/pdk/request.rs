//! `kong.request` (kong/pdk/request.lua).

use std::rc::Rc;

use mlua::{IntoLuaMulti, Lua, LuaString, Table, Value as Lv};

use super::body::parsed;
use super::forwarded::forwarded;
use crate::host::arguments::{limit, truncated};
use crate::host::headers::{first, first_header, header_table};
use crate::host::request::{Address, body, method, query_table, raw_path, raw_query};
use crate::host::uri::normalize;
use crate::host::{Module, Phases, State, wrong_phase};
use crate::runtime::raise;
use crate::transaction::Level;

/// The phases in which Kong may read the request's body.
const BODY_PHASES: &str = "rewrite, access, response, error, admin_api";

/// The phases that may read the rest of the request.
const REQUEST_PHASES: &str = "rewrite, access, response, header_filter, body_filter, log, error, admin_api";

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    address_functions(&mut module)?;
    path_functions(&mut module)?;
    query_functions(&mut module)?;
    header_functions(&mut module)?;
    module.function("get_http_version", |_, state, (): ()| Ok(state.context_number("http_version").unwrap_or(1.1)))?;
    module.function("get_method", |_, state, (): ()| Ok(method(state)))?;
    module.function("get_id", |_, state, (): ()| Ok(state.text(Level::Request, "id").unwrap_or_default()))?;
    module.function("get_start_time", |_, state, (): ()| {
        let given = state.context_number("start_time");
        Ok(given.or_else(|| state.member(Level::Root, "started_at", |view| view.number())))
    })?;
    let readable = Phases::of(BODY_PHASES);
    module.function("get_raw_body", move |lua, state, _: Lv| match request_body(lua, state, readable)? {
        Ok(bytes) => lua.create_string(bytes)?.into_lua_multi(lua),
        Err(problem) => (Lv::Nil, problem).into_lua_multi(lua),
    })?;
    module.function("get_body", move |lua, state, (mimetype, max_args): (Lv, Lv)| {
        let bytes = match request_body(lua, state, readable)? {
            Ok(bytes) => bytes,
            Err(problem) => return Ok((None, Some(problem.to_owned()), None)),
        };
        let header = first_header(lua, state, Level::RequestHeaders, b"content-type")?;
        parsed(lua, state, &bytes, &mimetype, header, &max_args)
    })?;
    Ok(module.done())
}

/// What `get_raw_body` and `get_body` say of a body that the proxy did not hand over, as Kong does of one that is too large.
const NO_BODY: &str = "the transaction has no request body: its proxy has to send it as _context.request_body";

/// The request's body, or why there is none. The log phase has it if the proxy handed it over; the phases in which Kong
/// reads it have an empty one if the request says so.
///
/// # Errors
/// The phase must not read it.
fn request_body(lua: &Lua, state: &State, readable: Phases) -> mlua::Result<Result<Vec<u8>, &'static str>> {
    let may_read = readable.has(state.phase.get());
    match body(state, "request_body") {
        Some(bytes) if may_read || !state.replays() => Ok(Ok(bytes)),
        None if may_read && declares_body(state) => Ok(Err(NO_BODY)),
        None if may_read => Ok(Ok(Vec::new())),
        _ => Err(wrong_phase(lua, state, readable.text())),
    }
}

/// Whether the headers of the request say that it has a body (RFC 9112, section 6).
fn declares_body(state: &State) -> bool {
    let header = |name: &str| {
        state.with(|transaction| Some(transaction.header(Level::RequestHeaders, name.as_bytes())?.text()?.into_owned()))
    };
    let length = header("content-length").flatten();
    length.is_some_and(|length| length.trim() != "0") || header("transfer-encoding").flatten().is_some()
}

fn address_functions(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("get_scheme", |_, state, (): ()| Ok(Address::of(state).map(|address| address.scheme)))?;
    module.function("get_host", |_, state, (): ()| Ok(Address::of(state).map(|address| address.host)))?;
    module.function("get_port", |_, state, (): ()| Ok(Address::of(state).and_then(|address| address.port)))?;
    module.function("get_forwarded_scheme", |_, state, (): ()| {
        let given = state.context_text("forwarded_scheme").or_else(|| forwarded(state, "x-forwarded-proto"));
        Ok(given.map(|scheme| scheme.to_lowercase()).or_else(|| Address::of(state).map(|address| address.scheme)))
    })?;
    module.function("get_forwarded_host", |_, state, (): ()| {
        let given = state.context_text("forwarded_host").or_else(|| {
            let host = forwarded(state, "x-forwarded-host")?;
            Some(split_host(&host).0.to_owned())
        });
        Ok(given.map(|host| host.to_lowercase()).or_else(|| Address::of(state).map(|address| address.host)))
    })?;
    module.function("get_forwarded_port", |_, state, (): ()| {
        let given = state.context_number("forwarded_port").or_else(|| {
            let port = forwarded(state, "x-forwarded-port").and_then(|port| port_number(&port));
            port.or_else(|| port_number(split_host(&forwarded(state, "x-forwarded-host")?).1)).map(f64::from)
        });
        Ok(given.or_else(|| Address::of(state).and_then(|address| address.port).map(f64::from)))
    })
}

/// Splits `user@host:port` into host and port, like Kong.
fn split_host(authority: &str) -> (&str, &str) {
    let host = authority.split_once('@').map_or(authority, |(_, host)| host);
    host.split_once(':').unwrap_or((host, ""))
}

fn port_number(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port > 0)
}

type GetPath = fn(&Lua, &State) -> mlua::Result<Option<LuaString>>;

/// The path as Kong normalizes it: with dot segments resolved, slashes merged, and escapes decoded except those of reserved
/// characters.
fn path(lua: &Lua, state: &State) -> mlua::Result<Option<LuaString>> {
    raw_path(state).map(|path| lua.create_string(normalize(path.as_bytes(), true)?)).transpose()
}

/// The path as it came.
fn raw(lua: &Lua, state: &State) -> mlua::Result<Option<LuaString>> {
    raw_path(state).map(|path| lua.create_string(path)).transpose()
}

fn path_functions(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("get_raw_path", |_, state, (): ()| Ok(raw_path(state)))?;
    module.function("get_path", |lua, state, (): ()| path(lua, state))?;
    module.function("get_path_with_query", |_, state, (): ()| {
        Ok(state.text(Level::Request, "uri").or_else(|| state.context_text("raw_path")).unwrap_or_default())
    })?;
    for (name, get) in [("get_forwarded_path", path as GetPath), ("get_raw_forwarded_path", raw)] {
        module.function(name, move |lua, state, (): ()| {
            let given = state.context_text("forwarded_path").or_else(|| forwarded(state, "x-forwarded-path"));
            match given {
                Some(path) => lua.create_string(path).map(Some),
                None => get(lua, state),
            }
        })?;
    }
    module.function("get_forwarded_prefix", |_, state, (): ()| {
        Ok(state.context_text("forwarded_prefix").or_else(|| forwarded(state, "x-forwarded-prefix")))
    })?;
    module.function("get_uri_captures", |lua, state, (): ()| {
        let given = state.with(|transaction| transaction.context("uri_captures").map(|view| state.to_lua(lua, view)));
        let captures = match given.flatten().transpose()? {
            Some(Lv::Table(table)) => table,
            _ => lua.create_table()?,
        };
        for part in ["unnamed", "named"] {
            if captures.raw_get::<Lv>(part)?.is_nil() {
                let empty = lua.create_table()?;
                if part == "unnamed" {
                    empty.set_metatable(Some(state.array_mark.clone()))?;
                }
                captures.raw_set(part, empty)?;
            }
        }
        if let (Lv::String(whole), Lv::Table(unnamed)) = (captures.raw_get("whole")?, captures.raw_get("unnamed")?) {
            unnamed.raw_set(0, whole)?;
        }
        captures.raw_set("whole", Lv::Nil)?;
        Ok(captures)
    })
}

fn query_functions(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("get_raw_query", |_, state, (): ()| Ok(raw_query(state).unwrap_or_default()))?;
    module.function("get_query", |lua, state, max_args: Lv| {
        let limit = limit(lua, state.counts.uri_args, &max_args, "max_args")?;
        let (table, more) = query_table(lua, state, limit)?;
        Ok((table, truncated(lua, more)?))
    })?;
    module.function("get_query_arg", |lua, state, name: Lv| {
        let Lv::String(name) = name else { return Err(raise(lua, "query argument name must be a string")) };
        if state.changes.borrow().query.is_some() || state.member(Level::Request, "querystring", |_| Some(())).is_none()
        {
            let (all, _) = query_table(lua, state, state.counts.uri_args)?;
            return match all.raw_get(name)? {
                Lv::Table(several) => several.raw_get(1),
                one => Ok(one),
            };
        }
        let name = name.to_string_lossy();
        let value =
            state.member(Level::Request, "querystring", |query| query.get(&name).map(|value| first(lua, state, value)));
        value.transpose().map(|value| value.unwrap_or(Lv::Nil))
    })
}

fn header_functions(module: &mut Module<'_>) -> mlua::Result<()> {
    header_pair(module, Level::RequestHeaders, REQUEST_PHASES)
}

/// `get_header` and `get_headers` on the headers at `level`, for `phases`.
pub(super) fn header_pair(module: &mut Module<'_>, level: Level, phases: &'static str) -> mlua::Result<()> {
    module.function_in(phases, "get_header", move |lua, state, name: Lv| {
        let Lv::String(name) = name else { return Err(raise(lua, "header name must be a string")) };
        first_header(lua, state, level, &name.as_bytes())
    })?;
    module.function_in(phases, "get_headers", move |lua, state, max_headers: Lv| {
        let default = match level {
            Level::ResponseHeaders => state.counts.resp_headers,
            _ => state.counts.req_headers,
        };
        let limit = limit(lua, default, &max_headers, "max_headers")?;
        let (table, more) = header_table(lua, state, level, limit)?;
        Ok((table, truncated(lua, more)?))
    })
}
