//! The edits of a transaction in their order, for snippets that read `ngx.ctx.serialize_values`.

use std::cell::{Cell, RefCell};

use mlua::{Lua, Table, Value as Lv};

use super::state::State;
use crate::message::Mode;
use crate::transaction::View;

/// Bounds of one transaction's list; what comes later is left out.
const MAX_EDITS: usize = 10_000;
const MAX_BYTES: usize = 1 << 20;

/// The edits so far. Nothing is kept unless a snippet of the VM names the list.
#[derive(Debug, Default)]
pub(crate) struct RecordedEdits {
    on: Cell<bool>,
    list: RefCell<Vec<Edit>>,
    bytes: Cell<usize>,
    /// How many of them stay if the running snippet fails.
    kept: Cell<usize>,
}

#[derive(Debug)]
struct Edit {
    key: Box<str>,
    /// JSON; nothing for nil.
    value: Option<Vec<u8>>,
    mode: Mode,
}

impl RecordedEdits {
    /// Keeps the edits of transactions that begin from now on if `source` names the list.
    pub(crate) fn look_at(&self, source: &str) {
        self.on.set(self.on.get() || source.contains("serialize_values"));
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.get()
    }

    pub(crate) fn clear(&self) {
        self.list.borrow_mut().clear();
        self.bytes.set(0);
        self.kept.set(0);
    }

    pub(crate) fn push(&self, key: &str, value: Option<Vec<u8>>, mode: Mode) {
        let mut list = self.list.borrow_mut();
        let bytes = self.bytes.get() + key.len() + value.as_ref().map_or(0, Vec::len);
        if list.len() < MAX_EDITS && bytes <= MAX_BYTES {
            self.bytes.set(bytes);
            list.push(Edit { key: key.into(), value, mode });
        }
    }

    /// The edits so far stay.
    pub(crate) fn keep(&self) {
        self.kept.set(self.list.borrow().len());
    }

    /// Takes back those since the last call of [`Self::keep`].
    pub(crate) fn undo(&self) {
        self.list.borrow_mut().truncate(self.kept.get());
    }

    /// The list as Kong keeps it (kong/pdk/log.lua): nil before the first edit.
    ///
    /// # Errors
    /// The script has to stop, or the VM failed.
    pub(crate) fn to_lua(&self, lua: &Lua, state: &State) -> mlua::Result<Lv> {
        let list = self.list.borrow();
        if list.is_empty() {
            return Ok(Lv::Nil);
        }
        let one = |edit: &Edit| -> mlua::Result<Table> {
            let table = lua.create_table()?;
            table.raw_set("key", &*edit.key)?;
            if let Some(json) = &edit.value {
                table.raw_set("value", state.to_lua(lua, View::new(json))?)?;
            }
            table.raw_set(
                "mode",
                match edit.mode {
                    Mode::Set => "set",
                    Mode::Add => "add",
                    Mode::Replace => "replace",
                },
            )?;
            Ok(table)
        };
        lua.create_sequence_from(list.iter().map(one).collect::<mlua::Result<Vec<_>>>()?).map(Lv::Table)
    }
}
