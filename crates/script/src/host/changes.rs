//! What snippets have changed in the request: nginx lets the log phase do so, and whatever reads the request later sees it.

use mlua::{Lua, Table, Value as Lv};

use super::state::State;
use crate::message::{KeyPath, Mode};
use crate::runtime::{raise, work};
use crate::transaction::{Level, is_credential};

/// Bytes of all changes of one transaction.
const MAX_BYTES: usize = 1 << 20;

/// The changes of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) method: Option<&'static str>,
    /// The query, without the question mark.
    pub(crate) query: Option<Vec<u8>>,
    /// Headers by their names in lower case, with no value for those that were removed.
    headers: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    bytes: usize,
}

impl Changes {
    fn take_room(&mut self, lua: &Lua, bytes: usize) -> mlua::Result<()> {
        work(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES {
            return Err(raise(lua, &format!("the changes to the request are larger than {MAX_BYTES} bytes")));
        }
        Ok(())
    }

    /// The values of the header `name`; nothing if it is as it came.
    pub(crate) fn header(&self, name: &[u8]) -> Option<&[Vec<u8>]> {
        let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        let same = |known: &[u8]| known.len() == name.len() && known.iter().map(fold).eq(name.iter().map(fold));
        self.headers.iter().find(|(known, _)| same(known)).map(|(_, values)| &values[..])
    }
}

/// Sets the query, in the message as well.
///
/// # Errors
/// The changes or the edits are too large, or the VM failed.
pub(crate) fn set_query(lua: &Lua, state: &State, query: Vec<u8>, arguments: &Table) -> mlua::Result<()> {
    state.changes.borrow_mut().take_room(lua, query.len())?;
    state.changes.borrow_mut().query = Some(query);
    edit(lua, state, "request.querystring", &Lv::Table(arguments.clone()))
}

/// Sets the method, in the message as well.
///
/// # Errors
/// The edits are too large, or the VM failed.
pub(crate) fn set_method(lua: &Lua, state: &State, method: &'static str) -> mlua::Result<()> {
    state.changes.borrow_mut().method = Some(method);
    edit(lua, state, "request.method", &Lv::String(lua.create_string(method)?))
}

/// Sets a header, or removes it if there is no value, in the message as well.
///
/// # Errors
/// The changes or the edits are too large, or the VM failed.
pub(crate) fn set_header(lua: &Lua, state: &State, name: &[u8], values: Vec<Vec<u8>>) -> mlua::Result<()> {
    let name = name.to_ascii_lowercase();
    let shown = match &values[..] {
        [] => Lv::Nil,
        // What Kong writes for credentials.
        _ if is_credential(&name) => Lv::String(lua.create_string("REDACTED")?),
        values => value_of(lua, values)?,
    };
    {
        let mut changes = state.changes.borrow_mut();
        changes.take_room(lua, name.len() + values.iter().map(Vec::len).sum::<usize>() + 64)?;
        changes.headers.retain(|(known, _)| *known != name);
        changes.headers.push((name.clone(), values));
    }
    let name = String::from_utf8_lossy(&name).replace('.', "\\.");
    edit(lua, state, &format!("request.headers.{name}"), &shown)
}

fn edit(lua: &Lua, state: &State, path: &str, value: &Lv) -> mlua::Result<()> {
    let edited = state.edit_within(&KeyPath::parse(path, state.quirks), value, Mode::Set);
    edited.map_err(|error| raise(lua, &error.to_string()))
}

/// Applies the changes to a table of the request's headers.
///
/// # Errors
/// The VM failed.
pub(crate) fn apply_to_headers(lua: &Lua, state: &State, level: Level, table: &Table) -> mlua::Result<()> {
    if level != Level::RequestHeaders {
        return Ok(());
    }
    for (name, values) in &state.changes.borrow().headers {
        table.raw_set(lua.create_string(name)?, value_of(lua, values)?)?;
    }
    Ok(())
}

/// The values of a header as Lua code sees them: nil, a text, or a list.
///
/// # Errors
/// The VM failed.
pub(crate) fn value_of(lua: &Lua, values: &[Vec<u8>]) -> mlua::Result<Lv> {
    Ok(match values {
        [] => Lv::Nil,
        [one] => Lv::String(lua.create_string(one)?),
        several => {
            let several = several.iter().map(|value| lua.create_string(value)).collect::<mlua::Result<Vec<_>>>()?;
            Lv::Table(lua.create_sequence_from(several)?)
        }
    })
}
