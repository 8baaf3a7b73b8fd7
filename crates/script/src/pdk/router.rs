//! `kong.router` (kong/pdk/router.lua).

use std::rc::Rc;

use mlua::{Lua, Table};

use crate::host::entities::entity;
use crate::host::{Module, State};

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("get_route", |lua, state, (): ()| entity(lua, state, "route"))?;
    module.function("get_service", |lua, state, (): ()| entity(lua, state, "service"))?;
    Ok(module.done())
}
