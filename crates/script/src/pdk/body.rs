//! What bodies and queries say: `get_body` of requests and responses, and the arguments of a form.

use mlua::{IntoLua, Lua, Table, Value as Lv};

use super::super::convert::kind_name;
use super::super::deadline;
use super::super::interrupt::OUT_OF_TIME;
use super::super::state::State;
use super::{json, limit, raise};
use crate::transaction::body::{Format, form, multipart};

/// What `get_body` gives: the table or nil, an error or nil, the kind of content.
pub(super) type Parsed = (Option<Table>, Option<String>, Option<String>);

/// Reads `body` by the type that the script names, else by the header's (kong/pdk/request.lua, get_body).
pub(super) fn parsed(
    lua: &Lua,
    state: &State,
    body: &[u8],
    mimetype: &Lv,
    header: Lv,
    max_args: &Lv,
) -> mlua::Result<Parsed> {
    let given = if matches!(mimetype, Lv::Nil | Lv::Boolean(false)) { &header } else { mimetype };
    let content_type = match given {
        Lv::Nil => return Ok((None, Some("missing content type".to_owned()), None)),
        Lv::String(text) => text.to_string_lossy(),
        other => {
            let kind = kind_name(other);
            return Err(raise(lua, &format!("bad argument #1 to 'lower' (string expected, got {kind})")));
        }
    };
    let failed = |problem: &str, kind: &str| Ok((None, Some(problem.to_owned()), Some(kind.to_owned())));
    let Some(format) = Format::of(&content_type) else {
        let lower = content_type.to_lowercase();
        let kind = lower.split(';').next().unwrap_or_default();
        return failed(&format!("unsupported content type '{content_type}'"), kind);
    };
    let table = match format {
        Format::Form => arguments(lua, body, limit(lua, state.most.post_args, max_args, "max_args")?)?.0,
        Format::Multipart => form_fields(lua, body, &content_type)?,
        Format::Json => match json::decode(lua, state, body)? {
            Some(table) => table,
            None => return failed("invalid json body", format.name()),
        },
    };
    Ok((Some(table), None, Some(format.name().to_owned())))
}

/// As in Kong, what is broken in a form is no error: the fields before it are there.
fn form_fields(lua: &Lua, body: &[u8], content_type: &str) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, value) in multipart::parts(body, content_type, || !deadline::is_over()).fields {
        append(lua, &table, name.as_bytes(), Lv::String(lua.create_string(&value)?))?;
    }
    Ok(table)
}

/// At most `most` arguments of a query or a form, decoded as ngx_lua does; with whether some were cut.
pub(super) fn arguments(lua: &Lua, text: &[u8], most: usize) -> mlua::Result<(Table, bool)> {
    let table = lua.create_table()?;
    let mut count = 0;
    for (name, value) in form::pairs(text) {
        // ngx_lua leaves out what has no name.
        if name.is_empty() {
            checked()?;
            continue;
        }
        if count == most {
            return Ok((table, true));
        }
        count += 1;
        let value = match value {
            Some(value) => Lv::String(lua.create_string(form::decoded(value))?),
            None => Lv::Boolean(true),
        };
        append(lua, &table, &form::decoded(name), value)?;
    }
    Ok((table, false))
}

/// Sets a value, or adds it to those that the name has already.
fn append(lua: &Lua, table: &Table, name: &[u8], value: Lv) -> mlua::Result<()> {
    checked()?;
    let name = lua.create_string(name)?;
    match table.raw_get(&name)? {
        Lv::Nil => table.raw_set(name, value),
        Lv::Table(several) => several.raw_push(value),
        one => table.raw_set(name, lua.create_sequence_from([one, value])?),
    }
}

fn checked() -> mlua::Result<()> {
    if deadline::is_over() { Err(mlua::Error::runtime(OUT_OF_TIME)) } else { Ok(()) }
}

/// "truncated" where something was cut, as ngx_lua says it.
pub(super) fn truncated(lua: &Lua, cut: bool) -> mlua::Result<Lv> {
    cut.then_some("truncated").into_lua(lua)
}
