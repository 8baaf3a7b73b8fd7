//! Views of a transaction's text that are parsed on demand.

use std::borrow::Cow;

use super::{split_array, split_object, text};

/// One JSON value as text.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    raw: &'a [u8],
}

/// The value of a [`View`], parsed one level deep.
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants are the types of JSON")]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    /// The unescaped bytes.
    String(Cow<'a, [u8]>),
    Array(Vec<View<'a>>),
    /// Members with unescaped names.
    Object(Vec<(Cow<'a, [u8]>, View<'a>)>),
}

impl<'a> View<'a> {
    /// A view of the validated JSON value `raw`.
    pub fn new(raw: &'a [u8]) -> Self {
        Self { raw: raw.trim_ascii() }
    }

    /// The JSON text.
    pub fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// Parses the value, one level deep.
    pub fn value(self) -> Value<'a> {
        let raw = self.raw;
        match raw.first() {
            Some(b'"') => Value::String(text::unescape(&raw[1..raw.len() - 1])),
            Some(b'{') => Value::Object(
                split_object(raw)
                    .into_iter()
                    .map(|(key, value)| (text::unescape(key.of(raw)), View::new(value.of(raw))))
                    .collect(),
            ),
            Some(b'[') => Value::Array(split_array(raw).into_iter().map(|span| View::new(span.of(raw))).collect()),
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'-' | b'0'..=b'9') => Value::Number(text::number(raw)),
            _ => Value::Null,
        }
    }

    /// The member `name`, if this is an object that has it.
    pub fn get(self, name: &str) -> Option<View<'a>> {
        if self.raw.first() != Some(&b'{') {
            return None;
        }
        let (_, value) =
            split_object(self.raw).into_iter().find(|(key, _)| text::unescape(key.of(self.raw)) == name.as_bytes())?;
        Some(View::new(value.of(self.raw)))
    }

    /// The unescaped bytes, if this is a string.
    pub fn string(self) -> Option<Cow<'a, [u8]>> {
        match self.raw {
            [b'"', content @ .., b'"'] => Some(text::unescape(content)),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn text(self) -> Option<Cow<'a, str>> {
        Some(match self.string()? {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        })
    }

    /// The number, if this is one or a string that Lua converts to one.
    pub fn number(self) -> Option<f64> {
        match self.raw.first()? {
            b'-' | b'0'..=b'9' => Some(text::number(self.raw)),
            b'"' => self.text()?.trim().parse().ok(),
            _ => None,
        }
    }

    /// Whether this is JSON's `null`.
    pub fn is_null(self) -> bool {
        self.raw == b"null"
    }
}
