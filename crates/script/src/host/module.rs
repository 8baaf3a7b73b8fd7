//! Building blocks of modules: functions with access to the state, and tables whose members are computed.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv, Variadic};

use super::phase::Phases;
use super::state::State;
use crate::runtime::{frozen, host_function, raise};

/// Creates one module for one VM, out of the libraries that every snippet has.
pub(crate) type Loader = fn(&Lua, &Rc<State>, &Table) -> mlua::Result<Lv>;

/// Collects the functions of one module.
pub(crate) struct Module<'a> {
    lua: &'a Lua,
    state: &'a Rc<State>,
    table: Table,
}

impl<'a> Module<'a> {
    pub(crate) fn new(lua: &'a Lua, state: &'a Rc<State>) -> mlua::Result<Self> {
        Ok(Self { lua, state, table: lua.create_table()? })
    }

    /// Adds a function.
    pub(crate) fn function<A, R>(
        &mut self,
        name: &str,
        function: impl Fn(&Lua, &State, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()>
    where
        A: mlua::FromLuaMulti + 'static,
        R: mlua::IntoLuaMulti + 'static,
    {
        let state = self.state.clone();
        let function: Function = host_function(self.lua, move |lua, arguments: A| function(lua, &state, arguments))?;
        self.table.raw_set(name, function)
    }

    /// Adds a function that only `phases` may call.
    pub(crate) fn function_in<A, R>(
        &mut self,
        phases: &'static str,
        name: &str,
        function: impl Fn(&Lua, &State, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()>
    where
        A: mlua::FromLuaMulti + 'static,
        R: mlua::IntoLuaMulti + 'static,
    {
        let phases = Phases::of(phases);
        self.function(name, move |lua, state, arguments: A| {
            if !phases.has(state.phase.get()) {
                return Err(wrong_phase(lua, state, phases.text()));
            }
            function(lua, state, arguments)
        })
    }

    /// Adds functions of `path` that change the traffic in `phases`, and that no other phase may call. The traffic is over:
    /// in these phases they do nothing, and it is noted.
    pub(crate) fn changing(&mut self, path: &str, names: &[&str], phases: &'static str) -> mlua::Result<()> {
        names.iter().try_for_each(|name| {
            let full: Rc<str> = format!("{path}.{name}").into();
            self.state.restricted.borrow_mut().push((full.clone(), phases));
            self.function_in(phases, name, move |_, state, _: Variadic<Lv>| {
                state.note_no_effect(&full);
                Ok(())
            })
        })
    }

    /// The finished table.
    pub(crate) fn done(self) -> Table {
        self.table
    }
}

/// A table whose members are computed by name on each access.
pub(crate) fn lazy(
    lua: &Lua,
    state: &Rc<State>,
    look: impl Fn(&Lua, &State, &str) -> mlua::Result<Lv> + 'static,
) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    make_lazy(lua, state, &table, look)?;
    Ok(table)
}

/// Makes `table` compute the members that it does not hold, by name, on each access.
pub(crate) fn make_lazy(
    lua: &Lua,
    state: &Rc<State>,
    table: &Table,
    look: impl Fn(&Lua, &State, &str) -> mlua::Result<Lv> + 'static,
) -> mlua::Result<()> {
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", index(lua, state, look)?)?;
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(frozen(metatable)))
}

/// An `__index` that computes a member by its name.
pub(crate) fn index(
    lua: &Lua,
    state: &Rc<State>,
    look: impl Fn(&Lua, &State, &str) -> mlua::Result<Lv> + 'static,
) -> mlua::Result<Function> {
    let state = state.clone();
    host_function(lua, move |lua, (_, name): (Lv, Lv)| match name {
        // Luau may cache values that it looks up while loading a snippet.
        Lv::String(name) if !state.loading.get() => look(lua, &state, &name.to_string_lossy()),
        _ => Ok(Lv::Nil),
    })
}

/// Kong's refusal of a function outside of its phases (kong/pdk/private/phases.lua).
pub(crate) fn wrong_phase(lua: &Lua, state: &State, phases: &str) -> mlua::Error {
    raise(lua, &format!("function cannot be called in {} phase (only in: {phases})", state.phase.get()))
}

/// The error of `name`, which would reach out of the sandbox.
pub(crate) fn out_of_reach(lua: &Lua, name: &str) -> mlua::Error {
    raise(lua, &format!("{name} is not available in the sandbox: it would reach out of it"))
}
