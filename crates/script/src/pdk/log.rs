//! `kong.log` (kong/pdk/log.lua) and `print`.

use std::rc::Rc;

use mlua::{Function, Lua, Table, Value as Lv, Variadic};

use super::inspect;
use crate::host::headers::find_any_case;
use crate::host::log::{MAX_LINE, push_all, push_argument, push_text, write_line};
use crate::host::{Module, State, mode};
use crate::message::{KeyPath, Mode};
use crate::runtime::{frozen, host_function, kind_name, raise, work};
use crate::transaction::View;

/// nginx's levels, most severe first.
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

/// Bytes of a key; a parsed one takes a multiple.
const MAX_KEY: usize = 16 << 10;

/// Bytes of a namespace.
const MAX_NAMESPACE: usize = 100;

pub(super) fn table(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    facility(lua, state, "")
}

/// `kong.log`, or a facility of `kong.log.new`, whose lines begin with its namespace.
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
    // Enabled in Kong's own tests only.
    module.function("trace", |_, _, (): ()| Ok(()))?;
    module.function("set_serialize_value", set_serialize_value)?;
    module.function_in("log", "serialize", serialize)?;
    // All lines have the format of the log.
    module.function("set_format", |lua, _, format: Lv| match format {
        Lv::Nil | Lv::Boolean(false) | Lv::String(_) => Ok(()),
        _ => Err(raise(lua, "format must be a string")),
    })?;
    let table = module.done();
    table.raw_set("inspect", inspect_table(lua, state, &prefix)?)?;
    table.raw_set("deprecation", deprecation_table(lua, state, &prefix)?)?;
    let shared = state.clone();
    let new = host_function(lua, move |lua, (namespace, format): (Lv, Lv)| {
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
            push_text(&mut name, &namespace.as_bytes(), MAX_NAMESPACE);
            return Ok(name);
        }
        _ => "format must be a string if specified",
    };
    Err(raise(lua, problem))
}

/// `inspect(...)` with `on` and `off`, which apply to the running plugin while it runs.
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
            write_line(state, "notice", &prefix, |line| inspect::show(line, values, MAX_LINE));
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
    let (write_prefix, state) = (prefix.clone(), state.clone());
    module.function("write", move |_, state, arguments: Variadic<Lv>| {
        write_line(state, "warn", &write_prefix, |line| push_all(line, &arguments));
        Ok(())
    })?;
    let (table, prefix) = (module.done(), prefix.clone());
    callable(lua, &table, move |arguments| {
        let (message, options) = match arguments {
            [message @ .., Lv::Table(options)] => (message, Some(options)),
            _ => (arguments, None),
        };
        let text =
            |name: &str| options.and_then(|options| options.raw_get::<Lv>(name).ok()).filter(|text| text.is_string());
        write_line(&state, "warn", &prefix, |line| {
            push_all(line, message);
            let notes = [("deprecated after ", text("after")), ("scheduled for removal in ", text("removal"))];
            let notes: Vec<_> = notes.into_iter().filter_map(|(label, version)| Some((label, version?))).collect();
            for (index, (label, version)) in notes.iter().enumerate() {
                line.push_str(if index == 0 { " (" } else { ", " });
                line.push_str(label);
                push_argument(line, version);
            }
            line.push_str(if notes.is_empty() { "" } else { ")" });
        });
    })?;
    Ok(frozen(table))
}

/// Makes `table` callable. `work` gets the arguments without the table.
fn callable(lua: &Lua, table: &Table, work: impl Fn(&[Lv]) + 'static) -> mlua::Result<()> {
    let metatable = lua.create_table()?;
    let call = host_function(lua, move |_, arguments: Variadic<Lv>| {
        work(&arguments[arguments.len().min(1)..]);
        Ok(())
    })?;
    metatable.raw_set("__call", call)?;
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(frozen(metatable)))
}

/// The current message as new tables. Of Kong's options only the one that leaves out the headers has an effect.
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
    work(json.len());
    let root = state.to_lua(lua, View::new(&json))?;
    let Lv::Table(members) = &root else { return Ok(root) };
    for part in ["request", "response"] {
        let Lv::Table(part) = members.raw_get(part)? else { continue };
        match part.raw_get("headers")? {
            Lv::Table(_) if without_headers => part.raw_set("headers", Lv::Nil)?,
            // An array holds no headers, and keeps its mark.
            Lv::Table(headers) if headers.metatable().is_none() => find_any_case(lua, &headers)?,
            _ => {}
        }
    }
    Ok(root)
}

/// The global `print`: a notice.
pub(crate) fn print(lua: &Lua, state: &Rc<State>) -> mlua::Result<Function> {
    let state = state.clone();
    host_function(lua, move |_, arguments: Variadic<Lv>| {
        write_line(&state, "notice", "", |line| push_all(line, &arguments));
        Ok(())
    })
}

fn set_serialize_value(lua: &Lua, state: &State, (key, value, options): (Lv, Lv, Lv)) -> mlua::Result<()> {
    let Lv::String(key) = key else { return Err(raise(lua, "key must be a string")) };
    let mode = match &options {
        Lv::Table(options) => mode(&options.raw_get("mode")?).map_err(|message| raise(lua, message))?,
        Lv::Nil | Lv::String(_) | Lv::Boolean(false) => Mode::Set,
        other => {
            let message = format!("attempt to index local 'options' (a {} value)", kind_name(other));
            return Err(raise(lua, &message));
        }
    };
    if key.as_bytes().len() > MAX_KEY {
        return Err(raise(lua, &format!("key is longer than {MAX_KEY} bytes")));
    }
    let path = KeyPath::parse(&key.to_string_lossy(), state.quirks);
    state.edit_within(&path, &value, mode).map_err(|error| raise(lua, &error.to_string()))
}
