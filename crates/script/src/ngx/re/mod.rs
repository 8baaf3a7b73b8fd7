//! `ngx.re`: regular expressions with PCRE's rules (lua-nginx-module, lua-resty-core), each search within the deadline.

mod replace;
mod split;

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{IntoLua, Lua, LuaString, MultiValue, Table, Value as Lv};

use crate::runtime::{OUT_OF_TIME, deadline, host_function, raise, work, wrong_type};
use logphase_regex::{Pattern, Patterns, Scratch, SearchError, UNSET};

pub(crate) use split::module;

/// The compiled patterns and the memory that the functions of one VM share.
#[derive(Default)]
struct Engine {
    patterns: RefCell<Patterns>,
    scratch: RefCell<Scratch>,
}

/// The table `ngx.re`.
pub(crate) fn table(lua: &Lua) -> mlua::Result<Table> {
    let engine = Rc::new(Engine::default());
    let table = lua.create_table()?;
    type Arguments = (Lv, Lv, Lv, Lv, Lv);
    let shared = engine.clone();
    table.raw_set("match", host_function(lua, move |lua, arguments: Arguments| matches(lua, &shared, arguments))?)?;
    let shared = engine.clone();
    table.raw_set("find", host_function(lua, move |lua, arguments: Arguments| find(lua, &shared, arguments))?)?;
    let shared = engine.clone();
    let gmatch = move |lua: &Lua, arguments: (Lv, Lv, Lv)| gmatch(lua, &shared, arguments);
    table.raw_set("gmatch", host_function(lua, gmatch)?)?;
    for (name, every) in [("sub", false), ("gsub", true)] {
        let shared = engine.clone();
        let call = move |lua: &Lua, arguments: (Lv, Lv, Lv, Lv)| replace::replace(lua, &shared, name, every, arguments);
        table.raw_set(name, host_function(lua, call)?)?;
    }
    Ok(table)
}

/// The result of a search that may fail with a message, which the script gets after nil.
type Found<T> = Result<T, String>;

impl Engine {
    /// The pattern of a call.
    fn pattern(&self, regex: &LuaString, options: Option<&LuaString>) -> Found<Rc<Pattern>> {
        let letters = options.map(|letters| letters.as_bytes());
        self.patterns.borrow_mut().get(&regex.as_bytes(), letters.as_deref().unwrap_or_default())
    }

    /// Like [`Self::pattern`], with an error for letters that mean nothing.
    fn checked_pattern(
        &self,
        lua: &Lua,
        regex: &LuaString,
        options: Option<&LuaString>,
    ) -> mlua::Result<Found<Rc<Pattern>>> {
        match self.pattern(regex, options) {
            Err(why) if why.starts_with("unknown flag ") => Err(raise(lua, &why)),
            found => Ok(found),
        }
    }

    /// Searches `text` from `from` and calls `look` on the slots of a match.
    fn search<R>(
        &self,
        pattern: &Pattern,
        text: &[u8],
        from: usize,
        look: impl FnOnce(&[usize]) -> mlua::Result<R>,
    ) -> mlua::Result<Found<Option<R>>> {
        if pattern.options.check_utf && std::str::from_utf8(text).is_err() {
            // PCRE_ERROR_BADUTF8
            return Ok(Err("pcre_exec() failed: -10".to_owned()));
        }
        let mut scratch = self.scratch.borrow_mut();
        match pattern.search(text, from, &mut scratch, &deadline::is_over) {
            Ok(true) => Ok(Ok(Some(look(&scratch.slots)?))),
            Ok(false) => Ok(Ok(None)),
            Err(SearchError::Stopped) => Err(mlua::Error::runtime(OUT_OF_TIME)),
            // PCRE_ERROR_MATCHLIMIT
            Err(SearchError::StackLimit) => Ok(Err("pcre_exec() failed: -8".to_owned())),
        }
    }
}

/// An argument that OpenResty converts to a string.
fn text(lua: &Lua, value: &Lv, function: &str, position: usize) -> mlua::Result<LuaString> {
    match value {
        Lv::String(text) => {
            work(text.as_bytes().len());
            Ok(text.clone())
        }
        Lv::Nil => lua.create_string("nil"),
        Lv::Boolean(value) => lua.create_string(if *value { "true" } else { "false" }),
        Lv::Integer(_) | Lv::Number(_) => match lua.coerce_string(value.clone())? {
            Some(text) => Ok(text),
            None => lua.create_string(""),
        },
        other => Err(wrong_type(lua, position, function, "string", other)),
    }
}

/// The optional argument with the option letters.
fn letters(lua: &Lua, value: &Lv, function: &str) -> mlua::Result<Option<LuaString>> {
    if value.is_nil() { Ok(None) } else { text(lua, value, function, 3).map(Some) }
}

/// The start of the search by `ctx.pos`, from 0.
fn begin(lua: &Lua, context: &Lv, function: &str) -> mlua::Result<usize> {
    let Lv::Table(table) = context else {
        return match context {
            Lv::Nil => Ok(0),
            other => Err(wrong_type(lua, 4, function, "table", other)),
        };
    };
    let position: Option<f64> = table.raw_get("pos").unwrap_or_default();
    // A position before the text counts as its start.
    Ok(position.map_or(0, |position| (position - 1.0).max(0.0) as usize))
}

fn set_position(context: &Lv, end: usize) -> mlua::Result<()> {
    match context {
        Lv::Table(table) => table.raw_set("pos", end + 1),
        _ => Ok(()),
    }
}

/// The captures as a table, by number, with the whole match at 0, and by name. An unset group is false.
fn captures(lua: &Lua, pattern: &Pattern, text: &[u8], slots: &[usize], into: Option<Table>) -> mlua::Result<Table> {
    let part = |group: usize| -> mlua::Result<Lv> {
        match slots.get(group * 2..group * 2 + 2) {
            Some(&[from, to]) if from != UNSET && to != UNSET => {
                Ok(Lv::String(lua.create_string(text.get(from..to).unwrap_or_default())?))
            }
            _ => Ok(Lv::Boolean(false)),
        }
    };
    let table = match into {
        Some(table) => table,
        None => lua.create_table_with_capacity(pattern.groups, 1 + pattern.names.len())?,
    };
    table.raw_set(0, part(0)?)?;
    for group in 1..=pattern.groups {
        table.raw_set(group, part(group)?)?;
    }
    for (name, group) in &pattern.names {
        // Of groups with the same name the one that is set counts.
        let value = part(*group as usize)?;
        let name = lua.create_string(name)?;
        if value != Lv::Boolean(false) || !matches!(table.raw_get(&name)?, Lv::String(_)) {
            table.raw_set(name, value)?;
        }
    }
    Ok(table)
}

/// `before` nils and an error message.
fn failed(lua: &Lua, why: String, before: usize) -> mlua::Result<MultiValue> {
    let mut values: MultiValue = std::iter::repeat_n(Lv::Nil, before).collect();
    values.push_back(why.into_lua(lua)?);
    Ok(values)
}

fn matches(
    lua: &Lua,
    engine: &Engine,
    (subject, regex, options, context, into): (Lv, Lv, Lv, Lv, Lv),
) -> mlua::Result<MultiValue> {
    let (subject, regex) = (text(lua, &subject, "match", 1)?, text(lua, &regex, "match", 2)?);
    let from = begin(lua, &context, "match")?;
    let pattern = match engine.checked_pattern(lua, &regex, letters(lua, &options, "match")?.as_ref())? {
        Ok(pattern) => pattern,
        Err(why) => return failed(lua, why, 1),
    };
    let into = match into {
        Lv::Table(table) => Some(table),
        _ => None,
    };
    let bytes = subject.as_bytes();
    let found = engine.search(&pattern, &bytes, from, |slots| {
        set_position(&context, slots[1])?;
        captures(lua, &pattern, &bytes, slots, into)
    })?;
    match found {
        Ok(Some(table)) => table.into_lua(lua).map(|table| [table].into_iter().collect()),
        Ok(None) => Ok([Lv::Nil].into_iter().collect()),
        Err(why) => failed(lua, why, 1),
    }
}

fn find(
    lua: &Lua,
    engine: &Engine,
    (subject, regex, options, context, group): (Lv, Lv, Lv, Lv, Lv),
) -> mlua::Result<MultiValue> {
    let (subject, regex) = (text(lua, &subject, "find", 1)?, text(lua, &regex, "find", 2)?);
    let from = begin(lua, &context, "find")?;
    let pattern = match engine.checked_pattern(lua, &regex, letters(lua, &options, "find")?.as_ref())? {
        Ok(pattern) => pattern,
        Err(why) => return failed(lua, why, 2),
    };
    let group = match lua.coerce_number(group)? {
        Some(group) if group as usize <= pattern.groups => group.max(0.0) as usize,
        None => 0,
        Some(_) => return failed(lua, "nth out of bound".to_owned(), 2),
    };
    let found = engine.search(&pattern, &subject.as_bytes(), from, |slots| {
        set_position(&context, slots[1])?;
        Ok(slots.get(group * 2..group * 2 + 2).map(|span| (span[0], span[1])))
    })?;
    match found {
        Ok(Some(Some((from, to)))) if from != UNSET && to != UNSET => {
            Ok([Lv::Integer(from as i64 + 1), Lv::Integer(to as i64)].into_iter().collect())
        }
        Ok(_) => Ok([Lv::Nil].into_iter().collect()),
        Err(why) => failed(lua, why, 2),
    }
}

fn gmatch(lua: &Lua, engine: &Rc<Engine>, (subject, regex, options): (Lv, Lv, Lv)) -> mlua::Result<MultiValue> {
    let (subject, regex) = (text(lua, &subject, "gmatch", 1)?, text(lua, &regex, "gmatch", 2)?);
    let pattern = match engine.checked_pattern(lua, &regex, letters(lua, &options, "gmatch")?.as_ref())? {
        Ok(pattern) => pattern,
        Err(why) => return failed(lua, why, 1),
    };
    let (engine, next) = (engine.clone(), RefCell::new(Walk::default()));
    let iterate = host_function(lua, move |lua, (): ()| {
        let bytes = subject.as_bytes();
        let mut walk = next.borrow_mut();
        let found = walk.next(&engine, &pattern, &bytes, |slots| captures(lua, &pattern, &bytes, slots, None))?;
        match found {
            Ok(Some(table)) => Ok([Lv::Table(table)].into_iter().collect()),
            Ok(None) => Ok([Lv::Nil].into_iter().collect()),
            Err(why) => failed(lua, why, 1),
        }
    })?;
    Ok([Lv::Function(iterate)].into_iter().collect())
}

/// Iterates over the matches in a text.
#[derive(Default)]
struct Walk {
    /// The start of the next search, which may be past the end.
    from: usize,
    done: bool,
}

impl Walk {
    /// The next match. After an empty one the search continues at the next character.
    fn next<R>(
        &mut self,
        engine: &Engine,
        pattern: &Pattern,
        text: &[u8],
        look: impl FnOnce(&[usize]) -> mlua::Result<R>,
    ) -> mlua::Result<Found<Option<R>>> {
        if self.done || self.from > text.len() {
            return Ok(Ok(None));
        }
        let mut end = None;
        let found = engine.search(pattern, text, self.from, |slots| {
            end = Some((slots[0], slots[1]));
            look(slots)
        });
        match end {
            Some((begin, end)) if begin >= end => {
                self.from = end + 1;
                let continues = |byte: &u8| pattern.options.utf && byte & 0xC0 == 0x80;
                while text.get(self.from).is_some_and(continues) {
                    self.from += 1;
                }
            }
            Some((_, end)) => self.from = end,
            None => self.done = true,
        }
        found
    }
}
