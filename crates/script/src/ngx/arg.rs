//! `ngx.arg`: the response's body in `body_filter`, which gets all of it at once.

use std::rc::Rc;

use mlua::{Lua, Table, Value as Lv};

use super::closed::wrong_context;
use crate::host::request::body;
use crate::host::{Phase, State};
use crate::runtime::{frozen, host_function};

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let metatable = lua.create_table()?;
    let shared = state.clone();
    let read = host_function(lua, move |lua, (_, key): (Lv, Lv)| {
        allowed(lua, &shared)?;
        Ok(match key.as_i64().or_else(|| key.as_f64().filter(|key| key.fract() == 0.0).map(|key| key as i64)) {
            // A chunk that does not exist is an empty one.
            Some(1) => Lv::String(lua.create_string(body(&shared, "response_body").unwrap_or_default())?),
            // Whether it is the last chunk.
            Some(2) => Lv::Boolean(true),
            _ => Lv::Nil,
        })
    })?;
    let (shared, name) = (state.clone(), Rc::from("ngx.arg"));
    let write = host_function(lua, move |lua, _: (Lv, Lv, Lv)| {
        allowed(lua, &shared)?;
        shared.note_no_effect(&name);
        Ok(())
    })?;
    metatable.raw_set("__index", read)?;
    metatable.raw_set("__newindex", write)?;
    for event in ["__call", "__iter", "__len"] {
        let shared = state.clone();
        let refuse = host_function(lua, move |lua, _: Lv| -> mlua::Result<()> { Err(wrong_context(lua, &shared)) })?;
        metatable.raw_set(event, refuse)?;
    }
    metatable.raw_set("__metatable", false)?;
    let table = lua.create_table()?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(frozen(table))
}

fn allowed(lua: &Lua, state: &State) -> mlua::Result<()> {
    // Luau may cache values that it looks up while loading a snippet.
    if state.phase.get() == Phase::BodyFilter || state.loading.get() { Ok(()) } else { Err(wrong_context(lua, state)) }
}
