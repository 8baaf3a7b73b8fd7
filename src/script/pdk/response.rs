//! `kong.response` and `kong.service.response` (kong/pdk/response.lua, kong/pdk/service/response.lua).

use std::rc::Rc;

use mlua::{IntoLua, Lua, Table, Value as Lv};

use super::super::environment::frozen;
use super::super::state::State;
use super::headers::{first, header_table};
use super::request::header_pair;
use super::{Module, limit, raise};
use crate::transaction::Level;

const HEADER_PHASES: &str = "rewrite, access, balancer, response, header_filter, error, admin_api";

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module
        .function("get_status", |_, state, (): ()| Ok(state.member(Level::Response, "status", |view| view.number())))?;
    header_pair(&mut module, Level::ResponseHeaders)?;
    module.function("get_source", |_, state, (): ()| {
        // The log object's `source` is one of Kong's names for it; the PDK's word for "upstream" is "service".
        let source = state.text(Level::Root, "source");
        Ok(match source.as_deref() {
            Some("upstream") => "service".to_owned(),
            Some("kong") | None => "exit".to_owned(),
            Some(other) => other.to_owned(),
        })
    })?;
    module.forbidden(&["get_raw_body", "set_raw_body"], "body_filter")?;
    let headers = ["set_status", "set_header", "add_header", "clear_header", "set_headers", "exit", "error"];
    module.forbidden(&headers, HEADER_PHASES)?;
    Ok(module.done())
}

/// `kong.service`: its response, and the refusals of what changes a request that is long gone.
pub(super) fn service(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut response = Module::new(lua, state)?;
    response.function("get_status", |_, state, (): ()| Ok(upstream_status(state)))?;
    response.function("get_header", |lua, state, name: Lv| {
        let Lv::String(name) = name else { return Err(raise(lua, "header name must be a string")) };
        let headers: Table = upstream_headers(lua, state, usize::MAX)?.0;
        match headers.get::<Lv>(name)? {
            Lv::Table(several) => several.raw_get(1),
            one => Ok(one),
        }
    })?;
    response.function("get_headers", |lua, state, most: Lv| {
        let most = limit(lua, state.most.resp_headers, &most, "max_headers")?;
        let (table, cut) = upstream_headers(lua, state, most)?;
        Ok((table, cut.then_some("truncated").into_lua(lua)?))
    })?;
    response.function("get_raw_body", |lua, state, (): ()| {
        let given = state.with(|transaction| {
            transaction.context("service_response")?.get("body").map(|body| first(lua, state, body))
        });
        given.flatten().unwrap_or_else(|| Err(raise(lua, NOT_BUFFERED)))
    })?;
    response.function("get_body", |lua, _, _: Lv| -> mlua::Result<()> { Err(raise(lua, NOT_BUFFERED)) })?;

    let mut request = Module::new(lua, state)?;
    let setters = [
        "set_scheme",
        "set_path",
        "set_raw_query",
        "set_method",
        "set_query",
        "set_header",
        "add_header",
        "clear_header",
        "set_headers",
        "set_raw_body",
        "set_body",
        "enable_buffering",
    ];
    request.forbidden(&setters, "rewrite, access, balancer")?;
    let mut service = Module::new(lua, state)?;
    service.forbidden(&["set_upstream", "set_target", "set_retries", "set_timeouts"], "access")?;
    let service = service.done();
    service.raw_set("response", frozen(response.done()))?;
    service.raw_set("request", frozen(request.done()))?;
    Ok(service)
}

const NOT_BUFFERED: &str = "service body is only available with buffered proxying \
                            (see: kong.service.request.enable_buffering function)";

/// The upstream's status: what the proxy says of it, else the last of `upstream_status` ("502, 200").
fn upstream_status(state: &State) -> Option<f64> {
    let given = state.with(|transaction| transaction.context("service_response")?.get("status")?.number());
    given.flatten().or_else(|| {
        state.member(Level::Root, "upstream_status", |view| match view.text() {
            Some(text) => text.rsplit([',', ':']).next()?.trim().parse().ok(),
            None => view.number(),
        })
    })
}

fn upstream_headers(lua: &Lua, state: &State, most: usize) -> mlua::Result<(Table, bool)> {
    let given = state.with(|transaction| {
        transaction.context("service_response")?.get("headers").map(|headers| state.to_lua(lua, headers))
    });
    match given.flatten().transpose()? {
        Some(Lv::Table(headers)) => {
            // The same lookup in any case as other tables of headers have.
            let (like, _) = header_table(lua, state, Level::ResponseHeaders, 0)?;
            headers.set_metatable(like.metatable())?;
            Ok((headers, false))
        }
        _ => header_table(lua, state, Level::ResponseHeaders, most),
    }
}
