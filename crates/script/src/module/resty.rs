//! `resty.*`: digests, hexadecimal texts and random bytes.

use std::rc::Rc;

use mlua::{Lua, LuaString, Table, Value as Lv};

use super::random;
use crate::host::base64;
use crate::host::digest::{self, Algorithm};
use crate::host::{Module, State};
use crate::runtime::{bad_argument, bundled, host_function, work, wrong_type};

pub(super) const DIGEST: &str = include_str!("../../../../lua/digest.luau");

/// A module with `new`, whose objects have `update`, `final` and `reset`.
pub(super) fn digest(lua: &Lua, base: &Table, algorithm: Algorithm) -> mlua::Result<Lv> {
    let compute = host_function(lua, move |lua, text: LuaString| {
        // A copy would not count towards the VM's memory limit.
        lua.create_string(digest::digest(algorithm, &text.as_bytes())?)
    })?;
    bundled::load(lua, DIGEST)?.call((base, compute))
}

/// `resty.string`.
pub(super) fn string(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("to_hex", |lua, _, text: Lv| {
        let Lv::String(text) = &text else { return Err(wrong_type(lua, 1, "to_hex", "string", &text)) };
        let bytes = text.as_bytes();
        if bytes.len() > MAX_HEX_INPUT {
            return Err(bad_argument(lua, 1, "to_hex", &format!("longer than {MAX_HEX_INPUT} bytes")));
        }
        work(bytes.len());
        lua.create_string(digest::hex(&bytes))
    })?;
    // nginx's rule: -1 for text that is not a sequence of decimal digits.
    module.function("atoi", |lua, _, text: Lv| {
        let Lv::String(text) = &text else { return Err(wrong_type(lua, 1, "atoi", "string", &text)) };
        let bytes = text.as_bytes();
        let number = std::str::from_utf8(&bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        Ok(number.and_then(|text| text.parse::<i64>().ok()).map_or(-1.0, |number| number as f64))
    })?;
    Ok(Lv::Table(module.done()))
}

/// Bytes that `to_hex` takes.
const MAX_HEX_INPUT: usize = 4 << 20;

/// `resty.random`. All bytes are cryptographically strong, whatever the argument asks for.
pub(super) fn random_bytes(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("bytes", |lua, _, (count, _): (Lv, Lv)| {
        lua.create_string(random::requested(lua, &count, "bytes")?)
    })?;
    Ok(Lv::Table(module.done()))
}

/// `ngx.base64`.
pub(super) fn base64(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    base64::add_url_safe(&mut module)?;
    Ok(Lv::Table(module.done()))
}
