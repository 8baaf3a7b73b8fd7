//! The part of OpenResty's `ngx` that snippets in the log phase use.

mod var;

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mlua::{Lua, Table, Value as Lv};

use super::environment::frozen;
use super::pdk::{Module, lazy, make_lazy, raise};
use super::state::State;
use crate::transaction::Level;

/// ngx_lua decodes with and without padding.
const DECODER: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The global `ngx`.
pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("now", |_, _, (): ()| Ok((since_epoch() * 1000.0).floor() / 1000.0))?;
    module.function("time", |_, _, (): ()| Ok(since_epoch().floor()))?;
    module.function("encode_base64", |lua, _, (text, no_padding): (Lv, Option<bool>)| {
        let bytes = text_of(lua, &text, "encode_base64")?;
        let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let text = if no_padding == Some(true) { encoded.trim_end_matches('=') } else { &encoded };
        lua.create_string(text)
    })?;
    module.function("decode_base64", |lua, _, text: Lv| {
        let Lv::String(text) = &text else { return Err(raise(lua, "string argument only")) };
        DECODER.decode(text.as_bytes()).ok().map(|bytes| lua.create_string(bytes)).transpose()
    })?;
    module.function("get_phase", |_, _, (): ()| Ok("log"))?;
    let ngx = module.done();
    ngx.raw_set("null", Lv::NULL)?;
    ngx.raw_set("var", frozen(lazy(lua, state, var::get)?))?;
    make_lazy(lua, state, &ngx, |lua, state, name| match name {
        "status" => Ok(state.member(Level::Response, "status", |view| view.number()).map_or(Lv::Nil, Lv::Number)),
        "ctx" => Ok(state.context_table(lua, name)?.map_or(Lv::Nil, Lv::Table)),
        _ => Ok(Lv::Nil),
    })?;
    Ok(frozen(ngx))
}

fn since_epoch() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// What ngx_lua takes where it asks for a text: strings, numbers, booleans and nil.
fn text_of(lua: &Lua, value: &Lv, function: &str) -> mlua::Result<Vec<u8>> {
    Ok(match value {
        Lv::String(text) => text.as_bytes().to_vec(),
        Lv::Nil => Vec::new(),
        Lv::Integer(number) => number.to_string().into_bytes(),
        Lv::Number(number) => number.to_string().into_bytes(),
        Lv::Boolean(value) => value.to_string().into_bytes(),
        other => {
            let message = format!("bad argument #1 to '{function}' (string expected, got {})", other.type_name());
            return Err(raise(lua, &message));
        }
    })
}
