//! Errors of snippets in Kong's words.

use mlua::{Lua, Value as Lv};

use super::{State, missing_member};
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
    let help = STRICT_MEMBERS.iter().find(|(_, library, member)| {
        let about = |kind: &str| words == format!("attempt to call {kind} '{member}' (a nil value)");
        (about("field") || about("method")) && !exists(lua, &[library, member])
    });
    let words = match help {
        Some((path, ..)) => format!("{words}: {}", missing_member(path)),
        None => words,
    };
    Some(match line {
        0 => words,
        _ => format!("{name}:{line}: {words}"),
    })
}

/// Library members that only `strict` has, and that other tables do not have.
const STRICT_MEMBERS: [(&str, &str, &str); 2] = [("os.date", "os", "date"), ("string.rep", "string", "rep")];

/// Whether the environment of snippets has a value at `path`.
fn exists(lua: &Lua, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    // The table of globals is empty and looks names up in the one of all snippets.
    let found = rest.iter().try_fold(lua.globals().get::<Lv>(*first), |found, name| match found {
        Ok(Lv::Table(table)) => Some(table.raw_get::<Lv>(*name)),
        _ => None,
    });
    matches!(found, Some(Ok(value)) if !value.is_nil())
}
