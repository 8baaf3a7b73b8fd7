//! `kong.tools.*` and the parts of Penlight that Kong has: their pure functions.

use std::rc::Rc;

use ::base64::Engine;
use mlua::{Function, IntoLuaMulti, Lua, Table, Value as Lv};

use super::{random, uri};
use crate::host::arguments::bounded_string;
use crate::host::base64;
use crate::host::digest::{self, Algorithm};
use crate::host::time::{now, since_epoch};
use crate::host::uri::normalize;
use crate::host::{Module, State};
use crate::runtime::{Clock, bundled, raise, wrong_type};
use crate::transaction::Level;

/// The parts of these modules that are written in Lua.
pub(super) const SOURCES: [&str; 4] = [STRING, STRINGX, TABLEX, TABLE];

const STRING: &str = include_str!("../../../../lua/kong_string.luau");
const STRINGX: &str = include_str!("../../../../lua/pl_stringx.luau");
const TABLEX: &str = include_str!("../../../../lua/pl_tablex.luau");
const TABLE: &str = include_str!("../../../../lua/kong_table.luau");

/// `kong.tools.string`.
pub(super) fn string(lua: &Lua, state: &Rc<State>, base: &Table) -> mlua::Result<Lv> {
    let mut decoders = Module::new(lua, state)?;
    base64::add(&mut decoders)?;
    base64::add_url_safe(&mut decoders)?;
    let decoders = decoders.done();
    let plain: Function = decoders.raw_get("decode_base64")?;
    let for_urls: Function = decoders.raw_get("decode_base64url")?;
    bundled::load(lua, STRING)?.call((base, stringx(lua, base)?, plain, for_urls))
}

/// `pl.stringx`.
pub(super) fn stringx(lua: &Lua, base: &Table) -> mlua::Result<Lv> {
    bundled::load(lua, STRINGX)?.call(base)
}

/// `pl.tablex`.
pub(super) fn tablex(lua: &Lua, base: &Table) -> mlua::Result<Lv> {
    bundled::load(lua, TABLEX)?.call(base)
}

/// `kong.tools.table`.
pub(super) fn table(lua: &Lua, base: &Table) -> mlua::Result<Lv> {
    let globals = lua.globals();
    let metatable = |name: &str| globals.raw_get::<Function>(name);
    bundled::load(lua, TABLE)?.call((base, metatable("getmetatable")?, metatable("setmetatable")?))
}

/// `kong.tools.time`.
pub(super) fn time(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("time_ns", |_, _, (): ()| Ok((since_epoch() * 1e9).floor()))?;
    for name in ["get_now_ms", "get_updated_now_ms"] {
        module.function(name, |_, _, (): ()| Ok(now() * 1000.0))?;
    }
    module.function("get_start_time_ms", |_, state, (): ()| {
        Ok(state.member(Level::Root, "started_at", |view| view.number()))
    })?;
    module.function("get_updated_monotonic_ms", |_, _, (): ()| Ok((Clock::refresh() / 1000) as f64))?;
    module.function("nginx_conf_time_to_seconds", |lua, _, text: Lv| {
        let Lv::String(text) = &text else {
            return Err(wrong_type(lua, 1, "nginx_conf_time_to_seconds", "string", &text));
        };
        seconds(&text.to_string_lossy()).ok_or_else(|| raise(lua, "bad argument #1 'str'"))
    })?;
    Ok(Lv::Table(module.done()))
}

/// The seconds of a time in nginx's notation, `1h 30m`. A number alone is seconds; units are in descending order.
fn seconds(text: &str) -> Option<f64> {
    const UNITS: [(char, f64); 7] = [
        ('y', 31_536_000.0),
        ('M', 2_592_000.0),
        ('w', 604_800.0),
        ('d', 86_400.0),
        ('h', 3600.0),
        ('m', 60.0),
        ('s', 1.0),
    ];
    let (mut rest, mut total, mut next) = (text, 0.0, 0);
    if rest.is_empty() || rest.len() > 100 {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.chars().next().filter(|unit| *unit != ' ').unwrap_or('s');
        let at = UNITS.iter().position(|(letter, _)| *letter == unit).filter(|at| *at >= next)?;
        next = at + 1;
        total += f64::from(count) * UNITS[at].1;
        rest = rest.strip_prefix(unit).unwrap_or(rest).trim_start_matches(' ');
    }
    Some(total)
}

/// `kong.tools.uuid`.
pub(super) fn uuid(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("uuid", |_, _, (): ()| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&random::bytes(16));
        Ok(::uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
    })?;
    module.function("is_valid_uuid", |_, _, text: Lv| {
        Ok(text.as_string().is_some_and(|text| is_uuid(&text.as_bytes())))
    })?;
    Ok(Lv::Table(module.done()))
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Bytes that the functions of `kong.tools.uri` take.
const MAX_URI: usize = 1 << 20;

/// `kong.tools.uri`.
pub(super) fn uri_tools(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("escape", |lua, _, text: Lv| {
        lua.create_string(uri::escape(&bounded_string(lua, "escape", &text, MAX_URI)?)?)
    })?;
    module.function("normalize", |lua, _, (text, merge): (Lv, Option<bool>)| {
        let text = bounded_string(lua, "normalize", &text, MAX_URI)?;
        lua.create_string(normalize(&text, merge == Some(true))?)
    })?;
    Ok(Lv::Table(module.done()))
}

/// `kong.tools.sha256`.
pub(super) fn sha256(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    type Format = fn(&[u8]) -> Vec<u8>;
    let formats: [(&str, Format); 4] = [
        ("sha256_bin", <[u8]>::to_vec),
        ("sha256_hex", digest::hex),
        ("sha256_base64", |bytes| ::base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes()),
        ("sha256_base64url", |bytes| base64::encode_url_safe(bytes).into_bytes()),
    ];
    for (name, format) in formats {
        module.function(name, move |lua, _, text: Lv| {
            let Lv::String(text) = &text else { return Err(wrong_type(lua, 1, name, "string", &text)) };
            lua.create_string(format(&digest::digest(Algorithm::Sha256, &text.as_bytes())?))
        })?;
    }
    Ok(Lv::Table(module.done()))
}

/// `kong.tools.rand`.
pub(super) fn rand(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("get_rand_bytes", |lua, _, (count, _): (Lv, Lv)| {
        lua.create_string(random::requested(lua, &count, "get_rand_bytes")?)?.into_lua_multi(lua)
    })?;
    module.function("random_string", |_, _, (): ()| {
        // 32 letters and digits, as in Kong.
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
        Ok(random::bytes(32).into_iter().map(letter).collect::<String>())
    })?;
    Ok(Lv::Table(module.done()))
}
