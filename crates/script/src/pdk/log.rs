//! `kong.log` (kong/pdk/log.lua) and `print`.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv, Variadic};

use super::super::convert::kind_name;
use super::super::environment::frozen;
use super::super::state::State;
use super::headers::find_any_case;
use super::{Module, inspect, mode, raise};
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

/// A facility's name may be so many bytes.
const LONGEST_NAMESPACE: usize = 100;

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    facility(lua, state, "")
}

/// `kong.log`, or what `kong.log.new` gives, whose lines begin with its name.
fn facility(lua: &Lua, state: &Rc<State>, namespace: &str) -> mlua::Result<Table> {
    let prefix: Rc<str> = if namespace.is_empty() { "".into() } else { format!("[{namespace}] ").into() };
    let mut module = Module::new(lua, state)?;
    for level in LEVELS {
        let prefix = prefix.clone();
        module.function(level, move |_, state, arguments: Variadic<Lv>| {
            write_line(state, level, &prefix, |line| push_all(line, &arguments));
            Ok(())
        })?;
    }
    // On in Kong's own tests only.
    module.function("trace", |_, _, (): ()| Ok(()))?;
    module.function("set_serialize_value", set_serialize_value)?;
    module.function("serialize", serialize)?;
    // Lines have one format here, which is that of all logs.
    module.function("set_format", |lua, _, format: Lv| match format {
        Lv::Nil | Lv::Boolean(false) | Lv::String(_) => Ok(()),
        _ => Err(raise(lua, "format must be a string")),
    })?;
    let table = module.done();
    table.raw_set("inspect", inspect_table(lua, state, &prefix)?)?;
    table.raw_set("deprecation", deprecation_table(lua, state, &prefix)?)?;
    let shared = state.clone();
    let new = lua.create_function(move |lua, (namespace, format): (Lv, Lv)| {
        let namespace = checked_namespace(lua, &namespace, &format)?;
        Ok(frozen(facility(lua, &shared, &namespace)?))
    })?;
    table.raw_set("new", new)?;
    let shared = state.clone();
    callable(lua, &table, move |arguments| {
        write_line(&shared, "notice", &prefix, |line| push_all(line, arguments));
    })?;
    Ok(table)
}

/// Kong's checks of the arguments of `kong.log.new`.
fn checked_namespace(lua: &Lua, namespace: &Lv, format: &Lv) -> mlua::Result<String> {
    let Lv::String(namespace) = namespace else { return Err(raise(lua, "namespace must be a string")) };
    let problem = match (namespace.as_bytes().len(), format) {
        (0, _) => "namespace cannot be an empty string",
        (_, Lv::String(format)) if format.as_bytes().is_empty() => "format cannot be an empty string if specified",
        (_, Lv::Nil | Lv::Boolean(false) | Lv::String(_)) => {
            let mut name = String::new();
            push_text(&mut name, &namespace.as_bytes(), LONGEST_NAMESPACE);
            return Ok(name);
        }
        _ => "format must be a string if specified",
    };
    Err(raise(lua, problem))
}

/// `inspect(...)` with `on` and `off`, which hold for the plugin that runs and no longer than it does.
fn inspect_table(lua: &Lua, state: &Rc<State>, prefix: &Rc<str>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    for (name, off) in [("on", false), ("off", true)] {
        module.function(name, move |_, state, (): ()| {
            state.inspect_off.set(off);
            Ok(())
        })?;
    }
    let prefix = prefix.clone();
    let print = Rc::new(move |state: &State, values: &[Lv]| {
        if !state.inspect_off.get() {
            write_line(state, "notice", &prefix, |line| inspect::show(line, values, LONGEST_LINE));
        }
    });
    let printer = print.clone();
    module.function("print", move |_, state, values: Variadic<Lv>| {
        printer(state, &values);
        Ok(())
    })?;
    let (table, state) = (module.done(), state.clone());
    callable(lua, &table, move |values| print(&state, values))?;
    Ok(frozen(table))
}

/// `deprecation(...)`, whose last argument may say `after` and `removal`, and `deprecation.write(...)`.
fn deprecation_table(lua: &Lua, state: &Rc<State>, prefix: &Rc<str>) -> mlua::Result<Table> {
    let mut module = Module::new(lua, state)?;
    let (own, state) = (prefix.clone(), state.clone());
    module.function("write", move |_, state, arguments: Variadic<Lv>| {
        write_line(state, "warn", &own, |line| push_all(line, &arguments));
        Ok(())
    })?;
    let (table, prefix) = (module.done(), prefix.clone());
    callable(lua, &table, move |arguments| {
        let (message, options) = match arguments {
            [message @ .., Lv::Table(options)] => (message, Some(options)),
            _ => (arguments, None),
        };
        let said =
            |name: &str| options.and_then(|options| options.raw_get::<Lv>(name).ok()).filter(|text| text.is_string());
        write_line(&state, "warn", &prefix, |line| {
            push_all(line, message);
            let notes = [("deprecated after ", said("after")), ("scheduled for removal in ", said("removal"))];
            let given: Vec<_> = notes.into_iter().filter_map(|(what, when)| Some((what, when?))).collect();
            for (at, (what, when)) in given.iter().enumerate() {
                line.push_str(if at == 0 { " (" } else { ", " });
                line.push_str(what);
                push_argument(line, when);
            }
            line.push_str(if given.is_empty() { "" } else { ")" });
        });
    })?;
    Ok(frozen(table))
}

/// Makes `table` callable; `work` gets the arguments without the table.
fn callable(lua: &Lua, table: &Table, work: impl Fn(&[Lv]) + 'static) -> mlua::Result<()> {
    let metatable = lua.create_table()?;
    let call = lua.create_function(move |_, arguments: Variadic<Lv>| {
        work(&arguments[arguments.len().min(1)..]);
        Ok(())
    })?;
    metatable.raw_set("__call", call)?;
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(frozen(metatable)))
}

/// The message as it is now, as new tables. Of Kong's options only the one that leaves the headers out has a meaning.
fn serialize(lua: &Lua, state: &State, options: Lv) -> mlua::Result<Lv> {
    let without_headers = match &options {
        Lv::Table(options) => !matches!(options.raw_get("__skip_fetch_headers__")?, Lv::Nil | Lv::Boolean(false)),
        Lv::Nil | Lv::Boolean(false) | Lv::String(_) => false,
        other => {
            let message = format!("attempt to index local 'options' (a {} value)", kind_name(other));
            return Err(raise(lua, &message));
        }
    };
    let json = state.with_message(|message| message.to_vec()).unwrap_or_default();
    let root = state.to_lua(lua, View::new(&json))?;
    let Lv::Table(members) = &root else { return Ok(root) };
    for part in ["request", "response"] {
        let Lv::Table(part) = members.raw_get(part)? else { continue };
        match part.raw_get("headers")? {
            Lv::Table(_) if without_headers => part.raw_set("headers", Lv::Nil)?,
            // An array is none of headers, and keeps its mark.
            Lv::Table(headers) if headers.metatable().is_none() => find_any_case(lua, &headers)?,
            _ => {}
        }
    }
    Ok(root)
}

/// The global `print`: a notice.
pub(in super::super) fn print(lua: &Lua, state: &Rc<State>) -> mlua::Result<Function> {
    let state = state.clone();
    lua.create_function(move |_, arguments: Variadic<Lv>| {
        write_line(&state, "notice", "", |line| push_all(line, &arguments));
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

/// Logs one line of a script's, its parts joined as nginx does.
pub(in super::super) fn write_parts(state: &State, level: &str, parts: &[Lv]) {
    write_line(state, level, "", |line| push_all(line, parts));
}

/// Logs one line of a script's, cut to its bound; `fill` writes it, control characters escaped.
fn write_line(state: &State, level: &str, prefix: &str, fill: impl FnOnce(&mut String)) {
    let second = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (allowed, dropped) = state.log.take(second);
    let plugin = state.plugin_name.borrow().clone();
    if dropped > 0 {
        tracing::warn!(%plugin, dropped, "scripts logged more lines than the setting lua.log_per_second allows");
    }
    if !allowed {
        return;
    }
    let mut line = prefix.to_owned();
    fill(&mut line);
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

/// The arguments one behind the other, as nginx joins them.
fn push_all(line: &mut String, arguments: &[Lv]) {
    for argument in arguments {
        if line.len() < LONGEST_LINE {
            push_argument(line, argument);
        }
    }
}

fn push_argument(line: &mut String, argument: &Lv) {
    match argument {
        Lv::Nil => line.push_str("nil"),
        Lv::Boolean(value) => line.push_str(if *value { "true" } else { "false" }),
        Lv::Integer(number) => line.push_str(&number.to_string()),
        Lv::Number(number) => line.push_str(&number.to_string()),
        Lv::String(text) => push_text(line, &text.as_bytes(), LONGEST_LINE),
        other => line.push_str(kind_name(other)),
    }
}

/// At most `most` bytes of a text, control characters escaped.
fn push_text(line: &mut String, bytes: &[u8], most: usize) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(most)]);
    for character in shown.chars() {
        if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
    }
}
