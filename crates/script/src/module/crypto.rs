//! `resty.hmac`, `resty.openssl.*` and `resty.jwt`: digests with and without a key, and signatures.

use std::rc::Rc;

use ::base64::Engine;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use mlua::{Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value as Lv};

use super::{facts, json, random};
use crate::host::base64;
use crate::host::digest::{self, Algorithm};
use crate::host::{Module, State};
use crate::runtime::{bundled, host_function, work};

pub(super) const OBJECTS: &str = include_str!("../../../../lua/resty_hmac.luau");
pub(super) const JWT: &str = include_str!("../../../../lua/resty_jwt.luau");

/// The digest that OpenSSL calls `name`.
fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name.to_ascii_lowercase().replace('-', "").as_str() {
        "md5" => Algorithm::Md5,
        "sha1" => Algorithm::Sha1,
        "sha224" => Algorithm::Sha224,
        "sha256" => Algorithm::Sha256,
        "sha384" => Algorithm::Sha384,
        "sha512" => Algorithm::Sha512,
        _ => return None,
    })
}

/// HMAC (RFC 2104).
///
/// # Errors
/// The script has to stop.
fn hmac(algorithm: Algorithm, key: &[u8], text: &[u8]) -> mlua::Result<Vec<u8>> {
    let block = if matches!(algorithm, Algorithm::Sha384 | Algorithm::Sha512) { 128 } else { 64 };
    let mut padded = if key.len() > block { digest::digest(algorithm, key)? } else { key.to_vec() };
    padded.resize(block, 0);
    let mut inner: Vec<u8> = padded.iter().map(|byte| byte ^ 0x36).collect();
    inner.extend_from_slice(text);
    let mut outer: Vec<u8> = padded.iter().map(|byte| byte ^ 0x5c).collect();
    outer.extend_from_slice(&digest::digest(algorithm, &inner)?);
    digest::digest(algorithm, &outer)
}

/// The constructors of objects that collect texts: `digest`, `hmac`, `mac` and `resty_hmac`, each as a module.
fn objects(lua: &Lua, base: &Table) -> mlua::Result<Table> {
    let plain = host_function(lua, |lua, (name, text): (LuaString, LuaString)| {
        let Some(algorithm) = algorithm(&name.to_string_lossy()) else { return Ok(None) };
        lua.create_string(digest::digest(algorithm, &text.as_bytes())?).map(Some)
    })?;
    let keyed = host_function(lua, |lua, (name, key, text): (LuaString, LuaString, LuaString)| {
        let Some(algorithm) = algorithm(&name.to_string_lossy()) else { return Ok(None) };
        lua.create_string(hmac(algorithm, &key.as_bytes(), &text.as_bytes())?).map(Some)
    })?;
    let hex = host_function(lua, |lua, text: LuaString| lua.create_string(digest::hex(&text.as_bytes())))?;
    bundled::load(lua, OBJECTS)?.call((base, plain, keyed, hex))
}

/// One of the modules that [`objects`] makes.
pub(super) fn object(lua: &Lua, base: &Table, name: &str) -> mlua::Result<Lv> {
    facts::all_frozen(objects(lua, base)?.raw_get(name)?).map(Lv::Table)
}

/// `resty.openssl.rand`.
pub(super) fn rand(lua: &Lua, state: &Rc<State>) -> mlua::Result<Lv> {
    let mut module = Module::new(lua, state)?;
    module.function("bytes", |lua, _, (count, _): (Lv, Lv)| {
        lua.create_string(random::requested(lua, &count, "bytes")?)
    })?;
    Ok(Lv::Table(module.done()))
}

/// `resty.jwt`: reading and verifying tokens.
pub(super) fn jwt(lua: &Lua, state: &Rc<State>, base: &Table) -> mlua::Result<Lv> {
    let Lv::Table(cjson) = json::module(lua, state, true)? else { return Ok(Lv::Nil) };
    let mut decoders = Module::new(lua, state)?;
    base64::add_url_safe(&mut decoders)?;
    let decode: Function = decoders.done().raw_get("decode_base64url")?;
    let verify = host_function(lua, |lua, given: (LuaString, LuaString, LuaString, LuaString)| {
        let (name, key, text, signature) = given;
        verified(lua, &name.to_string_lossy(), &key.as_bytes(), &text.as_bytes(), &signature.as_bytes())
    })?;
    let date = host_function(lua, |_, seconds: f64| Ok(crate::ngx::http_date(seconds).unwrap_or_default()))?;
    bundled::load(lua, JWT)?.call((base, cjson.raw_get::<Function>("decode")?, decode, verify, date))
}

/// Whether `signature` is that of `text` by the algorithm that a token calls `name`; nil and an error if it cannot be told.
fn verified(lua: &Lua, name: &str, key: &[u8], text: &[u8], signature: &[u8]) -> mlua::Result<MultiValue> {
    let keyed = |algorithm| -> mlua::Result<MultiValue> {
        let own = hmac(algorithm, key, text)?;
        verify_slices_are_equal(&own, signature).is_ok().into_lua_multi(lua)
    };
    let (public, point): (&dyn VerificationAlgorithm, usize) = match name {
        "HS256" => return keyed(Algorithm::Sha256),
        "HS384" => return keyed(Algorithm::Sha384),
        "HS512" => return keyed(Algorithm::Sha512),
        "RS256" => (&signature::RSA_PKCS1_2048_8192_SHA256, 0),
        "RS384" => (&signature::RSA_PKCS1_2048_8192_SHA384, 0),
        "RS512" => (&signature::RSA_PKCS1_2048_8192_SHA512, 0),
        "PS256" => (&signature::RSA_PSS_2048_8192_SHA256, 0),
        "PS384" => (&signature::RSA_PSS_2048_8192_SHA384, 0),
        "PS512" => (&signature::RSA_PSS_2048_8192_SHA512, 0),
        "ES256" => (&signature::ECDSA_P256_SHA256_FIXED, 65),
        "ES384" => (&signature::ECDSA_P384_SHA384_FIXED, 97),
        "ES512" => (&signature::ECDSA_P521_SHA512_FIXED, 133),
        _ => return (Lv::Nil, format!("unsupported alg: {name}")).into_lua_multi(lua),
    };
    // Verification takes about as long as a digest of so many bytes.
    work(text.len() + (1 << 18));
    let Some(der) = public_key(key, point) else {
        return (Lv::Nil, "Decode secret is not a valid cert/public key").into_lua_multi(lua);
    };
    UnparsedPublicKey::new(public, der).verify(text, signature).is_ok().into_lua_multi(lua)
}

/// The public key in the PEM text `key`: as DER, or the curve's point of `point` bytes at its end.
fn public_key(key: &[u8], point: usize) -> Option<Vec<u8>> {
    /// Bytes of the largest key, as PEM.
    const MAX_PEM: usize = 16 << 10;
    let text = std::str::from_utf8(key).ok().filter(|text| text.len() <= MAX_PEM)?;
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return None;
    }
    let (body, _) = rest.split_once("-----END ")?;
    let compact: String = body.split_ascii_whitespace().collect();
    let der = ::base64::engine::general_purpose::STANDARD.decode(compact).ok()?;
    if point == 0 {
        return Some(der);
    }
    let start = der.len().checked_sub(point)?;
    der.get(start).filter(|first| **first == 4)?;
    Some(der[start..].to_vec())
}
