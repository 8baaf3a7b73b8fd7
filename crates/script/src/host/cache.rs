//! The entries behind `kong.cache`: detached values with an end and bounded memory.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, Instant};

use mlua::{Lua, Table, Value as Lv};

use super::detached::{DetachError, Detached};

/// Limits of one VM's cache: entries, bytes of all entries, and bytes of one.
const MAX_ENTRIES: usize = 1_000;
const MAX_BYTES: usize = 1 << 20;
const MAX_ENTRY_BYTES: usize = 128 << 10;

/// Detached values by key. A full cache drops the least recently used entry.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: RefCell<HashMap<Box<[u8]>, Entry>>,
    bytes: Cell<usize>,
    uses: Cell<u64>,
}

#[derive(Debug)]
struct Entry {
    value: Detached,
    /// `None` for an entry that does not expire.
    expires: Option<Instant>,
    /// The number of the use, of all entries' uses.
    used: u64,
    size: usize,
}

impl Entry {
    fn seconds_left(&self) -> Option<f64> {
        match self.expires {
            None => Some(0.0),
            Some(expires) => expires.checked_duration_since(Instant::now()).map(|left| left.as_secs_f64()),
        }
    }
}

impl Cache {
    /// The value at `key` and the seconds until it expires, 0 if it does not. `touch` counts as a use.
    pub(crate) fn find(
        &self,
        lua: &Lua,
        array_mark: &Table,
        key: &[u8],
        touch: bool,
    ) -> mlua::Result<Option<(Lv, f64)>> {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(key) else { return Ok(None) };
        let Some(left) = entry.seconds_left() else { return Ok(None) };
        if touch {
            entry.used = self.next_use();
        }
        Ok(Some((entry.value.to_lua(lua, array_mark)?, left)))
    }

    fn next_use(&self) -> u64 {
        self.uses.set(self.uses.get() + 1);
        self.uses.get()
    }

    /// Stores `value` for `ttl` seconds, or without an end if that is 0. A value that is too large is not stored.
    ///
    /// # Errors
    /// The value cannot be detached, or the script has to stop.
    pub(crate) fn insert(&self, array_mark: &Table, key: &[u8], value: &Lv, ttl: f64) -> Result<(), DetachError> {
        self.remove(key);
        let Some(mut room) = MAX_ENTRY_BYTES.checked_sub(key.len()) else { return Ok(()) };
        let before = room;
        let value = match Detached::copy(array_mark, value, &mut room) {
            Err(DetachError::TooLarge) => return Ok(()),
            other => other?,
        };
        let size = before - room + key.len();
        while self.bytes.get() + size > MAX_BYTES || self.entries.borrow().len() >= MAX_ENTRIES {
            if !self.drop_oldest() {
                break;
            }
        }
        // A lifetime beyond the range of the clock never ends.
        let expires = if ttl > 0.0 {
            Duration::try_from_secs_f64(ttl).ok().and_then(|ttl| Instant::now().checked_add(ttl))
        } else {
            None
        };
        self.bytes.set(self.bytes.get() + size);
        let entry = Entry { value, expires, used: self.next_use(), size };
        self.entries.borrow_mut().insert(key.into(), entry);
        Ok(())
    }

    fn drop_oldest(&self) -> bool {
        let oldest = self.entries.borrow().iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.remove(&key))
    }

    pub(crate) fn remove(&self, key: &[u8]) -> bool {
        let removed = self.entries.borrow_mut().remove(key);
        if let Some(entry) = &removed {
            self.bytes.set(self.bytes.get() - entry.size);
        }
        removed.is_some()
    }

    pub(crate) fn clear(&self) {
        self.entries.borrow_mut().clear();
        self.bytes.set(0);
    }
}
