//! Definitions of clones of plugins, which a configuration names.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::Definition;

/// Definitions are static, so that everything refers to them as to those of the table. One is made for each name, original and
/// priority that this process has seen, and serves every reload.
static MADE: Mutex<Option<HashMap<Key, &'static Definition>>> = Mutex::new(None);

/// Name, original and priority of a clone.
type Key = (String, &'static str, i32);

/// Clones that a process makes at most: their memory is never given back.
const MAX_MADE: usize = 10_000;

/// The definition of the clone `name` of `base`; `None` if this process has made too many.
#[expect(clippy::disallowed_methods, reason = "kept for every later reload, and at most MAX_MADE of them")]
pub fn cloned(base: &'static Definition, name: &str, priority: i32) -> Option<&'static Definition> {
    let mut made = MADE.lock();
    let made = made.get_or_insert_default();
    let key = (name.to_owned(), base.name, priority);
    if let Some(known) = made.get(&key) {
        return Some(known);
    }
    if made.len() == MAX_MADE {
        return None;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let definition: &'static Definition = Box::leak(Box::new(Definition { name, old_names: &[], priority, ..*base }));
    made.insert(key, definition);
    Some(definition)
}
