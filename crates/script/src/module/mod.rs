//! The modules that `require` offers, and the libraries that every snippet has.

mod crypto;
mod facts;
mod format;
mod gzip;
mod json;
mod kong;
mod pattern;
mod prelude;
mod random;
mod resty;
mod uri;

use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv};

pub(crate) use prelude::load;

use crate::host::digest::Algorithm;
use crate::host::{Dialect, Loader, State, missing_module};
use crate::runtime::{bundled, frozen, host_function, kind_name, raise};

/// The modules that `require` offers, without those of `ngx`.
pub(crate) const MODULES: &[(&str, Loader)] = &[
    ("bit", |_, _, base| base.raw_get("bit")),
    ("cjson", |lua, state, _| json::module(lua, state, false)),
    ("cjson.safe", |lua, state, _| json::module(lua, state, true)),
    ("kong.constants", |lua, _, _| facts::constants(lua)),
    ("kong.meta", |lua, _, _| facts::meta(lua)),
    ("kong.tools.cjson", |lua, state, _| json::kong(lua, state)),
    ("kong.tools.gzip", |lua, state, _| gzip::gzip(lua, state)),
    ("kong.tools.ip", |lua, _, base| facts::ip(lua, base)),
    ("kong.tools.json", |lua, state, _| json::tools(lua, state)),
    ("kong.tools.rand", |lua, state, _| kong::rand(lua, state)),
    ("kong.tools.sha256", |lua, state, _| kong::sha256(lua, state)),
    ("kong.tools.string", kong::string),
    ("kong.tools.table", |lua, _, base| kong::table(lua, base)),
    ("kong.tools.time", |lua, state, _| kong::time(lua, state)),
    ("kong.tools.timestamp", |lua, state, _| facts::timestamp(lua, state)),
    ("kong.tools.uri", |lua, state, _| kong::uri_tools(lua, state)),
    ("kong.tools.utils", facts::utils),
    ("kong.tools.uuid", |lua, state, _| kong::uuid(lua, state)),
    ("ngx.base64", |lua, state, _| resty::base64(lua, state)),
    ("pl.stringx", |lua, _, base| kong::stringx(lua, base)),
    ("pl.tablex", |lua, _, base| kong::tablex(lua, base)),
    ("resty.cookie", facts::cookie),
    ("resty.hmac", |lua, _, base| crypto::object(lua, base, "resty_hmac")),
    ("resty.jwt", crypto::jwt),
    ("resty.md5", |lua, _, base| resty::digest(lua, base, Algorithm::Md5)),
    ("resty.openssl.digest", |lua, _, base| crypto::object(lua, base, "digest")),
    ("resty.openssl.hmac", |lua, _, base| crypto::object(lua, base, "hmac")),
    ("resty.openssl.mac", |lua, _, base| crypto::object(lua, base, "mac")),
    ("resty.openssl.rand", |lua, state, _| crypto::rand(lua, state)),
    ("resty.random", |lua, state, _| resty::random_bytes(lua, state)),
    ("resty.sha1", |lua, _, base| resty::digest(lua, base, Algorithm::Sha1)),
    ("resty.sha224", |lua, _, base| resty::digest(lua, base, Algorithm::Sha224)),
    ("resty.sha256", |lua, _, base| resty::digest(lua, base, Algorithm::Sha256)),
    ("resty.sha384", |lua, _, base| resty::digest(lua, base, Algorithm::Sha384)),
    ("resty.sha512", |lua, _, base| resty::digest(lua, base, Algorithm::Sha512)),
    ("resty.string", |lua, state, _| resty::string(lua, state)),
    ("table.clear", |_, _, base| member(base, "table", "clear")),
    ("table.clone", |_, _, base| member(base, "table", "clone")),
    ("table.isarray", |_, _, base| member(base, "table", "isarray")),
    ("table.isempty", |_, _, base| member(base, "table", "isempty")),
    ("table.new", |_, _, base| member(base, "table", "new")),
    ("table.nkeys", |_, _, base| member(base, "table", "nkeys")),
];

/// Reads what threads that run scripts cannot, and compiles the bundled Lua.
pub(crate) fn prepare() {
    random::prepare();
    let own = [prelude::PRELUDE, prelude::NUMBERS, prelude::STRINGS, resty::DIGEST, crypto::OBJECTS, crypto::JWT];
    let facts = [facts::CONSTANTS, facts::IP, facts::COOKIE];
    for source in [&own[..], &facts, &kong::SOURCES].concat() {
        if let Err(error) = bundled::compile(source) {
            tracing::error!("bundled Lua does not compile: {error}");
        }
    }
}

/// The global `require`. Those of `modules` that `dialect` allows are created here, once, and frozen.
///
/// # Errors
/// The VM has no memory left for them.
pub(crate) fn require<'a>(
    lua: &Lua,
    state: &Rc<State>,
    dialect: &Dialect,
    base: &Table,
    modules: impl Iterator<Item = &'a (&'static str, Loader)>,
) -> mlua::Result<Function> {
    let mut loaded = HashMap::new();
    let mut offered: Vec<&[u8]> = Vec::new();
    for (name, load) in modules {
        offered.push(name.as_bytes());
        if !dialect.may_require(name) {
            continue;
        }
        let module = match load(lua, state, base)? {
            Lv::Table(table) => Lv::Table(frozen(table)),
            other => other,
        };
        loaded.insert(name.as_bytes(), module);
    }
    host_function(lua, move |lua, name: Lv| {
        let found = match &name {
            Lv::String(text) => loaded.get(&*text.as_bytes()).cloned(),
            _ => None,
        };
        found.ok_or_else(|| raise(lua, &not_allowed(&name, &offered)))
    })
}

/// The error for a module that may not be required: Kong's words (kong/tools/sandbox.lua), and what to do.
fn not_allowed(name: &Lv, offered: &[&[u8]]) -> String {
    let shown = match name {
        Lv::String(text) => text.to_string_lossy().chars().take(100).collect(),
        other => kind_name(other).to_owned(),
    };
    let help = missing_module(&shown, offered.contains(&shown.as_bytes()));
    format!("require '{shown}' not allowed within sandbox ({help})")
}

fn member(base: &Table, library: &str, name: &str) -> mlua::Result<Lv> {
    base.raw_get::<Table>(library)?.raw_get(name)
}
