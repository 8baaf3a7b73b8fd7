//! `kong.node` (kong/pdk/node.lua): the proxy's node where it says which, else this one.

use std::rc::Rc;
use std::sync::OnceLock;

use mlua::{Lua, Table};

use super::super::state::State;
use super::Module;

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    module.function("get_id", |_, state, (): ()| Ok(of_proxy(state, "id").unwrap_or_else(|| own_id().to_owned())))?;
    module.function("get_hostname", |_, state, (): ()| {
        Ok(of_proxy(state, "hostname").unwrap_or_else(|| own_hostname().to_owned()))
    })?;
    Ok(module.done())
}

fn of_proxy(state: &State, member: &str) -> Option<String> {
    state.with(|transaction| Some(transaction.context("node")?.get(member)?.text()?.into_owned())).flatten()
}

/// An id of this process's own, as a Kong node has one.
fn own_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| uuid::Uuid::new_v4().to_string())
}

fn own_hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// Finds out id and name of this node, while the thread may still ask.
pub(in super::super) fn prepare() {
    own_id();
    own_hostname();
}
