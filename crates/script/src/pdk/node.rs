//! `kong.node` (kong/pdk/node.lua): the proxy's node if the transaction names it, else this one.

use std::rc::Rc;
use std::sync::OnceLock;

use crate::host::{Module, State};
use crate::runtime::{raise, wrong_type};
use mlua::{IntoLua, Lua, Table, Value as Lv};

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("get_id", |_, state, (): ()| Ok(of_proxy(state, "id").unwrap_or_else(|| own_id().to_owned())))?;
    module.function("get_hostname", |_, state, (): ()| {
        Ok(of_proxy(state, "hostname").unwrap_or_else(|| own_hostname().to_owned()))
    })?;
    module.function("get_memory_stats", |lua, _, (unit, scale): (Lv, Lv)| memory_stats(lua, &unit, &scale))?;
    Ok(module.done())
}

/// This VM's memory as Kong reports it: one worker, and no shared dictionaries.
fn memory_stats(lua: &Lua, unit: &Lv, scale: &Lv) -> mlua::Result<Table> {
    let bytes = lua.used_memory();
    let worker = lua.create_table()?;
    worker.raw_set("pid", std::process::id())?;
    worker.raw_set("http_allocated_gc", amount(lua, bytes, unit, scale)?)?;
    let stats = lua.create_table()?;
    stats.raw_set("workers_lua_vms", lua.create_sequence_from([worker])?)?;
    stats.raw_set("lua_shared_dicts", lua.create_table()?)?;
    Ok(stats)
}

/// `bytes` in a unit (kong/tools/string.lua, bytes_to_str): a number of bytes, or a text.
fn amount(lua: &Lua, bytes: usize, unit: &Lv, scale: &Lv) -> mlua::Result<Lv> {
    let unit = match unit {
        Lv::Nil | Lv::Boolean(false) => "b".to_owned(),
        Lv::String(unit) => unit.to_string_lossy(),
        other => return Err(wrong_type(lua, 1, "lower", "string", other)),
    };
    let (size, name) = match unit.to_lowercase().as_str() {
        "b" | "" => return (bytes as f64).into_lua(lua),
        "k" => (f64::from(1 << 10), "KiB"),
        "m" => (f64::from(1 << 20), "MiB"),
        "g" => (f64::from(1 << 30), "GiB"),
        _ => {
            let message = format!("invalid unit '{unit}' (expected 'k/K', 'm/M', or 'g/G')");
            return Err(raise(lua, &message));
        }
    };
    let digits = match scale {
        Lv::Nil | Lv::Boolean(false) => 2.0,
        Lv::Integer(scale) => *scale as f64,
        Lv::Number(scale) => *scale,
        _ => -1.0,
    };
    if digits.is_nan() || digits < 0.0 {
        return Err(raise(lua, "scale must be equal or greater than 0"));
    }
    let digits = digits.min(99.0) as usize;
    format!("{:.digits$} {name}", bytes as f64 / size).into_lua(lua)
}

fn of_proxy(state: &State, member: &str) -> Option<String> {
    state.with(|transaction| Some(transaction.context("node")?.get(member)?.text()?.into_owned())).flatten()
}

/// The id of this process, like that of a Kong node.
fn own_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| uuid::Uuid::new_v4().to_string())
}

fn own_hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// Reads the id and the name of this node, which threads that run scripts cannot.
pub(crate) fn prepare() {
    own_id();
    own_hostname();
}
