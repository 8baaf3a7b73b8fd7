//! Validates JSON bodies without building values.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::transaction::text;

/// The JSON text of `body`, an array or an object, without white space between tokens. Numbers stay as they are.
///
/// Nesting is limited to 127 levels and strings must be UTF-8 without lone surrogates, as for scripts that read the
/// body. Kong's cjson allows 1000 levels and any bytes.
///
/// # Errors
/// It is malformed.
pub(super) fn table(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    Checked::deserialize(&mut reader).and_then(|_| reader.end()).map_err(|error| error.to_string())?;
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => Ok(text::compact(body)),
        _ => Err("neither an object nor an array".to_owned()),
    }
}

/// Reads all of the text and keeps none of it.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
