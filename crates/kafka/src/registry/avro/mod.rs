//! JSON to Avro's binary encoding, by the schema of the writer (<https://avro.apache.org/docs/1.12.0/specification/>).
//!
//! `apache-avro` reads the schema; the bytes are written here, straight from the JSON text, so that a number keeps all
//! digits it was written with and a failure names the member.
//!
//! - A member that the record lacks in the message takes the field's default; without one the message does not fit.
//! - A member of the message that the record has no field for is left out, as writers of Avro do.
//! - A union takes the first branch, in the schema's order, that the value fits with the fewest members left out. For
//!   numbers, branches that hold them exactly come first: integers, decimals, `double`, `float`.
//! - `bytes` and `fixed` are strings of the characters U+0000 to U+00FF, one for each byte, as in Avro's JSON encoding.
//! - A logical type takes the JSON of the type below it; `decimal` takes numbers.
//! - An integer must fit exactly, also into `float` and `double`; a fraction is rounded to the nearest of those two.

mod compile;
mod encode;
mod json;
mod number;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

/// A schema that messages are encoded by.
#[derive(Debug)]
pub(super) struct Avro {
    nodes: Vec<Node>,
    root: usize,
}

/// A type, with the places of other types in [`Avro::nodes`].
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
    encoded: Result<Vec<u8>, String>,
}

impl Avro {
    /// Reads a schema, and those that it refers to by name.
    pub(super) fn parse(schema: &str, others: &[String]) -> Result<Self, String> {
        compile::compile(schema, others)
    }

    /// Appends `json` to `out`. After an error, `out` ends anyhow.
    pub(super) fn encode(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Mismatch> {
        let raw: &RawValue =
            serde_json::from_slice(json).map_err(|error| Mismatch::new(format!("not JSON: {error}")))?;
        encode::message(self, raw, out)
    }
}

impl Node {
    /// What the type is called in an error.
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

/// Why a message does not fit its schema, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// Members and positions from the innermost outwards.
    path: Vec<String>,
    reason: String,
}

impl Mismatch {
    fn new(reason: impl Into<String>) -> Self {
        Self { path: Vec::new(), reason: reason.into() }
    }

    /// The same, one step further out.
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
