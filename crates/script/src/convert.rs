//! Values between Lua and JSON text.

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::c_void;

use mlua::{Lua, Table, Value as Lv};

use super::deadline;
use super::interrupt::OUT_OF_TIME;
use super::state::State;
use crate::message::{KeyPath, Mode, Style};
use crate::transaction::{Value, View, text};

/// What one value of a script's may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueLimits {
    /// Bytes of JSON that it may become.
    pub bytes: usize,
    /// Members, elements and plain values, all levels together.
    pub nodes: usize,
    /// Levels of nesting, the message that it goes into included.
    pub depth: usize,
}

impl Default for ValueLimits {
    fn default() -> Self {
        Self { bytes: 1 << 20, nodes: 250_000, depth: DEEPEST }
    }
}

/// Why a value cannot be written.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) message: String,
    /// It is past one of the [`ValueLimits`], or out of time.
    pub(super) too_large: bool,
}

impl From<String> for Unfit {
    fn from(message: String) -> Self {
        Self { message, too_large: false }
    }
}

impl Unfit {
    fn too_large(message: String) -> Self {
        Self { message, too_large: true }
    }
}

/// How scripts' values become JSON, and how large one may be.
#[derive(Debug)]
pub(super) struct Conversion {
    style: Style,
    limits: ValueLimits,
    /// Strings whose bytes were not UTF-8 so far.
    pub(super) invalid_strings: Cell<u64>,
}

/// Kong's words for a value of a kind that JSON lacks (kong/pdk/log.lua, spelling and all).
const WRONG_KIND: &str = "value must be nil, a number, string, boolean or a non-self-referencial table containing \
                          numbers, string and booleans";

/// cjson's bound on nesting in Kong; the outermost value counts.
const DEEPEST: usize = 1000;

impl Conversion {
    pub(super) fn new(style: Style, limits: ValueLimits) -> Self {
        Self { style, limits, invalid_strings: Cell::new(0) }
    }

    /// What one value may be.
    pub(super) fn limits(&self) -> &ValueLimits {
        &self.limits
    }

    /// Writes a script's value as JSON text; nil is `None`. Reads tables raw: no metamethod runs.
    fn to_json(&self, value: &Lv, array_mark: &Table) -> Result<Option<Vec<u8>>, Unfit> {
        if value.is_nil() {
            return Ok(None);
        }
        let quirks = self.style == Style::KONG;
        let mut writer = Writer {
            conversion: self,
            array_mark,
            quirks,
            out: Vec::new(),
            nodes: 0,
            path: Vec::new(),
            seen: HashSet::new(),
        };
        writer.value(value)?;
        writer.check()?;
        Ok(Some(writer.out))
    }
}

/// What Lua calls the kind of `value`.
pub(super) fn kind_name(value: &Lv) -> &'static str {
    match value {
        Lv::Integer(_) => "number",
        Lv::LightUserData(_) => "userdata",
        other => other.type_name(),
    }
}

struct Writer<'a> {
    conversion: &'a Conversion,
    array_mark: &'a Table,
    quirks: bool,
    out: Vec<u8>,
    /// How many values so far.
    nodes: usize,
    /// The tables that the one at hand is inside of.
    path: Vec<*const c_void>,
    /// Every table so far: Kong refuses one that stands twice, even without a cycle.
    seen: HashSet<*const c_void>,
}

impl Writer<'_> {
    /// A small table can unfold to a large text: the snippet's limits hold here, too.
    fn check(&self) -> Result<(), Unfit> {
        let limits = &self.conversion.limits;
        if self.out.len() > limits.bytes {
            return Err(Unfit::too_large(format!("value is larger than {} bytes", limits.bytes)));
        }
        if self.nodes > limits.nodes {
            return Err(self.too_many());
        }
        if deadline::is_over() { Err(OUT_OF_TIME.to_owned().into()) } else { Ok(()) }
    }

    fn too_many(&self) -> Unfit {
        Unfit::too_large(format!("value has more than {} members and elements", self.conversion.limits.nodes))
    }

    fn value(&mut self, value: &Lv) -> Result<(), Unfit> {
        self.nodes += 1;
        self.check()?;
        match value {
            Lv::Nil => self.out.extend_from_slice(b"null"),
            Lv::Boolean(true) => self.out.extend_from_slice(b"true"),
            Lv::Boolean(false) => self.out.extend_from_slice(b"false"),
            Lv::Integer(number) => self.number(*number as f64)?,
            Lv::Number(number) => self.number(*number)?,
            Lv::String(string) => self.string(&string.as_bytes()),
            Lv::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Lv::Table(table) => self.table(table)?,
            _ => return Err(WRONG_KIND.to_owned().into()),
        }
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), Unfit> {
        if !number.is_finite() {
            return Err("Cannot serialise number: must not be NaN or Infinity".to_owned().into());
        }
        text::push_number(&mut self.out, number, self.conversion.style.numbers);
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) {
        if text::push_string(&mut self.out, bytes, self.conversion.style.escaping) {
            let counter = &self.conversion.invalid_strings;
            counter.set(counter.get() + 1);
        }
    }

    fn table(&mut self, table: &Table) -> Result<(), Unfit> {
        let pointer = table.to_pointer();
        if self.path.contains(&pointer) || (self.quirks && !self.seen.insert(pointer)) {
            return Err(WRONG_KIND.to_owned().into());
        }
        let deepest = self.conversion.limits.depth;
        if self.path.len() >= deepest {
            // Kong's words, whatever the limit.
            return Err(Unfit::too_large(format!("Cannot serialise, excessive nesting ({})", deepest + 1)));
        }
        self.path.push(pointer);
        let mut members = Vec::new();
        let room = self.conversion.limits.nodes.saturating_sub(self.nodes);
        let read = table.for_each(|key: Lv, value: Lv| {
            if members.len() >= room {
                return Err(mlua::Error::runtime(""));
            }
            members.push((key, value));
            Ok(())
        });
        match read {
            Err(_) if members.len() >= room => return Err(self.too_many()),
            other => other.map_err(|error| error.to_string())?,
        }
        match array_length(&members) {
            _ if members.is_empty() => {
                let marked = table.metatable().is_some_and(|mark| mark == *self.array_mark);
                self.out.extend_from_slice(if marked { b"[]" } else { b"{}" });
            }
            Some(length) => self.array(members, length)?,
            None => self.object(&members)?,
        }
        self.path.pop();
        Ok(())
    }

    fn array(&mut self, members: Vec<(Lv, Lv)>, length: usize) -> Result<(), Unfit> {
        // cjson's defaults: more than ten long and more than half of it holes.
        if length > 10 && length > 2 * members.len() {
            return Err("Cannot serialise table: excessively sparse array".to_owned().into());
        }
        let mut elements = vec![Lv::Nil; length];
        for (key, value) in members {
            if let Some(index) = array_index(&key) {
                elements[index - 1] = value;
            }
        }
        self.out.push(b'[');
        for (at, element) in elements.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.value(element)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, members: &[(Lv, Lv)]) -> Result<(), Unfit> {
        self.out.push(b'{');
        for (at, (key, value)) in members.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            match key {
                Lv::String(name) => self.string(&name.as_bytes()),
                Lv::Integer(_) | Lv::Number(_) => {
                    let number = key.as_f64().or_else(|| key.as_i64().map(|whole| whole as f64)).unwrap_or(f64::NAN);
                    self.out.push(b'"');
                    self.number(number)?;
                    self.out.push(b'"');
                }
                Lv::Boolean(_) => {
                    return Err("Cannot serialise boolean: table key must be a number or string".to_owned().into());
                }
                _ => return Err(WRONG_KIND.to_owned().into()),
            }
            self.out.push(b':');
            self.value(value)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

fn array_index(key: &Lv) -> Option<usize> {
    match key {
        Lv::Integer(index) => usize::try_from(*index).ok().filter(|index| *index > 0),
        Lv::Number(index) if index.trunc() == *index && *index >= 1.0 && *index < 2_147_483_648.0 => {
            Some(*index as usize)
        }
        _ => None,
    }
}

/// The highest index, where all keys are indices.
pub(super) fn array_length(members: &[(Lv, Lv)]) -> Option<usize> {
    members.iter().try_fold(0, |highest, (key, _)| array_index(key).map(|index| highest.max(index)))
}

impl State {
    /// Makes one edit of the message at hand, of a script's value.
    pub(super) fn edit(&self, path: &KeyPath, value: &Lv, mode: Mode) -> Result<(), Unfit> {
        let json = self.conversion.to_json(value, &self.array_mark)?;
        // What an edit holds beside its texts, for each step of its path at most.
        const STEP: usize = 64;
        let size = json.as_ref().map_or(0, Vec::len) + path.text().len() + path.parts().len() * STEP;
        let (total, most) = (self.edited.get().saturating_add(size), self.conversion.limits.bytes.saturating_mul(4));
        if total > most {
            return Err(Unfit::too_large(format!("all values set for one message are larger than {most} bytes")));
        }
        self.edited.set(total);
        let edited = self.with_message(|message| message.edit(path, json, mode));
        edited.unwrap_or(Ok(())).map_err(|error| error.to_string().into())
    }

    /// A Lua value of a JSON value; each call makes new tables.
    pub(super) fn to_lua(&self, lua: &Lua, view: View<'_>) -> mlua::Result<Lv> {
        Ok(match view.value() {
            Value::Null => Lv::NULL,
            Value::Bool(value) => Lv::Boolean(value),
            Value::Number(number) => Lv::Number(number),
            Value::String(bytes) => Lv::String(lua.create_string(bytes.as_ref())?),
            Value::Array(elements) => {
                let table = lua.create_table_with_capacity(elements.len(), 0)?;
                for (at, element) in elements.into_iter().enumerate() {
                    table.raw_set(at + 1, self.to_lua(lua, element)?)?;
                }
                table.set_metatable(Some(self.array_mark.clone()))?;
                Lv::Table(table)
            }
            Value::Object(members) => {
                let table = lua.create_table_with_capacity(0, members.len())?;
                for (name, value) in members {
                    table.raw_set(lua.create_string(name.as_ref())?, self.to_lua(lua, value)?)?;
                }
                Lv::Table(table)
            }
        })
    }
}
