//! `kong.service` (kong/pdk/service.lua, kong/pdk/service/{request,response}.lua): the upstream's response, and the
//! errors of functions that change the request.

use std::rc::Rc;

use base64::Engine;
use mlua::{Lua, Table, Value as Lv};

use super::body;
use crate::host::arguments::{limit, truncated};
use crate::host::headers::{header_table, header_table_of};
use crate::host::{Module, State, request};
use crate::runtime::{frozen, raise};
use crate::transaction::Level;

/// The phases that may read the upstream's response.
const READ_PHASES: &str = "response, header_filter, body_filter, log";

const NOT_BUFFERED: &str = "service body is only available with buffered proxying \
                            (see: kong.service.request.enable_buffering function)";

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut service = Module::new(lua, state)?;
    service.changing(
        "kong.service",
        &["set_upstream", "set_target_retry_callback", "set_retries", "set_timeouts"],
        "access",
    )?;
    let early = ["set_target", "set_tls_cert_key", "set_tls_verify", "set_tls_verify_depth", "set_tls_verify_store"];
    service.changing("kong.service", &early, "rewrite, access, balancer, preread")?;
    let service = service.done();
    service.raw_set("response", frozen(response(lua, state)?))?;
    service.raw_set("request", frozen(request_table(lua, state)?))?;
    Ok(service)
}

fn request_table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut request = Module::new(lua, state)?;
    let until_balancer = ["enable_buffering", "set_scheme", "set_path", "set_header", "set_raw_body"];
    request.changing("kong.service.request", &until_balancer, "rewrite, access, balancer")?;
    let until_access = [
        "set_raw_query",
        "set_method",
        "set_query",
        "clear_query_arg",
        "add_header",
        "clear_header",
        "set_headers",
        "set_body",
    ];
    request.changing("kong.service.request", &until_access, "rewrite, access")?;
    request.changing("kong.service.request", &["enable_tls", "disable_tls"], "balancer, preread")?;
    Ok(request.done())
}

fn response(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut response = Module::new(lua, state)?;
    response.function_in(READ_PHASES, "get_status", |_, state, (): ()| Ok(upstream_status(state)))?;
    response.function_in(READ_PHASES, "get_header", |lua, state, name: Lv| {
        let Lv::String(_) = name else { return Err(raise(lua, "name must be a string")) };
        upstream_header(lua, state, name)
    })?;
    response.function_in(READ_PHASES, "get_headers", |lua, state, max_headers: Lv| {
        let limit = limit(lua, state.counts.resp_headers, &max_headers, "max_headers")?;
        let (table, more) = upstream_headers(lua, state, limit)?;
        Ok((table, truncated(lua, more)?))
    })?;
    response.function_in(READ_PHASES, "get_raw_body", |lua, state, (): ()| match upstream_body(state) {
        Some(bytes) => lua.create_string(bytes),
        None => Err(raise(lua, NOT_BUFFERED)),
    })?;
    response.function_in(READ_PHASES, "get_body", |lua, state, (mimetype, max_args): (Lv, Lv)| {
        let Some(bytes) = upstream_body(state) else { return Err(raise(lua, NOT_BUFFERED)) };
        let header = upstream_header(lua, state, Lv::String(lua.create_string("content-type")?))?;
        body::parsed(lua, state, &bytes, &mimetype, header, &max_args)
    })?;
    Ok(response.done())
}

/// The upstream's status: the one that the proxy sent along, else the last of `upstream_status` ("502, 200").
fn upstream_status(state: &State) -> Option<f64> {
    let given = state.with(|transaction| transaction.context("service_response")?.get("status")?.number());
    given.flatten().or_else(|| {
        state.member(Level::Root, "upstream_status", |view| match view.text() {
            Some(text) => text.rsplit([',', ':']).next()?.trim().parse().ok(),
            None => view.number(),
        })
    })
}

fn upstream_header(lua: &Lua, state: &State, name: Lv) -> mlua::Result<Lv> {
    let headers: Table = upstream_headers(lua, state, usize::MAX)?.0;
    match headers.get::<Lv>(name)? {
        Lv::Table(several) => several.raw_get(1),
        one => Ok(one),
    }
}

fn upstream_headers(lua: &Lua, state: &State, limit: usize) -> mlua::Result<(Table, bool)> {
    let given = state.with(|transaction| {
        let headers = transaction.context("service_response")?.get("headers")?;
        Some(header_table_of(lua, state, headers, limit))
    });
    match given.flatten() {
        Some(result) => result,
        None => header_table(lua, state, Level::ResponseHeaders, limit),
    }
}

fn upstream_body(state: &State) -> Option<Vec<u8>> {
    own_body(state).or_else(|| request::body(state, "response_body"))
}

/// The body that the proxy handed over as the upstream's own.
fn own_body(state: &State) -> Option<Vec<u8>> {
    state.with(|transaction| {
        let response = transaction.context("service_response")?;
        let text = response.get("body")?.string()?.into_owned();
        let encoded = response.get("body_base64").is_some_and(|flag| flag.raw() == b"true");
        if encoded { base64::engine::general_purpose::STANDARD.decode(text).ok() } else { Some(text) }
    })?
}
