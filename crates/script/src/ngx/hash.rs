//! `ngx.md5`, `ngx.sha1_bin`, `ngx.hmac_sha1` and `ngx.crc32_*`.

use aws_lc_rs::hmac;
use mlua::{Lua, LuaString, Value as Lv};

use crate::host::Module;
use crate::host::digest::{Algorithm, digest, hex};
use crate::host::text::{in_chunks, text_of};

/// Adds the functions to `ngx`.
pub(super) fn add(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("md5", |lua, _, text: Lv| {
        lua.create_string(hex(&digest(Algorithm::Md5, &text_of(lua, &text, "md5", 1)?)?))
    })?;
    module.function("md5_bin", |lua, _, text: Lv| {
        lua.create_string(digest(Algorithm::Md5, &text_of(lua, &text, "md5_bin", 1)?)?)
    })?;
    module.function("sha1_bin", |lua, _, text: Lv| {
        lua.create_string(digest(Algorithm::Sha1, &text_of(lua, &text, "sha1_bin", 1)?)?)
    })?;
    module.function("hmac_sha1", |lua, _, (key, text): (Lv, Lv)| hmac_sha1(lua, &key, &text))?;
    for name in ["crc32_short", "crc32_long"] {
        module.function(name, move |lua, _, text: Lv| {
            let mut hash = crc32fast::Hasher::new();
            in_chunks(&text_of(lua, &text, name, 1)?, |piece| hash.update(piece))?;
            Ok(hash.finalize())
        })?;
    }
    Ok(())
}

fn hmac_sha1(lua: &Lua, key: &Lv, text: &Lv) -> mlua::Result<LuaString> {
    let key = text_of(lua, key, "hmac_sha1", 1)?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let mut context = hmac::Context::with_key(&key);
    in_chunks(&text_of(lua, text, "hmac_sha1", 2)?, |piece| context.update(piece))?;
    lua.create_string(context.sign().as_ref())
}
