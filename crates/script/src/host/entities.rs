//! Kong's entities of a transaction as Lua values: each a new table.

use mlua::{Lua, Value as Lv};

use super::state::State;
use crate::runtime::check;
use crate::transaction::{Value, View};

/// The consumer's groups, each a table with `name` and `id`, also where the proxy handed over their names alone.
pub(crate) fn groups(lua: &Lua, state: &State) -> mlua::Result<Lv> {
    let given = state.with(|transaction| {
        let Value::Array(groups) = transaction.context("consumer_groups")?.value() else { return None };
        let group = |group: View<'_>| -> mlua::Result<Lv> {
            let Some(name) = group.text() else { return state.to_lua(lua, group) };
            let table = lua.create_table()?;
            table.raw_set("name", &*name)?;
            table.raw_set("id", group_id(&name))?;
            Ok(Lv::Table(table))
        };
        Some(groups.into_iter().map(group).collect::<mlua::Result<Vec<_>>>())
    });
    match given.flatten().transpose()? {
        Some(groups) if !groups.is_empty() => lua.create_sequence_from(groups).map(Lv::Table),
        _ => Ok(Lv::Nil),
    }
}

/// The id that Kong without a database gives the consumer group `name` (kong/db/schema/others/declarative_config.lua).
fn group_id(name: &str) -> String {
    const ENTITIES: uuid::Uuid = uuid::uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");
    let groups = uuid::Uuid::new_v5(&ENTITIES, b"consumer_groups");
    uuid::Uuid::new_v5(&groups, name.as_bytes()).to_string()
}

/// The client's credential: the ids of the log object, and the members that the proxy sent along.
pub(crate) fn credential(lua: &Lua, state: &State) -> mlua::Result<Lv> {
    let logged = entity(lua, state, "authenticated_entity")?;
    let given = state.with(|transaction| transaction.context("credential").map(|view| state.to_lua(lua, view)));
    match (&logged, given.flatten().transpose()?) {
        (Lv::Table(all), Some(Lv::Table(given))) => given.for_each(|name: Lv, value: Lv| {
            check()?;
            all.raw_set(name, value)
        })?,
        (_, Some(given @ Lv::Table(_))) => return Ok(given),
        _ => {}
    }
    Ok(logged)
}

/// An object of the transaction as a new table, or nil.
pub(crate) fn entity(lua: &Lua, state: &State, member: &str) -> mlua::Result<Lv> {
    let value = state.with(|transaction| transaction.get(member).map(|view| state.to_lua(lua, view)));
    Ok(match value.flatten().transpose()? {
        Some(table @ Lv::Table(_)) => table,
        _ => Lv::Nil,
    })
}
