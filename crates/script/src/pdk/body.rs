//! `get_body` of requests and responses.

use mlua::{Lua, Table, Value as Lv};

use super::json;
use crate::host::State;
use crate::host::arguments::{append, arguments, limit};
use crate::runtime::{deadline, wrong_type};
use crate::transaction::body::{Format, multipart};

/// The results of `get_body`: the table or nil, an error or nil, the content type.
pub(super) type Parsed = (Option<Table>, Option<String>, Option<String>);

/// Parses `body` by the type that the script names, else by the header's (kong/pdk/request.lua, get_body).
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
        other => return Err(wrong_type(lua, 1, "lower", "string", other)),
    };
    let failed = |problem: &str, kind: &str| Ok((None, Some(problem.to_owned()), Some(kind.to_owned())));
    let Some(format) = Format::of(&content_type) else {
        let lower = content_type.to_lowercase();
        let kind = lower.split(';').next().unwrap_or_default();
        return failed(&format!("unsupported content type '{content_type}'"), kind);
    };
    let table = match format {
        Format::Form => arguments(lua, body, limit(lua, state.counts.post_args, max_args, "max_args")?)?.0,
        Format::Multipart => form_fields(lua, body, &content_type)?,
        Format::Json => match json::decode(lua, state, body)? {
            Some(table) => table,
            None => return failed("invalid json body", format.name()),
        },
    };
    Ok((Some(table), None, Some(format.name().to_owned())))
}

/// The fields of a form. As in Kong a malformed part is not an error, and the fields before it are kept.
fn form_fields(lua: &Lua, body: &[u8], content_type: &str) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, value) in multipart::parts(body, content_type, || !deadline::is_over()).fields {
        append(lua, &table, name.as_bytes(), Lv::String(lua.create_string(&value)?))?;
    }
    Ok(table)
}
