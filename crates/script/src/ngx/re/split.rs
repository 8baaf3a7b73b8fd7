//! The module `ngx.re` of `require` (lua-resty-core).

use mlua::{Lua, MultiValue, Table, Value as Lv};

use super::{Engine, Walk, begin, failed, letters, text};
use crate::runtime::{check, host_function};
use logphase_regex::UNSET;

/// The module.
pub(crate) fn module(lua: &Lua) -> mlua::Result<Table> {
    let engine = Engine::default();
    let table = lua.create_table()?;
    let split = move |lua: &Lua, arguments: (Lv, Lv, Lv, Lv, Lv, Lv)| split(lua, &engine, arguments);
    table.raw_set("split", host_function(lua, split)?)?;
    // It sets limits of PCRE's JIT, which does not exist here.
    table.raw_set("opt", host_function(lua, |_, _: MultiValue| Ok(()))?)?;
    Ok(table)
}

/// The parts of a text between matches, and the captures of the separators.
fn split(
    lua: &Lua,
    engine: &Engine,
    (subject, regex, options, context, max, into): (Lv, Lv, Lv, Lv, Lv, Lv),
) -> mlua::Result<MultiValue> {
    let (subject, regex) = (text(lua, &subject, "split", 1)?, text(lua, &regex, "split", 2)?);
    let pattern = match engine.checked_pattern(lua, &regex, letters(lua, &options, "split")?.as_ref())? {
        Ok(pattern) => pattern,
        Err(why) => return failed(lua, why, 1),
    };
    let max = lua.coerce_integer(max)?.and_then(|max| usize::try_from(max).ok()).filter(|max| *max > 0);
    let bytes = subject.as_bytes();
    let from = begin(lua, &context, "split")?;
    let table = match into {
        Lv::Table(table) => table,
        _ => lua.create_table()?,
    };
    if from >= bytes.len() {
        table.raw_set(1, Lv::Nil)?;
        return Ok([Lv::Table(table)].into_iter().collect());
    }
    let (mut walk, mut part_start, mut count, mut pieces) = (Walk { from, done: false }, from, 0, 1);
    let add = |count: &mut usize, part: &[u8]| -> mlua::Result<()> {
        *count += 1;
        table.raw_set(*count, lua.create_string(part)?)
    };
    while max.is_none_or(|max| pieces < max) {
        check()?;
        let slots = match walk.next(engine, &pattern, &bytes, |slots| Ok(slots.to_vec()))? {
            Ok(Some(slots)) => slots,
            Ok(None) => break,
            Err(why) => return failed(lua, why, 1),
        };
        // An empty match at the start or the end does not split off an empty part.
        if slots[0] == slots[1] && (slots[0] == part_start || slots[0] >= bytes.len()) {
            continue;
        }
        add(&mut count, bytes.get(part_start..slots[0]).unwrap_or_default())?;
        for group in slots[2..].chunks_exact(2).take(pattern.groups) {
            if group[0] != UNSET && group[1] != UNSET {
                add(&mut count, bytes.get(group[0]..group[1]).unwrap_or_default())?;
            }
        }
        part_start = slots[1];
        pieces += 1;
    }
    if max.is_some() || part_start < bytes.len() {
        add(&mut count, bytes.get(part_start..).unwrap_or_default())?;
    } else {
        // Without a maximum, empty parts at the end are left out.
        while count > 0 && matches!(table.raw_get::<Lv>(count)?, Lv::String(part) if part.as_bytes().is_empty()) {
            check()?;
            table.raw_set(count, Lv::Nil)?;
            count -= 1;
        }
    }
    // Ends the sequence, as a table that the script passed in may hold more elements.
    table.raw_set(count + 1, Lv::Nil)?;
    Ok([Lv::Table(table)].into_iter().collect())
}
