//! `kong.vault` (kong/pdk/vault.lua), for the environment variables that a setting allows.

use std::rc::Rc;

use mlua::{Lua, Table, Value as Lv, Variadic};

use crate::host::{Module, State, out_of_reach};
use crate::runtime::{frozen, host_function, kind_name, raise};
use crate::vault::{Reference, is_reference};

/// Functions of Kong that fetch secrets again, for itself and its other workers.
const CLOSED: [&str; 5] = ["flush", "init_worker", "try", "update", "warmup"];

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("is_reference", |_, _, reference: Lv| {
        Ok(reference.as_string().is_some_and(|text| is_reference(&text.to_string_lossy())))
    })?;
    module.function("parse_reference", |lua, _, reference: Lv| {
        let text = text_of(lua, &reference)?;
        match Reference::parse(&text) {
            Ok(parsed) => Ok((Some(shown(lua, parsed)?), None)),
            Err(error) => Ok((None, Some(format!("{error} [{text}]")))),
        }
    })?;
    module.function("get", |lua, state, (reference, _): (Lv, Lv)| {
        let text = text_of(lua, &reference)?;
        match state.vault.resolve(&text) {
            Ok(value) => Ok((Some(lua.create_string(value)?), None)),
            Err(error) => Ok((None, Some(format!("could not get value from vault: {error} [{text}]")))),
        }
    })?;
    let table = module.done();
    for name in CLOSED {
        let full = format!("kong.vault.{name}");
        let refuse =
            host_function(lua, move |lua, _: Variadic<Lv>| -> mlua::Result<()> { Err(out_of_reach(lua, &full)) })?;
        table.raw_set(name, refuse)?;
    }
    Ok(frozen(table))
}

/// The reference, which Kong takes as a string alone.
fn text_of(lua: &Lua, reference: &Lv) -> mlua::Result<String> {
    match reference {
        Lv::String(text) => Ok(text.to_string_lossy()),
        other => Err(raise(lua, &format!("reference must be a string, not {}", kind_name(other)))),
    }
}

fn shown(lua: &Lua, reference: Reference) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("name", reference.vault)?;
    table.raw_set("resource", reference.resource)?;
    table.raw_set("key", reference.key)?;
    table.raw_set("version", reference.version)?;
    if !reference.config.is_empty() {
        let config = lua.create_table()?;
        reference.config.into_iter().try_for_each(|(name, value)| config.raw_set(name, value))?;
        table.raw_set("config", config)?;
    }
    Ok(table)
}
