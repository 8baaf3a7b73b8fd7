//! `kong.log` (kong/pdk/log.lua) and `print`.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv, Variadic};

use super::super::convert::kind_name;
use super::super::environment::frozen;
use super::super::state::State;
use super::{Module, mode, raise};
use crate::message::{KeyPath, Mode};
use crate::transaction::View;

/// How many lines scripts may still log in the second at hand.
#[derive(Debug)]
pub(in super::super) struct LogBudget {
    per_second: u32,
    second: Cell<u64>,
    used: Cell<u32>,
}

impl LogBudget {
    pub(in super::super) fn new(per_second: u32) -> Self {
        Self { per_second, second: Cell::new(0), used: Cell::new(0) }
    }

    /// Takes one line; says how many were dropped when a new second begins.
    fn take(&self, second: u64) -> (bool, u32) {
        let mut dropped = 0;
        if self.second.replace(second) != second {
            dropped = self.used.replace(0).saturating_sub(self.per_second);
        }
        self.used.set(self.used.get().saturating_add(1));
        (self.used.get() <= self.per_second, dropped)
    }
}

/// nginx's levels, most severe first.
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/// A script's line is cut to so many bytes.
const LONGEST_LINE: usize = 4096;

/// A key may be so many bytes: a parsed one takes many times that.
const LONGEST_KEY: usize = 16 << 10;

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    for level in LEVELS {
        module.function(level, move |_, state, arguments: Variadic<Lv>| {
            write_line(state, level, &arguments);
            Ok(())
        })?;
    }
    module.function("set_serialize_value", set_serialize_value)?;
    module.function("serialize", |lua, state, _: Variadic<Lv>| {
        let json = state.with_message(|message| message.to_vec()).unwrap_or_default();
        state.to_lua(lua, View::new(&json))
    })?;
    // `inspect` is on outside of production; here it is off, as `kong.log.inspect.off` leaves it.
    module.function("inspect", |_, _, _: Variadic<Lv>| Ok(()))?;
    let table = module.done();
    let metatable = lua.create_table()?;
    let shared = state.clone();
    let call = lua.create_function(move |_, arguments: Variadic<Lv>| {
        write_line(&shared, "notice", &arguments[arguments.len().min(1)..]);
        Ok(())
    })?;
    metatable.raw_set("__call", call)?;
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(frozen(metatable)))?;
    Ok(table)
}

/// The global `print`: a notice.
pub(in super::super) fn print(lua: &Lua, state: &Rc<State>) -> mlua::Result<Function> {
    let state = state.clone();
    lua.create_function(move |_, arguments: Variadic<Lv>| {
        write_line(&state, "notice", &arguments);
        Ok(())
    })
}

fn set_serialize_value(lua: &Lua, state: &State, (key, value, options): (Lv, Lv, Lv)) -> mlua::Result<()> {
    let Lv::String(key) = key else { return Err(raise(lua, "key must be a string")) };
    let mode = match &options {
        Lv::Table(options) => mode(&options.raw_get("mode")?).map_err(|message| raise(lua, &message))?,
        Lv::Nil | Lv::String(_) | Lv::Boolean(false) => Mode::Set,
        other => {
            let message = format!("attempt to index local 'options' (a {} value)", kind_name(other));
            return Err(raise(lua, &message));
        }
    };
    if key.as_bytes().len() > LONGEST_KEY {
        return Err(raise(lua, &format!("key is longer than {LONGEST_KEY} bytes")));
    }
    let path = KeyPath::parse(&key.to_string_lossy(), state.quirks);
    state.edit(&path, &value, mode).map_err(|unfit| raise(lua, &unfit.message))
}

/// Logs one line of a script's, its parts joined as nginx does, control characters escaped.
pub(in super::super) fn write_line(state: &State, level: &str, arguments: &[Lv]) {
    let second = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (allowed, dropped) = state.log.take(second);
    let plugin = state.plugin_name.borrow().clone();
    if dropped > 0 {
        tracing::warn!(%plugin, dropped, "scripts logged more lines than the setting lua.log_per_second allows");
    }
    if !allowed {
        return;
    }
    let mut line = String::new();
    for argument in arguments {
        if line.len() < LONGEST_LINE {
            push_argument(&mut line, argument);
        }
    }
    if line.len() > LONGEST_LINE {
        let cut = (0..=LONGEST_LINE).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(cut);
        line.push_str("...");
    }
    match level {
        "emerg" | "alert" | "crit" | "err" => tracing::error!(target: "script", %plugin, level, "{line}"),
        "warn" => tracing::warn!(target: "script", %plugin, "{line}"),
        "notice" | "info" => tracing::info!(target: "script", %plugin, "{line}"),
        _ => tracing::debug!(target: "script", %plugin, "{line}"),
    }
}

fn push_argument(line: &mut String, argument: &Lv) {
    match argument {
        Lv::Nil => line.push_str("nil"),
        Lv::Boolean(value) => line.push_str(if *value { "true" } else { "false" }),
        Lv::Integer(number) => line.push_str(&number.to_string()),
        Lv::Number(number) => line.push_str(&number.to_string()),
        Lv::String(text) => {
            let bytes = text.as_bytes();
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST_LINE)]);
            for character in shown.chars() {
                if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
            }
        }
        other => line.push_str(kind_name(other)),
    }
}
