//! `kong.router` (kong/pdk/router.lua).

use std::rc::Rc;

use mlua::{Lua, Table};

use crate::host::entities::entity;
use crate::host::{Module, State};

/// The phases in which the route is known.
const PHASES: &str = "access, response, header_filter, body_filter, log";

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function_in(PHASES, "get_route", |lua, state, (): ()| entity(lua, state, "route"))?;
    module.function_in(PHASES, "get_service", |lua, state, (): ()| entity(lua, state, "service"))?;
    Ok(module.done())
}
