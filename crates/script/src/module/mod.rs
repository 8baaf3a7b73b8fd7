//! What `require` gives, by name, and the modules that every snippet has.

mod address;
mod json;
mod kong;
mod prelude;
pub(super) mod random;
mod resty;

use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv};

use super::environment::frozen;
use super::ngx::hash::Algorithm;
use super::ngx::req;
use super::profile::Dialect;
use super::state::State;

pub(super) use prelude::load;

/// Makes one module for one VM, out of the libraries that every snippet has.
type Make = fn(&Lua, &Rc<State>, &Table) -> mlua::Result<Lv>;

/// Every module that is offered.
const MODULES: &[(&str, Make)] = &[
    ("bit", |_, _, base| base.raw_get("bit")),
    ("cjson", |lua, state, _| json::module(lua, state, false)),
    ("cjson.safe", |lua, state, _| json::module(lua, state, true)),
    ("kong.tools.rand", |lua, state, _| kong::rand(lua, state)),
    ("kong.tools.sha256", |lua, state, _| kong::sha256(lua, state)),
    ("kong.tools.string", kong::string),
    ("kong.tools.table", |lua, _, base| kong::table(lua, base)),
    ("kong.tools.time", |lua, state, _| kong::time(lua, state)),
    ("kong.tools.uri", |lua, state, _| kong::uri(lua, state)),
    ("kong.tools.uuid", |lua, state, _| kong::uuid(lua, state)),
    ("ngx.re", |lua, _, _| super::ngx::re_module(lua).map(Lv::Table)),
    ("ngx.base64", |lua, state, _| resty::base64(lua, state)),
    ("ngx.req", |lua, state, _| req::request(lua, state).map(Lv::Table)),
    ("ngx.resp", |lua, state, _| req::response(lua, state).map(Lv::Table)),
    ("pl.stringx", |lua, _, base| kong::stringx(lua, base)),
    ("pl.tablex", |lua, _, base| kong::tablex(lua, base)),
    ("resty.md5", |lua, _, base| resty::digest(lua, base, Algorithm::Md5)),
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

/// Compiles what of this is written in Lua.
pub(super) fn compile() {
    for source in [&[prelude::PRELUDE, resty::DIGEST][..], &kong::SOURCES].concat() {
        if let Err(error) = super::own::compile(source) {
            tracing::error!("our own Lua does not compile: {error}");
        }
    }
}

/// The names of all modules.
pub(super) fn offered() -> impl Iterator<Item = &'static str> {
    MODULES.iter().map(|(name, _)| *name)
}

/// The global `require`. The modules that `dialect` allows are made here, once, and cannot be written to.
pub(super) fn require(lua: &Lua, state: &Rc<State>, dialect: &Dialect, base: &Table) -> mlua::Result<Function> {
    let mut loaded = HashMap::new();
    for (name, make) in MODULES.iter().filter(|(name, _)| dialect.may_require(name)) {
        let module = match make(lua, state, base)? {
            Lv::Table(table) => Lv::Table(frozen(table)),
            other => other,
        };
        loaded.insert(name.as_bytes(), module);
    }
    lua.create_function(move |_, name: Lv| {
        let found = match &name {
            Lv::String(text) => loaded.get(&*text.as_bytes()).cloned(),
            _ => None,
        };
        found.ok_or_else(|| mlua::Error::runtime(refusal(&name)))
    })
}

/// Kong's words (kong/tools/sandbox.lua).
fn refusal(name: &Lv) -> String {
    let shown = match name {
        Lv::String(text) => text.to_string_lossy().chars().take(100).collect(),
        other => super::convert::kind_name(other).to_owned(),
    };
    format!("require '{shown}' not allowed within sandbox")
}

fn member(base: &Table, library: &str, name: &str) -> mlua::Result<Lv> {
    base.raw_get::<Table>(library)?.raw_get(name)
}
