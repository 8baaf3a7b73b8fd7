//! The JSON form of values, written while it is read.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::RecordError;
use super::json::{Integer, Text};
use super::value::Values;
use crate::json::Writer;

/// What is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    /// An `AnyValue`.
    Value,
    /// An `ArrayValue`, and its list.
    Array,
    Elements,
    /// A `KeyValueList`, and its list, which attributes are, too.
    Map,
    Members,
    /// A `KeyValue`.
    Member,
}

/// Reads a [`Node`] and writes it.
pub(super) struct Seed<'s, 'w> {
    pub(super) values: &'s mut Values<'w>,
    pub(super) node: Node,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.node {
            Node::Value => "an AnyValue",
            Node::Array => "an ArrayValue",
            Node::Map => "a KeyValueList",
            Node::Elements | Node::Members => "a list",
            Node::Member => "a KeyValue",
        })
    }

    /// `null` is what is not set.
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        match self.node {
            Node::Value => self.values.json.serialized(()),
            // Of an AnyValue nothing is set then.
            Node::Array | Node::Map | Node::Elements | Node::Members => {}
            Node::Member => return Err(E::invalid_type(de::Unexpected::Unit, &self)),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let node = match self.node {
            Node::Elements => Node::Value,
            Node::Members => Node::Member,
            _ => return Err(de::Error::invalid_type(de::Unexpected::Seq, &self)),
        };
        while list.next_element_seed(self.next(node))?.is_some() {
            self.check()?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.node {
            Node::Value => self.value(map),
            Node::Array => self.list(map, b"[]", Node::Elements),
            Node::Map => self.list(map, b"{}", Node::Members),
            Node::Member => self.member(map),
            Node::Elements | Node::Members => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }
}

impl<'w> Seed<'_, 'w> {
    fn next(&mut self, node: Node) -> Seed<'_, 'w> {
        Seed { values: self.values, node }
    }

    /// Ends the reading with an error that is not one of JSON.
    fn end<E: de::Error>(&mut self, error: RecordError) -> E {
        let message = E::custom(&error);
        self.values.error = Some(error);
        message
    }

    fn check<E: de::Error>(&mut self) -> Result<(), E> {
        self.values.check().map_err(|error| self.end(error))
    }

    /// Gives up what was written from `start` on.
    fn truncate(&mut self, start: usize) {
        self.values.json.0.truncate(start);
    }

    /// An `AnyValue`; of several of its fields the last counts.
    fn value<'de, A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let start = self.values.json.0.len();
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "stringValue" => {
                    if let Some(Text(text)) = map.next_value::<Option<_>>()? {
                        self.truncate(start);
                        self.values.json.text(text.as_bytes());
                    }
                }
                "boolValue" => {
                    if let Some(value) = map.next_value::<Option<bool>>()? {
                        self.truncate(start);
                        self.values.json.serialized(value);
                    }
                }
                "intValue" => {
                    if let Some(Integer(number)) = map.next_value::<Option<Integer<i64>>>()? {
                        self.truncate(start);
                        self.values.json.serialized(number);
                    }
                }
                "doubleValue" => {
                    if let Some(Double(number)) = map.next_value::<Option<Double>>()? {
                        self.truncate(start);
                        self.values.json.float(number);
                    }
                }
                "bytesValue" => {
                    if let Some(Text(text)) = map.next_value::<Option<_>>()? {
                        self.truncate(start);
                        let text = base64(&text).ok_or_else(|| de::Error::custom("bytesValue is not base64"))?;
                        self.values.json.text(text.as_bytes());
                    }
                }
                "arrayValue" => {
                    self.truncate(start);
                    map.next_value_seed(self.next(Node::Array))?;
                }
                "kvlistValue" => {
                    self.truncate(start);
                    map.next_value_seed(self.next(Node::Map))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if self.values.json.0.len() == start {
            self.values.json.serialized(());
        }
        self.check()
    }

    /// An `ArrayValue` or a `KeyValueList`.
    fn list<'de, A: MapAccess<'de>>(mut self, mut map: A, brackets: &[u8; 2], node: Node) -> Result<(), A::Error> {
        self.values.descend().map_err(|error| self.end(error))?;
        self.values.json.open(brackets[0]);
        while let Some(Text(name)) = map.next_key()? {
            if name == "values" {
                map.next_value_seed(self.next(node))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        self.values.json.close(brackets[1]);
        self.values.ascend();
        Ok(())
    }

    /// A `KeyValue`. Its value is written behind an empty name where that comes first.
    fn member<'de, A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.values.json.foreign_name(b"");
        let (mut name_end, mut has_value) = (self.values.json.0.len(), false);
        let start = name_end - br#""":"#.len();
        while let Some(Text(member)) = map.next_key()? {
            match &*member {
                "key" => {
                    let Text(key) = map.next_value()?;
                    let mut name = Vec::new();
                    Writer(&mut name).foreign_name(key.as_bytes());
                    let length = name.len();
                    self.values.json.0.splice(start..name_end, name);
                    name_end = start + length;
                    self.check()?;
                }
                "value" => {
                    self.truncate(name_end);
                    map.next_value_seed(self.next(Node::Value))?;
                    has_value = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if !has_value {
            self.values.json.serialized(());
        }
        Ok(())
    }
}

/// A floating-point number: as such, or as a string.
struct Double(f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DoubleVisitor;
        impl Visitor<'_> for DoubleVisitor {
            type Value = Double;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a string of one")
            }

            #[expect(clippy::cast_precision_loss, reason = "a double is what the sender means")]
            fn visit_u64<E>(self, number: u64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            #[expect(clippy::cast_precision_loss, reason = "a double is what the sender means")]
            fn visit_i64<E>(self, number: i64) -> Result<Double, E> {
                Ok(Double(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Double, E> {
                Ok(Double(number))
            }

            // `NaN`, `Infinity` and `-Infinity` among them.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Double, E> {
                text.parse().map(Double).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(DoubleVisitor)
    }
}

/// Base64 in the standard alphabet, of either alphabet, with or without padding.
fn base64(text: &str) -> Option<String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let standard = if text.contains(['-', '_']) {
        Cow::Owned(text.replace('-', "+").replace('_', "/"))
    } else {
        Cow::Borrowed(text)
    };
    LENIENT.decode(&*standard).ok().map(|bytes| STANDARD.encode(bytes))
}
