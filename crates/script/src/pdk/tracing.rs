//! `kong.tracing` (kong/pdk/tracing.lua) with tracing disabled: spans that record nothing.

use std::rc::Rc;

use crate::host::{State, out_of_reach};
use crate::runtime::{frozen, host_function};
use mlua::{Function, Lua, Table, Value as Lv};

pub(super) fn table(lua: &Lua, _: &Rc<State>) -> mlua::Result<Table> {
    let nothing = host_function(lua, |_, (): ()| Ok(()))?;
    let tracer = lua.create_table()?;
    let span = new_span(lua, &nothing)?;
    for name in ["start_span", "create_span"] {
        tracer.raw_set(name, span.clone())?;
    }
    for name in [
        "get_spans",
        "get_root_span",
        "init_spans",
        "link_span",
        "active_span",
        "set_active_span",
        "process_span",
        "set_should_sample",
        "get_sampling_decision",
    ] {
        tracer.raw_set(name, nothing.clone())?;
    }
    tracer.raw_set("name", "noop")?;
    tracer.raw_set("spans_table_key", "noop")?;
    let global = host_function(lua, |lua, (): ()| -> mlua::Result<()> {
        Err(out_of_reach(lua, "kong.tracing.set_global_tracer"))
    })?;
    tracer.raw_set("set_global_tracer", global)?;
    // A new tracer would not report anything either, so it is the same one.
    let same = tracer.clone();
    let again = host_function(lua, move |_, (): ()| Ok(same.clone()))?;
    tracer.raw_set("new", again.clone())?;
    let metatable = lua.create_table()?;
    metatable.raw_set("__call", again)?;
    metatable.raw_set("__metatable", false)?;
    tracer.set_metatable(Some(frozen(metatable)))?;
    Ok(tracer)
}

/// The function that creates spans. Each is a new table, because scripts may write into it.
fn new_span(lua: &Lua, nothing: &Function) -> mlua::Result<Function> {
    let nothing = nothing.clone();
    let metatable = lua.create_table()?;
    metatable.raw_set("__newindex", nothing.clone())?;
    metatable.raw_set("__metatable", false)?;
    let metatable = frozen(metatable);
    let inner = nothing.clone();
    let items = host_function(lua, move |_, (): ()| Ok(inner.clone()))?;
    host_function(lua, move |lua, _: Lv| {
        let span = lua.create_table()?;
        span.raw_set("is_recording", false)?;
        for name in ["finish", "set_attribute", "add_event", "record_error", "set_status"] {
            span.raw_set(name, nothing.clone())?;
        }
        span.raw_set("each_baggage_item", items.clone())?;
        span.set_metatable(Some(metatable.clone()))?;
        Ok(span)
    })
}
