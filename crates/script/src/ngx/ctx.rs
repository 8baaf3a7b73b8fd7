//! What Kong keeps in `ngx.ctx` (kong/runloop/handler.lua, kong/runloop/balancer, kong/pdk/log.lua), as far as the transaction
//! tells.

use std::rc::Rc;

use mlua::{IntoLua, Lua, Table, Value as Lv};

use crate::host::entities::{credential, entity, groups};
use crate::host::request::{Address, body};
use crate::host::{Phase, State, is_session};
use crate::runtime::{frozen, host_function};
use crate::transaction::{Level, Value, View};

/// The metatable that gives `ngx.ctx` its members when they are first read: most snippets use it for their own values.
pub(super) fn metatable(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let metatable = lua.create_table()?;
    let shared = state.clone();
    let find = host_function(lua, move |lua, (table, name): (Table, Lv)| {
        let Lv::String(key) = &name else { return Ok(Lv::Nil) };
        let value = member(lua, &shared, &key.to_string_lossy())?;
        let changes = matches!(&*key.as_bytes(), b"serialize_values" | b"KONG_PHASE");
        if !value.is_nil() && !changes {
            table.raw_set(name, value.clone())?;
        }
        Ok(value)
    })?;
    metatable.raw_set("__index", find)?;
    metatable.raw_set("__metatable", false)?;
    Ok(frozen(metatable))
}

/// The members, other than those that a proxy hands over.
pub(crate) const MEMBERS: [&str; 24] = [
    "KONG_PHASE",
    "KONG_PROCESSING_START",
    "KONG_PROXIED",
    "KONG_PROXY_LATENCY",
    "KONG_RECEIVE_TIME",
    "KONG_RESPONSE_LATENCY",
    "KONG_WAITING_TIME",
    "authenticated_consumer",
    "authenticated_consumer_groups",
    "authenticated_credential",
    "balancer_data",
    "buffered_body",
    "buffered_headers",
    "buffered_proxying",
    "buffered_status",
    "client_ip",
    "host_port",
    "is_proxy_request",
    "request_uri",
    "route",
    "router_matches",
    "serialize_values",
    "service",
    "workspace",
];

/// Members that are there before the route is known.
const FROM_THE_START: [&str; 8] = [
    "KONG_PHASE",
    "KONG_PROCESSING_START",
    "client_ip",
    "host_port",
    "is_proxy_request",
    "request_uri",
    "serialize_values",
    "workspace",
];

/// Members that are there once the request was routed and its client is known.
const FROM_ACCESS: [&str; 6] = [
    "authenticated_consumer",
    "authenticated_consumer_groups",
    "authenticated_credential",
    "route",
    "router_matches",
    "service",
];

/// Whether Kong has filled the member `name` in the running phase.
fn is_filled(state: &State, name: &str) -> bool {
    match state.phase.get() {
        Phase::Rewrite => FROM_THE_START.contains(&name),
        Phase::Access => FROM_THE_START.contains(&name) || FROM_ACCESS.contains(&name),
        Phase::HeaderFilter | Phase::BodyFilter | Phase::Log => true,
    }
}

fn member(lua: &Lua, state: &State, name: &str) -> mlua::Result<Lv> {
    if !is_filled(state, name) {
        return Ok(Lv::Nil);
    }
    let of_upstream = |name: &str| {
        state.with(|transaction| Some(state.to_lua(lua, transaction.context("service_response")?.get(name)?)))
    };
    let latency = |name: &str| state.member(Level::Root, "latencies", |latencies| latencies.get(name)?.number());
    let proxied = || state.text(Level::Root, "source").is_some_and(|source| source == "upstream");
    match name {
        "route" | "service" => entity(lua, state, name),
        "authenticated_consumer" => entity(lua, state, "consumer"),
        "authenticated_credential" => credential(lua, state),
        "authenticated_consumer_groups" => groups(lua, state),
        "balancer_data" => balancer_data(lua, state),
        "buffered_proxying" => {
            let buffered = state.with(|transaction| transaction.context("service_response")?.get("body").map(|_| ()));
            Ok(if buffered.flatten().is_some() { Lv::Boolean(true) } else { Lv::Nil })
        }
        "buffered_body" => match body(state, "response_body") {
            Some(bytes) => lua.create_string(bytes).map(Lv::String),
            None => Ok(Lv::Nil),
        },
        "buffered_status" | "buffered_headers" => {
            of_upstream(&name["buffered_".len()..]).flatten().transpose().map(|value| value.unwrap_or(Lv::Nil))
        }
        "serialize_values" => state.recorded_edits.to_lua(lua, state),
        // The numbers are those of kong/pdk/private/phases.lua.
        "KONG_PHASE" => Ok(Lv::Integer(match state.phase.get() {
            Phase::Rewrite => 0x10,
            Phase::Access => 0x20,
            Phase::HeaderFilter => 0x200,
            Phase::BodyFilter => 0x400,
            Phase::Log => 0x2000,
        })),
        "host_port" => Address::of(state).and_then(|address| address.port).into_lua(lua),
        "is_proxy_request" => Ok(if is_session(state) { Lv::Nil } else { Lv::Boolean(true) }),
        "router_matches" => match captures(lua, state)? {
            Lv::Nil => Ok(Lv::Nil),
            captures => {
                let matches = lua.create_table()?;
                matches.raw_set("uri_captures", captures)?;
                Ok(Lv::Table(matches))
            }
        },
        "request_uri" => state.text(Level::Request, "uri").into_lua(lua),
        "workspace" | "client_ip" => state.text(Level::Root, name).into_lua(lua),
        "KONG_PROCESSING_START" => state.member(Level::Root, "started_at", |view| view.number()).into_lua(lua),
        "KONG_PROXIED" => Ok(if proxied() { Lv::Boolean(true) } else { Lv::Nil }),
        "KONG_PROXY_LATENCY" if proxied() => latency("kong").into_lua(lua),
        "KONG_RESPONSE_LATENCY" if !proxied() && !is_session(state) => latency("kong").into_lua(lua),
        "KONG_WAITING_TIME" if proxied() => latency("proxy").into_lua(lua),
        "KONG_RECEIVE_TIME" if proxied() => latency("receive").into_lua(lua),
        _ => Ok(Lv::Nil),
    }
}

/// The captures of the route's path, as the proxy handed them over: by number and by name.
fn captures(lua: &Lua, state: &State) -> mlua::Result<Lv> {
    let given = state.with(|transaction| transaction.context("uri_captures").map(|view| state.to_lua(lua, view)));
    let Some(Lv::Table(given)) = given.flatten().transpose()? else { return Ok(Lv::Nil) };
    let all = lua.create_table()?;
    if let Lv::Table(unnamed) = given.raw_get("unnamed")? {
        unnamed.for_each(|at: Lv, value: Lv| all.raw_set(at, value))?;
    }
    if let Lv::Table(named) = given.raw_get("named")? {
        named.for_each(|name: Lv, value: Lv| all.raw_set(name, value))?;
    }
    if let whole @ Lv::String(_) = given.raw_get::<Lv>("whole")? {
        all.raw_set(0, whole)?;
    }
    Ok(Lv::Table(all))
}

/// The tries of the balancer, and the target of the last one.
fn balancer_data(lua: &Lua, state: &State) -> mlua::Result<Lv> {
    let tries = state.with(|transaction| transaction.get("tries").map(|view| state.to_lua(lua, view)));
    let Some(Lv::Table(tries)) = tries.flatten().transpose()? else { return Ok(Lv::Nil) };
    let data = lua.create_table()?;
    let count = tries.raw_len();
    if let Lv::Table(last) = tries.raw_get(count)? {
        for name in ["ip", "port"] {
            data.raw_set(name, last.raw_get::<Lv>(name)?)?;
        }
    }
    let host = state.member(Level::Root, "service", |service: View<'_>| match service.get("host")?.value() {
        Value::String(host) => Some(String::from_utf8_lossy(&host).into_owned()),
        _ => None,
    });
    data.raw_set("host", host)?;
    data.raw_set("try_count", count)?;
    data.raw_set("tries", tries)?;
    Ok(Lv::Table(data))
}
