//! Digests and checksums; also for the modules that give them.

use aws_lc_rs::{digest, hmac};
use md5::{Digest, Md5};
use mlua::{Lua, LuaString, Value as Lv};

use super::super::pdk::Module;
use super::{in_pieces, text_of};

/// The digests that scripts have.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Algorithm {
    /// With all its weaknesses; scripts use it for identifiers.
    Md5,
    /// As MD5.
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// The digest of `text`, or the error that ends a script whose time is over.
pub(in super::super) fn of(algorithm: Algorithm, text: &[u8]) -> mlua::Result<Vec<u8>> {
    let algorithm = match algorithm {
        Algorithm::Md5 => {
            let mut hash = Md5::new();
            in_pieces(text, |piece| hash.update(piece))?;
            return Ok(hash.finalize().to_vec());
        }
        Algorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Sha224 => &digest::SHA224,
        Algorithm::Sha256 => &digest::SHA256,
        Algorithm::Sha384 => &digest::SHA384,
        Algorithm::Sha512 => &digest::SHA512,
    };
    let mut context = digest::Context::new(algorithm);
    in_pieces(text, |piece| context.update(piece))?;
    Ok(context.finish().as_ref().to_vec())
}

/// In lower-case digits.
pub(in super::super) fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

/// Adds `ngx.md5` and its kin.
pub(super) fn add(module: &mut Module<'_>) -> mlua::Result<()> {
    module.function("md5", |lua, _, text: Lv| {
        lua.create_string(hex(&of(Algorithm::Md5, &text_of(lua, &text, "md5", 1)?)?))
    })?;
    module.function("md5_bin", |lua, _, text: Lv| {
        lua.create_string(of(Algorithm::Md5, &text_of(lua, &text, "md5_bin", 1)?)?)
    })?;
    module.function("sha1_bin", |lua, _, text: Lv| {
        lua.create_string(of(Algorithm::Sha1, &text_of(lua, &text, "sha1_bin", 1)?)?)
    })?;
    module.function("hmac_sha1", |lua, _, (key, text): (Lv, Lv)| hmac_sha1(lua, &key, &text))?;
    for name in ["crc32_short", "crc32_long"] {
        module.function(name, move |lua, _, text: Lv| {
            let mut hash = crc32fast::Hasher::new();
            in_pieces(&text_of(lua, &text, name, 1)?, |piece| hash.update(piece))?;
            Ok(hash.finalize())
        })?;
    }
    Ok(())
}

fn hmac_sha1(lua: &Lua, key: &Lv, text: &Lv) -> mlua::Result<LuaString> {
    let key = text_of(lua, key, "hmac_sha1", 1)?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let mut context = hmac::Context::with_key(&key);
    in_pieces(&text_of(lua, text, "hmac_sha1", 2)?, |piece| context.update(piece))?;
    lua.create_string(context.sign().as_ref())
}
