//! The walk that writes Lua values as JSON text, shared by field values and cjson. Tables are read raw: no metamethod
//! runs.

use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::c_void;

use mlua::{Table, Value as Lv};

use super::options::ValueLimits;
use crate::message::Style;
use crate::runtime::{OUT_OF_TIME, ReadError, array_length, deadline, read_members, sequence_index, work};
use crate::transaction::text;

/// Why a value cannot be written or an edit cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    /// It has no JSON text, in Kong's or cjson's words.
    #[error("{0}")]
    Invalid(String),
    /// It exceeds one of the [`ValueLimits`].
    #[error("{0}")]
    TooLarge(String),
    /// The script's time ended meanwhile.
    #[error("{OUT_OF_TIME}")]
    OutOfTime,
    /// The VM's own error, such as a refused allocation.
    #[error(transparent)]
    Lua(#[from] mlua::Error),
}

/// What the users of the walk decide for themselves.
pub(crate) trait Encoding {
    /// What a text over the limit of bytes is called in errors.
    const SUBJECT: &'static str;

    /// Appends a number.
    ///
    /// # Errors
    /// The number has no JSON text.
    fn number(&self, out: &mut Vec<u8>, number: f64) -> Result<(), ValueError>;

    /// Appends a string.
    fn string(&self, out: &mut Vec<u8>, bytes: &[u8]);

    /// The error for a value of a type that JSON lacks.
    fn unsupported(&self, value: &Lv) -> ValueError;

    /// The error for a table key of a type that JSON lacks.
    fn unsupported_key(&self, key: &Lv) -> ValueError;

    /// Whether the value of an array or object is left out.
    fn skips(&self, value: &Lv) -> bool;

    /// How `table` is written regardless of its members, if that is fixed.
    fn shape(&self, table: &Table) -> Option<Shape>;

    /// How a table without members is written.
    fn empty(&self, table: &Table) -> Shape;

    /// How a table with indices up to `length`, of which `members` are there, is written.
    ///
    /// # Errors
    /// The array has too many holes.
    fn sequence(&self, length: usize, members: usize) -> Result<Shape, ValueError>;
}

/// The shape of a table in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Array,
    Object,
}

/// How often a table may be part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Any number of times; only the depth limit ends a cycle.
    Unchecked,
    /// Any number of times, but never inside itself.
    Acyclic,
    /// Once.
    Once,
}

/// Writes one value as JSON text.
pub(crate) struct JsonWriter<'a, E> {
    encoding: &'a E,
    limits: ValueLimits,
    sharing: Sharing,
    out: Vec<u8>,
    nodes: usize,
    depth: usize,
    /// The tables around the current one.
    path: Vec<*const c_void>,
    /// All tables so far.
    seen: HashSet<*const c_void>,
}

/// Whether the keys are indices, and one of them is 0.
fn is_zero_based(members: &[(Lv, Lv)]) -> bool {
    let zero = |key: &Lv| key.as_f64() == Some(0.0) || key.as_i64() == Some(0);
    members.iter().any(|(key, _)| zero(key))
        && members.iter().all(|(key, _)| zero(key) || sequence_index(key).is_some())
}

impl<'a, E: Encoding> JsonWriter<'a, E> {
    pub(crate) fn new(encoding: &'a E, limits: ValueLimits, sharing: Sharing) -> Self {
        let (path, seen) = (Vec::new(), HashSet::new());
        Self { encoding, limits, sharing, out: Vec::new(), nodes: 0, depth: 0, path, seen }
    }

    /// Writes `value`. The limit of bytes applies before each node, so that the last one may exceed it.
    ///
    /// # Errors
    /// It has no JSON text, exceeds a limit, or the script has to stop.
    pub(crate) fn write(mut self, value: &Lv) -> Result<Vec<u8>, ValueError> {
        self.value(value)?;
        Ok(self.out)
    }

    /// Like [`Self::write`], with the limit of bytes applied to the whole text.
    fn write_bounded(mut self, value: &Lv) -> Result<Vec<u8>, ValueError> {
        self.value(value)?;
        self.check()?;
        Ok(self.out)
    }

    /// A small table can unfold to a large text, so the limits and the deadline apply at every node.
    fn check(&self) -> Result<(), ValueError> {
        if self.out.len() > self.limits.bytes {
            return Err(ValueError::TooLarge(format!("{} is larger than {} bytes", E::SUBJECT, self.limits.bytes)));
        }
        if self.nodes > self.limits.nodes {
            return Err(self.too_many());
        }
        if deadline::is_over() { Err(ValueError::OutOfTime) } else { Ok(()) }
    }

    fn too_many(&self) -> ValueError {
        ValueError::TooLarge(format!("value has more than {} members and elements", self.limits.nodes))
    }

    fn value(&mut self, value: &Lv) -> Result<(), ValueError> {
        self.nodes += 1;
        self.check()?;
        match value {
            Lv::Nil => self.out.extend_from_slice(b"null"),
            Lv::Boolean(true) => self.out.extend_from_slice(b"true"),
            Lv::Boolean(false) => self.out.extend_from_slice(b"false"),
            Lv::Integer(number) => self.encoding.number(&mut self.out, *number as f64)?,
            Lv::Number(number) => self.encoding.number(&mut self.out, *number)?,
            Lv::String(string) => self.string(&string.as_bytes()),
            Lv::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Lv::Table(table) => self.table(table, value)?,
            other => return Err(self.encoding.unsupported(other)),
        }
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        work(text.len());
        self.encoding.string(&mut self.out, text);
    }

    fn table(&mut self, table: &Table, value: &Lv) -> Result<(), ValueError> {
        if !self.enter(table) {
            return Err(self.encoding.unsupported(value));
        }
        self.depth += 1;
        if self.depth > self.limits.depth {
            // Kong's words, whatever the limit.
            return Err(ValueError::TooLarge(format!("Cannot serialise, excessive nesting ({})", self.depth)));
        }
        if self.encoding.shape(table) == Some(Shape::Array) {
            self.array(table, table.raw_len())?;
        } else {
            self.members(table)?;
        }
        self.depth -= 1;
        if self.sharing != Sharing::Unchecked {
            self.path.pop();
        }
        Ok(())
    }

    /// Notes that `table` is being written; false where it may not be written here.
    fn enter(&mut self, table: &Table) -> bool {
        if self.sharing == Sharing::Unchecked {
            return true;
        }
        let pointer = table.to_pointer();
        let again = self.path.contains(&pointer) || (self.sharing == Sharing::Once && !self.seen.insert(pointer));
        self.path.push(pointer);
        !again
    }

    fn members(&mut self, table: &Table) -> Result<(), ValueError> {
        let members =
            read_members(table, self.limits.nodes.saturating_sub(self.nodes)).map_err(|error| match error {
                ReadError::TooMany => self.too_many(),
                ReadError::Lua(error) => ValueError::Lua(error),
            })?;
        if members.is_empty() {
            let empty: &[u8] = if self.encoding.empty(table) == Shape::Array { b"[]" } else { b"{}" };
            self.out.extend_from_slice(empty);
            return Ok(());
        }
        match array_length(&members) {
            Some(length) if self.encoding.sequence(length, members.len())? == Shape::Array => {
                self.sequence(table, members, length)
            }
            // As in Kong, the whole match before the captures of a route is no element of them.
            None if self.encoding.empty(table) == Shape::Array && is_zero_based(&members) => {
                self.array(table, table.raw_len())
            }
            _ => self.object(&members),
        }
    }

    /// Writes the elements of a table whose keys are all indices.
    fn sequence(&mut self, table: &Table, members: Vec<(Lv, Lv)>, length: usize) -> Result<(), ValueError> {
        let in_order = |(at, (key, _)): (usize, &(Lv, Lv))| sequence_index(key) == Some(at + 1);
        if members.len() != length || !members.iter().enumerate().all(in_order) {
            drop(members);
            return self.array(table, length);
        }
        self.elements(members.into_iter().map(|(_, element)| Ok(element)))
    }

    fn array(&mut self, table: &Table, length: usize) -> Result<(), ValueError> {
        self.elements((1..=length).map(|index| table.raw_get::<Lv>(index)))
    }

    fn elements(&mut self, elements: impl Iterator<Item = mlua::Result<Lv>>) -> Result<(), ValueError> {
        self.out.push(b'[');
        let mut first = true;
        for element in elements {
            let element = element?;
            if self.encoding.skips(&element) {
                self.check()?;
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            self.value(&element)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, members: &[(Lv, Lv)]) -> Result<(), ValueError> {
        self.out.push(b'{');
        let mut first = true;
        for (key, value) in members.iter().filter(|(_, value)| !self.encoding.skips(value)) {
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            match key {
                Lv::String(name) => self.string(&name.as_bytes()),
                Lv::Integer(_) | Lv::Number(_) => {
                    let number = key.as_f64().or_else(|| key.as_i64().map(|whole| whole as f64)).unwrap_or(f64::NAN);
                    self.out.push(b'"');
                    self.encoding.number(&mut self.out, number)?;
                    self.out.push(b'"');
                }
                other => return Err(self.encoding.unsupported_key(other)),
            }
            self.out.push(b':');
            self.value(value)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// Kong's words for a value of a type that JSON lacks (kong/pdk/log.lua, spelling included).
const UNSUPPORTED_VALUE: &str = "value must be nil, a number, string, boolean or a non-self-referencial table \
                                 containing numbers, string and booleans";

/// The encoding of fields that scripts set.
#[derive(Debug)]
pub(crate) struct FieldEncoding {
    style: Style,
    limits: ValueLimits,
    /// Strings so far that were not UTF-8.
    pub(crate) invalid_strings: Cell<u64>,
}

impl FieldEncoding {
    pub(crate) fn new(style: Style, limits: ValueLimits) -> Self {
        Self { style, limits, invalid_strings: Cell::new(0) }
    }

    /// The limits of one value.
    pub(crate) fn limits(&self) -> ValueLimits {
        self.limits
    }

    /// Writes a script's value as JSON text; nil is `None`. `array_mark` is the metatable of arrays.
    ///
    /// # Errors
    /// The value has no JSON text, exceeds a limit, or the script has to stop.
    pub(crate) fn to_json(&self, value: &Lv, array_mark: &Table) -> Result<Option<Vec<u8>>, ValueError> {
        if value.is_nil() {
            return Ok(None);
        }
        // Kong refuses a table that is part of a value twice, even without a cycle.
        let sharing = if self.style == Style::KONG { Sharing::Once } else { Sharing::Acyclic };
        let encoding = Field { encoding: self, array_mark };
        JsonWriter::new(&encoding, self.limits, sharing).write_bounded(value).map(Some)
    }
}

/// The encoding of one field's value.
struct Field<'a> {
    encoding: &'a FieldEncoding,
    array_mark: &'a Table,
}

impl Encoding for Field<'_> {
    const SUBJECT: &'static str = "value";

    fn number(&self, out: &mut Vec<u8>, number: f64) -> Result<(), ValueError> {
        if !number.is_finite() {
            return Err(ValueError::Invalid("Cannot serialise number: must not be NaN or Infinity".to_owned()));
        }
        text::push_number(out, number, self.encoding.style.numbers);
        Ok(())
    }

    fn string(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        if text::push_string(out, bytes, self.encoding.style.escaping) {
            let counter = &self.encoding.invalid_strings;
            counter.set(counter.get() + 1);
        }
    }

    fn unsupported(&self, _: &Lv) -> ValueError {
        ValueError::Invalid(UNSUPPORTED_VALUE.to_owned())
    }

    fn unsupported_key(&self, key: &Lv) -> ValueError {
        ValueError::Invalid(match key {
            Lv::Boolean(_) => "Cannot serialise boolean: table key must be a number or string".to_owned(),
            _ => UNSUPPORTED_VALUE.to_owned(),
        })
    }

    fn skips(&self, _: &Lv) -> bool {
        false
    }

    fn shape(&self, _: &Table) -> Option<Shape> {
        None
    }

    fn empty(&self, table: &Table) -> Shape {
        if table.metatable().is_some_and(|mark| mark == *self.array_mark) { Shape::Array } else { Shape::Object }
    }

    fn sequence(&self, length: usize, members: usize) -> Result<Shape, ValueError> {
        // cjson's defaults: longer than ten, and more than half of it holes.
        if length > 10 && length > 2 * members {
            return Err(ValueError::Invalid(SPARSE.to_owned()));
        }
        Ok(Shape::Array)
    }
}

/// cjson's words for an array with too many holes.
pub(crate) const SPARSE: &str = "Cannot serialise table: excessively sparse array";
