//! Base64, for `ngx` and for the modules that offer it.

use ::base64::Engine;
use ::base64::alphabet::{STANDARD, URL_SAFE};
use ::base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mlua::{IntoLuaMulti, Value as Lv};

use super::module::Module;
use super::text::text_of;
use crate::runtime::raise;

/// ngx_lua decodes with and without padding.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD_ENGINE: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL_SAFE_ENGINE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Adds `encode_base64`, `decode_base64` and `decode_base64mime`.
pub(crate) fn add(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("encode_base64", |lua, _, (text, no_padding): (Lv, Option<bool>)| {
        let bytes = text_of(lua, &text, "encode_base64", 1)?;
        let encoded = ::base64::engine::general_purpose::STANDARD.encode(&bytes);
        let text = if no_padding == Some(true) { encoded.trim_end_matches('=') } else { &encoded };
        lua.create_string(text)
    })?;
    module.function("decode_base64", |lua, _, text: Lv| {
        let Lv::String(_) = &text else { return Err(raise(lua, "string argument only")) };
        // nginx reads up to the first `=`.
        let mut encoded = text_of(lua, &text, "decode_base64", 1)?;
        encoded.truncate(memchr::memchr(b'=', &encoded).unwrap_or(encoded.len()));
        STANDARD_ENGINE.decode(encoded).ok().map(|bytes| lua.create_string(bytes)).transpose()
    })?;
    module.function("decode_base64mime", |lua, _, text: Lv| {
        let Lv::String(_) = &text else { return Err(raise(lua, "string argument only")) };
        let mut kept = text_of(lua, &text, "decode_base64mime", 1)?;
        kept.retain(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
        STANDARD_ENGINE.decode(kept).ok().map(|bytes| lua.create_string(bytes)).transpose()
    })
}

/// Adds the functions of the module `ngx.base64` (lua-resty-core).
pub(crate) fn add_url_safe(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("encode_base64url", |lua, _, text: Lv| match &text {
        Lv::String(_) => {
            lua.create_string(URL_SAFE_ENGINE.encode(text_of(lua, &text, "encode_base64url", 1)?))?.into_lua_multi(lua)
        }
        _ => (Lv::Nil, "must provide a string").into_lua_multi(lua),
    })?;
    module.function("decode_base64url", |lua, _, text: Lv| match &text {
        Lv::String(_) => match URL_SAFE_ENGINE.decode(text_of(lua, &text, "decode_base64url", 1)?) {
            Ok(bytes) => lua.create_string(bytes)?.into_lua_multi(lua),
            Err(_) => (Lv::Nil, "invalid input").into_lua_multi(lua),
        },
        _ => (Lv::Nil, "must provide a string").into_lua_multi(lua),
    })
}

/// Encodes with the alphabet for URLs, without padding.
pub(crate) fn encode_url_safe(bytes: &[u8]) -> String {
    URL_SAFE_ENGINE.encode(bytes)
}

/// Decodes text of the alphabet for URLs, with or without padding.
pub(crate) fn decode_url_safe(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_ENGINE.decode(text).ok()
}
