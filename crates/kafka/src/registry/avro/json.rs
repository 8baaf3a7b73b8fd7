//! Reads one level of a JSON text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value whose parts have not been read.
pub(super) enum Json<'a> {
    Null,
    Boolean(bool),
    /// The text of the number.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(Vec<&'a RawValue>),
    Object(Members<'a>),
}

/// The members of an object: each name once, with the last of its values.
#[derive(Default)]
pub(super) struct Members<'a> {
    pub(super) list: Vec<(Cow<'a, str>, &'a RawValue)>,
    indices: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Members<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.indices.get(name).map(|&index| self.list[index].1)
    }

    fn set(&mut self, name: Cow<'a, str>, value: &'a RawValue) {
        if let Some(&index) = self.indices.get(&name) {
            self.list[index].1 = value;
        } else {
            self.indices.insert(name.clone(), self.list.len());
            self.list.push((name, value));
        }
    }
}

impl<'a> Json<'a> {
    /// Reads the outermost level of `raw`.
    pub(super) fn read(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get().trim();
        Ok(match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Boolean(true),
            Some(b'f') => Self::Boolean(false),
            Some(b'"') => Self::String(serde_json::from_str::<Text<'_>>(text)?.0),
            Some(b'[') => Self::Array(serde_json::from_str(text)?),
            Some(b'{') => Self::Object(serde_json::from_str(text)?),
            _ => Self::Number(text),
        })
    }

    /// Its name in an error.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            members.set(name.0, value);
        }
        Ok(members)
    }
}
