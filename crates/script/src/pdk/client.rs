//! `kong.client` (kong/pdk/client.lua).

use std::rc::Rc;

use mlua::{Lua, Table, Value as Lv};

use super::forwarded::{forwarded, peer_address, variable};
use super::json;
use crate::host::base64::decode_url_safe;
use crate::host::entities::{credential, entity, groups};
use crate::host::headers::first_header;
use crate::host::request::Address;
use crate::host::{Module, State, is_session};
use crate::runtime::{frozen, raise, work};
use crate::transaction::{Level, Value, View};

/// The phases in which the consumer and the route are known.
const AUTH_AND_LATER: &str = "access, response, header_filter, body_filter, log";

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("get_ip", |_, state, (): ()| Ok(peer_address(state)))?;
    module.function("get_forwarded_ip", |_, state, (): ()| {
        Ok(state.context_text("forwarded_ip").or_else(|| state.text(Level::Root, "client_ip")))
    })?;
    module.function("get_port", |_, state, (): ()| {
        Ok(variable(state, "realip_remote_port", |view| view.number()).or_else(|| forwarded_port(state)))
    })?;
    module.function("get_forwarded_port", |_, state, (): ()| Ok(forwarded_port(state)))?;
    module.function_in(AUTH_AND_LATER, "get_consumer", |lua, state, (): ()| entity(lua, state, "consumer"))?;
    module.function_in(AUTH_AND_LATER, "get_credential", |lua, state, (): ()| credential(lua, state))?;
    module.function_in(AUTH_AND_LATER, "load_consumer", load_consumer)?;
    module.function_in(AUTH_AND_LATER, "get_protocol", protocol)?;
    module.function_in(AUTH_AND_LATER, "get_consumer_groups", |lua, state, (): ()| groups(lua, state))?;
    module.function_in(AUTH_AND_LATER, "get_consumer_group", |lua, state, (): ()| match groups(lua, state)? {
        Lv::Table(groups) => groups.raw_get(1),
        _ => Ok(Lv::Nil),
    })?;
    module.function("get_token", |lua, state, (): ()| token(lua, state))?;
    module.function("get_jwt_token_payload", |lua, state, (): ()| {
        let Some(token) = token(lua, state)? else { return Ok(None) };
        payload(lua, state, &token)
    })?;
    let setters = [
        "authenticate",
        "authenticate_consumer_group_by_consumer_id",
        "set_authenticated_consumer_group",
        "set_authenticated_consumer_groups",
    ];
    module.changing("kong.client", &setters, "access")?;
    let module = module.done();
    module.raw_set("tls", frozen(tls(lua, state)?))?;
    Ok(module)
}

/// The bearer token of the request (RFC 6750), if it has one.
fn token(lua: &Lua, state: &State) -> mlua::Result<Option<String>> {
    let Lv::String(header) = first_header(lua, state, Level::RequestHeaders, b"authorization")? else {
        return Ok(None);
    };
    let header = header.to_string_lossy();
    let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(token.map(|(_, token)| token.trim().to_owned()).filter(|token| !token.is_empty()))
}

/// The claims of a JWT (RFC 7519), without a look at its signature; `None` if `token` is no such token.
fn payload(lua: &Lua, state: &State, token: &str) -> mlua::Result<Option<Table>> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    work(claims.len());
    match decode_url_safe(claims.as_bytes()) {
        Some(text) => json::decode(lua, state, &text),
        None => Ok(None),
    }
}

/// `kong.client.tls` (kong/pdk/client/tls.lua).
fn tls(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.changing("kong.client.tls", &["request_client_certificate", "disable_session_reuse"], "certificate")?;
    module.changing("kong.client.tls", &["set_client_verify"], "rewrite, access, balancer, response")?;
    module.function("get_full_client_certificate_chain", |_, state, (): ()| {
        let text = |view: View<'_>| view.text().map(|text| text.into_owned());
        let given = state.context_text("client_certificate_chain");
        Ok(given.or_else(|| variable(state, "ssl_client_raw_cert", text)))
    })?;
    Ok(module.done())
}

fn forwarded_port(state: &State) -> Option<f64> {
    state.context_number("client_port").or_else(|| variable(state, "remote_port", |view| view.number()))
}

/// The transaction's own consumer, if it is the requested one. There is no database to load others from.
fn load_consumer(lua: &Lua, state: &State, (id, by_name): (Lv, Lv)) -> mlua::Result<(Lv, Option<&'static str>)> {
    let Lv::String(id) = id else { return Err(raise(lua, "consumer_id must be a string")) };
    let id = id.to_string_lossy();
    let by_name = !matches!(by_name, Lv::Nil | Lv::Boolean(false));
    let is_uuid = id.len() == 36 && uuid::Uuid::try_parse(&id).is_ok();
    if !is_uuid && !by_name {
        return Err(raise(lua, "cannot load a consumer with an id that is not a uuid"));
    }
    let is = |name: &str| {
        let found = state.member(Level::Root, "consumer", |consumer| Some(consumer.get(name)?.text()? == id));
        found.unwrap_or(false)
    };
    if (is_uuid && is("id")) || (by_name && is("username")) {
        return Ok((entity(lua, state, "consumer")?, None));
    }
    Ok((Lv::Nil, Some("kong.client.load_consumer knows the transaction's own consumer only: others are out of reach")))
}

/// The client's protocol: the one that the proxy sent along, else the route's only one, else the one that matches the
/// connection.
fn protocol(lua: &Lua, state: &State, allow_terminated: Lv) -> mlua::Result<(Option<String>, Option<&'static str>)> {
    if let Some(given) = state.context_text("client_protocol") {
        return Ok((Some(given), None));
    }
    let of_route = state.member(Level::Root, "route", |route| {
        if route.is_null() {
            return None;
        }
        let Some(Value::Array(protocols)) = route.get("protocols").map(View::value) else { return Some(Vec::new()) };
        Some(protocols.into_iter().filter_map(View::text).map(|text| text.into_owned()).collect::<Vec<_>>())
    });
    let Some(protocols) = of_route else { return Ok((None, Some("No active route found"))) };
    if let [only] = &protocols[..] {
        return Ok((Some(only.clone()), None));
    }
    let answer = |secure: bool, yes: &str, no: &str| Ok((Some(if secure { yes } else { no }.to_owned()), None));
    if is_session(state) {
        let tls =
            state.member(Level::Root, "session", |session| session.get("tls").filter(|tls| !tls.is_null()).map(|_| ()));
        return answer(tls.is_some(), "tls", "tcp");
    }
    let Some(address) = Address::of(state) else {
        return Err(raise(lua, "could not determine the protocol of the client"));
    };
    let terminated = !matches!(allow_terminated, Lv::Nil | Lv::Boolean(false));
    if address.scheme == "https" || !terminated {
        return answer(address.scheme == "https", "https", "http");
    }
    let several = state.member(Level::RequestHeaders, "x-forwarded-proto", |view| match view.value() {
        Value::Array(values) => (values.len() > 1).then_some(()),
        _ => None,
    });
    match forwarded(state, "x-forwarded-proto") {
        Some(scheme) if several.is_some() || scheme.contains(',') => {
            Ok((None, Some("Only one X-Forwarded-Proto header allowed")))
        }
        given => answer(given.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")), "https", "http"),
    }
}
