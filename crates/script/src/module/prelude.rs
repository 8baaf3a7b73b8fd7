//! Libraries that Kong's LuaJIT has and Luau lacks, written in Lua.

use std::rc::Rc;

use crate::host::State;
use crate::host::text::first_offset;
use crate::host::words::kong_words;
use crate::runtime::{bundled, deadline, host_function, script_error, set_quirks, work};
use crate::source::numeral;
use mlua::{Lua, LuaString, Table, Value};

pub(super) const PRELUDE: &str = include_str!("../../../../lua/prelude.luau");
pub(super) const NUMBERS: &str = include_str!("../../../../lua/numbers.luau");
pub(super) const STRINGS: &str = include_str!("../../../../lua/strings.luau");

/// The modules by name, not yet frozen.
pub(crate) fn load(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let find_plain = host_function(lua, find_plain)?;
    let host_error = host_function(lua, |lua, problem: Value| match problem {
        Value::Error(error) => Ok(Some(lua.create_string(script_error(&error).message)?)),
        _ => Ok(None),
    })?;
    let out_of_memory = host_function(lua, |_, (): ()| {
        deadline::out_of_memory();
        Ok(())
    })?;
    let pattern = super::pattern::functions(lua)?;
    let format = host_function(lua, super::format::format)?;
    set_quirks(state.quirks);
    let number = host_function(lua, |_, (text, radix): (LuaString, Option<f64>)| {
        let text = text.as_bytes();
        Ok(match radix {
            Some(radix) => numeral::with_radix(&text, radix as u32),
            None => numeral::parse(&text),
        })
    })?;
    let shared = state.clone();
    let words = host_function(lua, move |lua, problem: LuaString| {
        let words = kong_words(lua, &shared, &problem.to_string_lossy());
        words.map_or(Ok(problem), |words| lua.create_string(words))
    })?;
    let numbers: Table = bundled::load(lua, NUMBERS)?.call(())?;
    let strings = bundled::load(lua, STRINGS)?.bind((find_plain, format, pattern))?;
    let arguments = (host_error, out_of_memory, number, words, numbers, strings);
    bundled::load(lua, PRELUDE)?.call(arguments)
}

/// `string.find` for plain text, in linear time.
fn find_plain(
    _: &Lua,
    (text, wanted, from): (LuaString, LuaString, Option<f64>),
) -> mlua::Result<(Option<usize>, Option<usize>)> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    work(text.len());
    // Nothing is found past the end.
    let from = first_offset(text.len(), from.unwrap_or(1.0));
    let found = text.get(from..).and_then(|rest| memchr::memmem::find(rest, &wanted));
    Ok((found.map(|at| from + at + 1), found.map(|at| from + at + wanted.len())))
}
