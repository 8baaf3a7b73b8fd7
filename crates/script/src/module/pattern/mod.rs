//! The parts of `string.find`, `match`, `gmatch` and `gsub` for long texts.
//!
//! Luau's own search takes time that is quadratic in the text for patterns such as `%s+$` and `^%s*(.-)%s*$`: with 8 kB of
//! blanks it takes longer than a snippet has. These searches are linear. They have Luau's results; what they do not
//! support, `false` as their result leaves to Luau.

mod parse;
mod search;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use self::parse::Pattern;
use self::search::{POSITION, Search, Span};
use crate::host::text::{check_result, first_offset};
use crate::runtime::{check, host_function, work};

/// Patterns that a VM keeps.
const MAX_PATTERNS: usize = 128;
/// Longer patterns are left to Luau.
const MAX_PATTERN: usize = 256;

/// The patterns that were used.
#[derive(Default)]
struct Patterns(RefCell<KnownPatterns>);

/// Patterns by their text; nothing for those that are left to Luau.
type KnownPatterns = HashMap<Box<[u8]>, Option<Rc<Pattern>>>;

impl Patterns {
    fn get(&self, text: &[u8]) -> Option<Rc<Pattern>> {
        if text.len() > MAX_PATTERN {
            return None;
        }
        let mut patterns = self.0.borrow_mut();
        if let Some(known) = patterns.get(text) {
            return known.clone();
        }
        if patterns.len() >= MAX_PATTERNS {
            patterns.clear();
        }
        let pattern = Pattern::parse(text).filter(Pattern::can_be_slow).map(Rc::new);
        patterns.insert(text.into(), pattern.clone());
        pattern
    }
}

/// The functions for the prelude:
/// - `search(text, pattern, init)`: `false`, nothing, or start, end, the number of captures, and these or the whole match;
/// - `scan(text, pattern, anchors)`: `false`, or an iterator of start, end and captures; `anchors` is whether `^` anchors;
/// - `replace(text, pattern, replacement, most)`: `false`, or the text and the number of replacements.
///
/// # Errors
/// The VM has no memory left for them.
pub(super) fn functions(lua: &Lua) -> mlua::Result<Table> {
    let patterns = Rc::new(Patterns::default());
    let table = lua.create_table()?;
    let shared = patterns.clone();
    let search = host_function(lua, move |lua, (text, pattern, init): (LuaString, LuaString, f64)| {
        search(lua, &shared, &text, &pattern, init)
    })?;
    table.raw_set("search", search)?;
    let shared = patterns.clone();
    let scan = host_function(lua, move |lua, (text, pattern, anchors): (LuaString, LuaString, bool)| {
        scan(lua, &shared, text, &pattern, anchors)
    })?;
    table.raw_set("scan", scan)?;
    let replace = host_function(lua, move |lua, arguments: (LuaString, LuaString, LuaString, f64)| {
        let (text, pattern, replacement, most) = arguments;
        replace(lua, &patterns, &text, &pattern, &replacement, most)
    })?;
    table.raw_set("replace", replace)?;
    Ok(table)
}

fn left_to_luau() -> MultiValue {
    MultiValue::from_iter([Value::Boolean(false)])
}

fn search(
    lua: &Lua,
    patterns: &Patterns,
    text: &LuaString,
    pattern: &LuaString,
    init: f64,
) -> mlua::Result<MultiValue> {
    let Some(pattern) = patterns.get(&pattern.as_bytes()) else { return Ok(left_to_luau()) };
    let text = text.as_bytes();
    work(text.len());
    let from = first_offset(text.len(), init);
    if from > text.len() {
        return Ok(MultiValue::from_iter([Value::Nil]));
    }
    let mut search = Search::new(&pattern);
    let Some(found) = search.find(&pattern, &text, from)? else {
        return Ok(MultiValue::from_iter([Value::Nil]));
    };
    let mut values = vec![number(found.start + 1), number(found.end), number(pattern.captures)];
    push_captures(lua, &text, found, &search.captures, &mut values)?;
    Ok(MultiValue::from_vec(values))
}

fn scan(
    lua: &Lua,
    patterns: &Patterns,
    text: LuaString,
    pattern: &LuaString,
    anchors: bool,
) -> mlua::Result<MultiValue> {
    let pattern = patterns.get(&pattern.as_bytes()).filter(|pattern| anchors || !pattern.anchored);
    let Some(pattern) = pattern else { return Ok(left_to_luau()) };
    let state = RefCell::new((Search::new(&pattern), 0));
    let next = host_function(lua, move |lua, _: MultiValue| {
        let (search, from) = &mut *state.borrow_mut();
        let text = text.as_bytes();
        let over = *from > text.len() || pattern.anchored && *from > 0;
        let found = if over { None } else { search.find(&pattern, &text, *from)? };
        let Some(found) = found else {
            *from = usize::MAX;
            return Ok(MultiValue::from_iter([Value::Nil]));
        };
        *from = found.end + usize::from(found.end == found.start);
        if pattern.anchored {
            *from = usize::MAX;
        }
        let mut values = vec![number(found.start + 1), number(found.end)];
        push_captures(lua, &text, found, &search.captures, &mut values)?;
        Ok(MultiValue::from_vec(values))
    })?;
    Ok(MultiValue::from_iter([Value::Function(next)]))
}

fn replace(
    lua: &Lua,
    patterns: &Patterns,
    text: &LuaString,
    pattern: &LuaString,
    replacement: &LuaString,
    most: f64,
) -> mlua::Result<MultiValue> {
    let replacement = replacement.as_bytes();
    let Some(pattern) = patterns.get(&pattern.as_bytes()) else { return Ok(left_to_luau()) };
    for part in template(&replacement, pattern.captures) {
        // A part takes about as long as the copy of some bytes.
        work(16);
        check()?;
        if part.is_none() {
            return Ok(left_to_luau());
        }
    }
    let text = text.as_bytes();
    let mut search = Search::new(&pattern);
    let (mut result, mut from, mut copied, mut count) = (Vec::new(), 0, 0, 0_usize);
    while (count as f64) < most && from <= text.len() {
        let Some(found) = search.find(&pattern, &text, from)? else { break };
        count += 1;
        result.extend_from_slice(&text[copied..found.start]);
        for part in template(&replacement, pattern.captures).flatten() {
            let before = result.len();
            match part {
                Part::Text(text) => result.extend_from_slice(text),
                Part::Whole => result.extend_from_slice(&text[found.start..found.end]),
                Part::Capture(index) => push_capture(&text, search.captures[index], &mut result),
            }
            work(result.len() - before);
            check_result(lua, &result)?;
        }
        copied = found.end;
        from = found.end + usize::from(found.end == found.start);
        if pattern.anchored {
            break;
        }
    }
    result.extend_from_slice(&text[copied..]);
    Ok(MultiValue::from_iter([Value::String(lua.create_string(result)?), number(count)]))
}

/// A part of a replacement.
enum Part<'a> {
    Text(&'a [u8]),
    Whole,
    Capture(usize),
}

/// The parts of a replacement, with nothing for an error. They are not kept: a long replacement has many.
fn template(mut rest: &[u8], captures: usize) -> impl Iterator<Item = Option<Part<'_>>> {
    let mut reference = false;
    std::iter::from_fn(move || {
        if std::mem::take(&mut reference) {
            let part = match rest.get(1) {
                Some(b'%') => Some(Part::Text(b"%")),
                Some(b'0') => Some(Part::Whole),
                Some(b'1') if captures == 0 => Some(Part::Whole),
                Some(digit @ b'1'..=b'9') => {
                    Some(usize::from(digit - b'1')).filter(|index| *index < captures).map(Part::Capture)
                }
                _ => None,
            };
            rest = rest.get(2..).unwrap_or_default();
            return Some(part);
        }
        let text = memchr::memchr(b'%', rest).map_or(rest, |at| &rest[..at]);
        rest = &rest[text.len()..];
        reference = !rest.is_empty();
        (reference || !text.is_empty()).then_some(Some(Part::Text(text)))
    })
}

fn push_capture(text: &[u8], capture: Span, result: &mut Vec<u8>) {
    match capture {
        Span { start, end: POSITION } => result.extend_from_slice((start + 1).to_string().as_bytes()),
        Span { start, end } => result.extend_from_slice(&text[start..end]),
    }
}

/// Appends the captures, or the whole match if there are none.
fn push_captures(lua: &Lua, text: &[u8], found: Span, captures: &[Span], values: &mut Vec<Value>) -> mlua::Result<()> {
    if captures.is_empty() {
        values.push(Value::String(lua.create_string(&text[found.start..found.end])?));
    }
    for capture in captures {
        values.push(match *capture {
            Span { start, end: POSITION } => number(start + 1),
            Span { start, end } => Value::String(lua.create_string(&text[start..end])?),
        });
    }
    Ok(())
}

fn number(value: usize) -> Value {
    Value::Number(value as f64)
}
