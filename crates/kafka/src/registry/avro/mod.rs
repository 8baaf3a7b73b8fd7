//! Encodes JSON in Avro's binary encoding, by the writer's schema (<https://avro.apache.org/docs/1.12.0/specification/>).
//!
//! `apache-avro` reads the schema. The bytes are written here, straight from the JSON text, so that a number keeps all
//! its digits and an error names the member.
//!
//! - A field that the message has no member for takes its default; without a default the message does not fit.
//! - A member that the record has no field for is left out, as Avro's writers do.
//! - A union takes the first branch, in the schema's order, that the value fits with the fewest members left out. For
//!   numbers, branches that represent them exactly come first: integers and decimals, `double`, `float`.
//! - `bytes` and `fixed` are strings of the characters U+0000 to U+00FF, one for each byte, as in Avro's JSON encoding.
//! - A logical type takes the JSON of its underlying type; `decimal` takes numbers.
//! - An integer must fit exactly, also in `float` and `double`; a fraction is rounded to the nearest value of these.

mod compile;
mod encode;
mod json;
mod number;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

pub(super) use self::compile::SchemaError;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Avro {
    /// All types. They refer to each other by index.
    nodes: Vec<Node>,
    root: usize,
}

/// A type. Other types are indices into [`Avro::nodes`].
#[derive(Debug)]
enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    UuidText,
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record { name: String, fields: Vec<Field> },
    Enum { name: String, symbols: Vec<String> },
    Fixed { name: String, size: usize },
    UuidFixed,
    Decimal { precision: u32, scale: u32, size: Option<usize> },
}

#[derive(Debug)]
struct Field {
    name: String,
    node: usize,
    default: Option<FieldDefault>,
}

#[derive(Debug)]
struct FieldDefault {
    json: Value,
    /// The default's bytes, or why it does not fit its own type.
    encoded: Result<Vec<u8>, Mismatch>,
}

impl Avro {
    /// Compiles `schema`, which may refer to types of `others` by name.
    pub(super) fn parse(schema: &str, others: &[String]) -> Result<Self, SchemaError> {
        compile::compile(schema, others)
    }

    /// Appends `json` to `out`. After an error, `out` has a part of it.
    pub(super) fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Mismatch> {
        let raw: &RawValue =
            serde_json::from_slice(json).map_err(|error| Mismatch::new(format!("not JSON: {error}")))?;
        encode::message(self, raw, out)
    }
}

impl Node {
    /// The name of the type in an error.
    fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Boolean => "boolean".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Long => "long".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::String => "string".to_owned(),
            Self::UuidText | Self::UuidFixed => "uuid".to_owned(),
            Self::Array(_) => "array".to_owned(),
            Self::Map(_) => "map".to_owned(),
            Self::Union(_) => "union".to_owned(),
            Self::Record { name, .. } => format!("record {name}"),
            Self::Enum { name, .. } => format!("enum {name}"),
            Self::Fixed { name, .. } => format!("fixed {name}"),
            Self::Decimal { precision, scale, .. } => format!("decimal({precision}, {scale})"),
        }
    }
}

/// A message does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// The place: members and positions from the innermost outwards.
    path: Vec<String>,
    reason: String,
}

impl Mismatch {
    fn new(reason: impl Into<String>) -> Self {
        Self { path: Vec::new(), reason: reason.into() }
    }

    /// The same mismatch seen from one step further out.
    fn within(mut self, step: impl Into<String>) -> Self {
        self.path.push(step.into());
        self
    }

    fn depth(&self) -> usize {
        self.path.len()
    }
}

impl fmt::Display for Mismatch {
    /// As `/request/size: expected long, found a string`: a JSON pointer (RFC 6901) and the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.path.iter().rev() {
            write!(f, "/{}", step.replace('~', "~0").replace('/', "~1"))?;
        }
        write!(f, "{}{}", if self.path.is_empty() { "" } else { ": " }, self.reason)
    }
}

impl std::error::Error for Mismatch {}
