//! Errors of snippets in Kong's words.

use mlua::{Lua, Table, Value as Lv};

use super::State;
use crate::runtime::{check, work};
use crate::source::blame;

/// The error `text`, which begins with a position in the running snippet if it has one, in LuaJIT's words; nothing if they
/// are the same.
pub(crate) fn kong_words(lua: &Lua, state: &State, text: &str) -> Option<String> {
    let sources = state.sources.borrow();
    let (name, source) = sources.get(state.running.get())?;
    let located = text.strip_prefix(&**name).and_then(|rest| rest.strip_prefix(':')?.split_once(": "));
    let (line, message) = match located {
        Some((line, message)) => (line.parse().ok()?, message),
        None if text.starts_with("[string") => return None,
        None => (0, text),
    };
    work(source.len());
    check().ok()?;
    let words = blame::words(message, source, line, &|path| exists(lua, path))?;
    Some(match line {
        0 => words,
        _ => format!("{name}:{line}: {words}"),
    })
}

/// Whether the environment of snippets has a value at `path`.
fn exists(lua: &Lua, path: &[&str]) -> bool {
    let mut table: Table = lua.globals();
    let mut names = path.iter().peekable();
    while let Some(name) = names.next() {
        match table.raw_get::<Lv>(*name) {
            Ok(Lv::Table(next)) if names.peek().is_some() => table = next,
            Ok(value) => return !value.is_nil() && names.peek().is_none(),
            Err(_) => return false,
        }
    }
    true
}
