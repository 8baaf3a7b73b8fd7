//! `resty.*`: digests, hexadecimal texts and random bytes.

use std::rc::Rc;

use mlua::{Lua, LuaString, Table, Value as Lv};

use super::super::convert::kind_name;
use super::super::ngx::hash::{self, Algorithm};
use super::super::own;
use super::super::pdk::{Module, raise};
use super::super::state::State;
use super::random;

pub(super) const DIGEST: &str = include_str!("../../../../lua/digest.luau");

/// A module with `new`, whose objects have `update`, `final` and `reset`.
pub(super) fn digest(lua: &Lua, base: &Table, algorithm: Algorithm) -> mlua::Result<Lv> {
    let hash = lua.create_function(move |lua, text: LuaString| {
        // A copy would be past the VM's limit on memory.
        lua.create_string(hash::of(algorithm, &text.as_bytes())?)
    })?;
    own::load(lua, DIGEST)?.call((base, hash))
}

/// `resty.string`.
pub(super) fn string(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("to_hex", |lua, _, text: Lv| {
        let Lv::String(text) = &text else { return Err(wrong(lua, 1, "to_hex", "string", &text)) };
        let bytes = text.as_bytes();
        if bytes.len() > LONGEST {
            return Err(raise(lua, &format!("bad argument #1 to 'to_hex' (longer than {LONGEST} bytes)")));
        }
        lua.create_string(hash::hex(&bytes))
    })?;
    // nginx's: -1 for what is no whole number of decimal digits.
    module.function("atoi", |lua, _, text: Lv| {
        let Lv::String(text) = &text else { return Err(wrong(lua, 1, "atoi", "string", &text)) };
        let bytes = text.as_bytes();
        let number = std::str::from_utf8(&bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        Ok(number.and_then(|text| text.parse::<i64>().ok()).map_or(-1.0, |number| number as f64))
    })?;
    Ok(Lv::Table(module.done()))
}

/// Hexadecimal texts of longer ones nobody needs.
const LONGEST: usize = 4 << 20;

/// `resty.random`: all bytes are strong ones, whatever is asked for.
pub(super) fn random_bytes(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("bytes", |lua, _, (count, _): (Lv, Lv)| lua.create_string(random::asked(lua, &count, "bytes")?))?;
    Ok(Lv::Table(module.done()))
}

/// `ngx.base64`.
pub(super) fn base64(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    super::super::ngx::escape::for_urls(&mut module)?;
    Ok(Lv::Table(module.done()))
}

/// Lua's words for an argument of the wrong kind.
pub(super) fn wrong(lua: &Lua, position: usize, function: &str, wanted: &str, given: &Lv) -> mlua::Error {
    let kind = kind_name(given);
    raise(lua, &format!("bad argument #{position} to '{function}' ({wanted} expected, got {kind})"))
}
