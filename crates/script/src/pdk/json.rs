//! JSON bodies as Lua values.

use std::cell::RefCell;
use std::fmt;

use crate::host::State;
use crate::runtime::{OUT_OF_TIME, deadline};
use mlua::{Lua, Table, Value as Lv};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// Parses a JSON array or object; `None` if `text` is neither. Null becomes `ngx.null`, and empty arrays stay arrays.
/// serde_json limits nesting to 127 levels; cjson allows 1000.
pub(super) fn decode(lua: &Lua, state: &State, text: &[u8]) -> mlua::Result<Option<Table>> {
    let failure = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Reader { lua, state, failure: &failure }.deserialize(&mut reader);
    if let Some(error) = failure.take() {
        return Err(error);
    }
    match (value, reader.end()) {
        (Ok(Lv::Table(table)), Ok(())) => Ok(Some(table)),
        _ => Ok(None),
    }
}

/// Creates Lua values while it parses, so that the result counts towards the script's memory.
#[derive(Clone, Copy)]
struct Reader<'a> {
    lua: &'a Lua,
    state: &'a State,
    /// An error of the VM, as opposed to one in the text.
    failure: &'a RefCell<Option<mlua::Error>>,
}

impl Reader<'_> {
    fn sound<T, E: Error>(&self, result: mlua::Result<T>) -> Result<T, E> {
        let result = if deadline::is_over() { Err(mlua::Error::runtime(OUT_OF_TIME)) } else { result };
        result.map_err(|error| {
            self.failure.replace(Some(error));
            E::custom("stopped")
        })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Lv;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Lv, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Lv;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Lv, E> {
        Ok(Lv::NULL)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Lv, E> {
        Ok(Lv::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Lv, E> {
        Ok(Lv::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Lv, E> {
        Ok(Lv::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Lv, E> {
        Ok(Lv::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Lv, E> {
        self.sound(self.lua.create_string(value).map(Lv::String))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Lv, A::Error> {
        let table: Table = self.sound(self.lua.create_table())?;
        let mut at = 0;
        while let Some(element) = elements.next_element_seed(self)? {
            at += 1;
            self.sound(table.raw_set(at, element))?;
        }
        self.sound(table.set_metatable(Some(self.state.array_mark.clone())))?;
        Ok(Lv::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Lv, A::Error> {
        let table: Table = self.sound(self.lua.create_table())?;
        while let Some(name) = members.next_key_seed(self)? {
            let value = members.next_value_seed(self)?;
            self.sound(table.raw_set(name, value))?;
        }
        Ok(Lv::Table(table))
    }
}
