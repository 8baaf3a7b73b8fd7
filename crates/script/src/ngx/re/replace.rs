//! `ngx.re.sub` and `ngx.re.gsub`.

use mlua::{Function, Lua, LuaString, MultiValue, Value as Lv};

use super::{Engine, Walk, captures, failed, letters, text};
use crate::host::text::{check_result, shown};
use crate::runtime::{work, wrong_type};
use logphase_regex::UNSET;

/// The replacement of a match.
enum With {
    Template(Vec<Part>),
    Function(Function),
}

enum Part {
    Text(Vec<u8>),
    Group(usize),
}

/// Replaces the first match, or every one. Returns the new text, the number of replacements, and nil; or two nils and an
/// error message.
pub(super) fn replace(
    lua: &Lua,
    engine: &Engine,
    name: &'static str,
    every: bool,
    (subject, regex, with, options): (Lv, Lv, Lv, Lv),
) -> mlua::Result<MultiValue> {
    let (subject, regex) = (text(lua, &subject, name, 1)?, text(lua, &regex, name, 2)?);
    let with = match with {
        Lv::Function(function) => With::Function(function),
        Lv::String(_) | Lv::Integer(_) | Lv::Number(_) => {
            let given = text(lua, &with, name, 3)?;
            match template(&given.as_bytes()) {
                Some(parts) => With::Template(parts),
                None => return failed(lua, "failed to compile the replacement template".to_owned(), 2),
            }
        }
        other => return Err(wrong_type(lua, 3, name, "string or function", &other)),
    };
    let pattern = match engine.checked_pattern(lua, &regex, letters(lua, &options, name)?.as_ref())? {
        Ok(pattern) => pattern,
        Err(why) => return failed(lua, why, 2),
    };
    let bytes = subject.as_bytes();
    let (mut walk, mut out, mut copied, mut count) = (Walk::default(), Vec::new(), 0, 0_u32);
    while every || count == 0 {
        let found = walk.next(engine, &pattern, &bytes, |slots| Ok(slots.to_vec()))?;
        let slots = match found {
            Ok(Some(slots)) => slots,
            Ok(None) => break,
            Err(why) => return failed(lua, why, 2),
        };
        count += 1;
        let (from, to) = (slots[0].min(slots[1]), slots[1]);
        out.extend_from_slice(bytes.get(copied..from).unwrap_or_default());
        match &with {
            With::Template(parts) => fill(lua, &mut out, parts, &bytes, &slots)?,
            With::Function(function) => {
                let value: Lv = function.call(captures(lua, &pattern, &bytes, &slots, None)?)?;
                out.extend_from_slice(&made(lua, &value, name)?.as_bytes());
            }
        }
        copied = to;
        check_result(lua, &out)?;
    }
    if count == 0 {
        return Ok([Lv::String(subject.clone()), Lv::Integer(0)].into_iter().collect());
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Ok([Lv::String(lua.create_string(&out)?), Lv::Integer(count.into())].into_iter().collect())
}

/// The replacement that a function returned.
fn made(lua: &Lua, value: &Lv, name: &str) -> mlua::Result<LuaString> {
    match value {
        Lv::String(_) => text(lua, value, name, 3),
        other => lua.create_string(shown(other)),
    }
}

fn fill(lua: &Lua, out: &mut Vec<u8>, parts: &[Part], text: &[u8], slots: &[usize]) -> mlua::Result<()> {
    for part in parts {
        // One template can hold many references to a long match.
        check_result(lua, out)?;
        match part {
            Part::Text(bytes) => out.extend_from_slice(bytes),
            Part::Group(group) => {
                if let Some(&[from, to]) = slots.get(group * 2..group * 2 + 2)
                    && from != UNSET
                    && to != UNSET
                {
                    out.extend_from_slice(text.get(from..to).unwrap_or_default());
                    work(to.saturating_sub(from));
                }
            }
        }
    }
    Ok(())
}

/// Parses `$1`, `${1}` and `$$` in a replacement; `None` if another `$` is invalid.
fn template(given: &[u8]) -> Option<Vec<Part>> {
    let (mut parts, mut text, mut at) = (Vec::new(), Vec::new(), 0);
    while at < given.len() {
        if given[at] != b'$' {
            text.push(given[at]);
            at += 1;
            continue;
        }
        let rest = &given[at + 1..];
        if rest.first() == Some(&b'$') {
            text.push(b'$');
            at += 2;
            continue;
        }
        let braces = usize::from(rest.first() == Some(&b'{'));
        let digits = rest[braces..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number: usize = std::str::from_utf8(&rest[braces..braces + digits]).ok()?.parse().ok()?;
        if braces == 1 && rest.get(1 + digits) != Some(&b'}') {
            return None;
        }
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(Part::Group(number));
        at += 1 + digits + 2 * braces;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Some(parts)
}
