//! `kong.client` (kong/pdk/client.lua).

use std::rc::Rc;

use mlua::{IntoLua, Lua, Table, Value as Lv};

use super::super::state::State;
use super::request::Address;
use super::{Module, raise};
use crate::transaction::{Level, View};

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("get_ip", |_, state, (): ()| Ok(state.text(Level::Root, "client_ip")))?;
    module.function("get_forwarded_ip", |_, state, (): ()| {
        Ok(state.context_text("forwarded_ip").or_else(|| state.text(Level::Root, "client_ip")))
    })?;
    for name in ["get_port", "get_forwarded_port"] {
        module.function(name, |_, state, (): ()| Ok(state.context_number("client_port")))?;
    }
    for (name, member) in [("get_consumer", "consumer"), ("get_credential", "authenticated_entity")] {
        module.function(name, move |lua, state, (): ()| entity(lua, state, member))?;
    }
    module.function("get_protocol", |lua, state, _: Lv| protocol(lua, state))?;
    module.function("get_consumer_groups", |lua, state, (): ()| {
        state
            .with(|transaction| transaction.context("consumer_groups").map(|view| state.to_lua(lua, view)))
            .flatten()
            .unwrap_or(Ok(Lv::Nil))
    })?;
    module.forbidden(&["authenticate"], "access")?;
    module.forbidden(&["load_consumer"], "access, header_filter, response, body_filter, admin_api")?;
    Ok(module.done())
}

/// An object of the transaction as a new table, nil where there is none.
pub(super) fn entity(lua: &Lua, state: &State, member: &str) -> mlua::Result<Lv> {
    let value = state.with(|transaction| transaction.get(member).map(|view| state.to_lua(lua, view)));
    Ok(match value.flatten().transpose()? {
        Some(table @ Lv::Table(_)) => table,
        _ => Lv::Nil,
    })
}

/// The protocol that the client spoke: what the proxy says, else the one of the route's that fits.
fn protocol(lua: &Lua, state: &State) -> mlua::Result<Lv> {
    if let Some(given) = state.context_text("client_protocol") {
        return given.into_lua(lua);
    }
    let of_route = state.member(Level::Root, "route", |route| {
        let crate::transaction::Value::Array(protocols) = route.get("protocols")?.value() else { return None };
        Some(protocols.into_iter().filter_map(View::text).map(|text| text.into_owned()).collect::<Vec<_>>())
    });
    let Some(protocols) = of_route else { return Ok(Lv::Nil) };
    if let [only] = &protocols[..] {
        return only.as_str().into_lua(lua);
    }
    let Some(address) = Address::of(state) else {
        return Err(raise(lua, "could not determine the protocol of the client"));
    };
    protocols.into_iter().find(|protocol| *protocol == address.scheme).into_lua(lua)
}
