//! Compiles the schema of `apache-avro` to [`Avro`], in which names are resolved to indices.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, RecordSchema, UuidSchema};

use super::encode;
use super::number::MAX_DIGITS;
use super::{Avro, Field, FieldDefault, Mismatch, Node};

/// How deep types may be nested, each name followed once.
const MAX_DEPTH: usize = 200;

/// A schema cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub(in crate::registry) enum SchemaError {
    #[error(transparent)]
    Parse(#[from] apache_avro::Error),
    #[error("its types are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("the type {0} is not defined")]
    UndefinedType(String),
    #[error("a decimal of more than {MAX_DIGITS} digits is not supported")]
    LargeDecimal,
    #[error("the logical type {0} is not supported")]
    UnsupportedType(&'static str),
}

pub(super) fn compile(schema: &str, others: &[String]) -> Result<Avro, SchemaError> {
    let (root, others) = Schema::parse_str_with_list(schema, others)?;
    let mut compiler = Compiler { nodes: Vec::new(), indices: HashMap::new(), definitions: HashMap::new() };
    for schema in others.iter().chain([&root]) {
        compiler.define(schema);
    }
    let root = compiler.node(&root, 0)?;
    let mut avro = Avro { nodes: compiler.nodes, root };
    encode_defaults(&mut avro);
    Ok(avro)
}

struct Compiler<'a> {
    nodes: Vec<Node>,
    /// The nodes of named types.
    indices: HashMap<String, usize>,
    definitions: HashMap<String, &'a Schema>,
}

impl<'a> Compiler<'a> {
    /// Collects all named types inside of `schema`. Its depth is bounded by that of its JSON.
    fn define(&mut self, schema: &'a Schema) {
        if let Some(name) = own_name(schema) {
            self.definitions.entry(name.fullname(None)).or_insert(schema);
        }
        match schema {
            Schema::Array(array) => self.define(&array.items),
            Schema::Map(map) => self.define(&map.types),
            Schema::Union(union) => union.variants().iter().for_each(|branch| self.define(branch)),
            Schema::Record(record) => record.fields.iter().for_each(|field| self.define(&field.schema)),
            _ => {}
        }
    }

    /// The index of `schema`'s node, which is added if it is new.
    fn node(&mut self, schema: &'a Schema, depth: usize) -> Result<usize, SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        if let Schema::Ref { name } = schema {
            let name = name.fullname(None);
            if let Some(&index) = self.indices.get(&name) {
                return Ok(index);
            }
            let definition = self.definitions.get(&name).copied();
            return self.node(definition.ok_or(SchemaError::UndefinedType(name))?, depth + 1);
        }
        let name = own_name(schema).map(|name| name.fullname(None));
        if let Some(&index) = name.as_ref().and_then(|name| self.indices.get(name)) {
            return Ok(index);
        }
        // Registered before its parts, which may refer back to it.
        let index = self.nodes.len();
        self.nodes.push(Node::Null);
        self.indices.extend(name.map(|name| (name, index)));
        self.nodes[index] = self.build(schema, depth)?;
        Ok(index)
    }

    fn build(&mut self, schema: &'a Schema, depth: usize) -> Result<Node, SchemaError> {
        Ok(match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Node::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Node::Long,
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes => Node::Bytes,
            Schema::String => Node::String,
            Schema::Uuid(UuidSchema::String) => Node::UuidText,
            Schema::Uuid(UuidSchema::Fixed(_)) => Node::UuidFixed,
            Schema::Array(array) => Node::Array(self.node(&array.items, depth + 1)?),
            Schema::Map(map) => Node::Map(self.node(&map.types, depth + 1)?),
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.node(branch, depth + 1));
                Node::Union(branches.collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => self.record(record, depth)?,
            Schema::Enum(names) => Node::Enum { name: names.name.fullname(None), symbols: names.symbols.clone() },
            Schema::Fixed(fixed) | Schema::Duration(fixed) => {
                Node::Fixed { name: fixed.name.fullname(None), size: fixed.size }
            }
            Schema::Decimal(decimal) => {
                let size = match &decimal.inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => Some(fixed.size),
                };
                let small = |digits: usize| u32::try_from(digits).ok().filter(|&digits| digits <= MAX_DIGITS);
                let (Some(precision), Some(scale)) = (small(decimal.precision), small(decimal.scale)) else {
                    return Err(SchemaError::LargeDecimal);
                };
                Node::Decimal { precision, scale, size }
            }
            Schema::BigDecimal => return Err(SchemaError::UnsupportedType("big-decimal")),
            Schema::Uuid(UuidSchema::Bytes) => return Err(SchemaError::UnsupportedType("uuid of bytes")),
            Schema::Ref { name } => return Err(SchemaError::UndefinedType(name.fullname(None))),
        })
    }

    fn record(&mut self, record: &'a RecordSchema, depth: usize) -> Result<Node, SchemaError> {
        let mut fields = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let default = field.default.clone();
            // `encode_defaults` replaces it once all types are known.
            let pending = || Err(Mismatch::new("not encoded yet"));
            fields.push(Field {
                name: field.name.clone(),
                node: self.node(&field.schema, depth + 1)?,
                default: default.map(|json| FieldDefault { json, encoded: pending() }),
            });
        }
        Ok(Node::Record { name: record.name.fullname(None), fields })
    }
}

/// The name that `schema` itself defines.
fn own_name(schema: &Schema) -> Option<&Name> {
    match schema {
        Schema::Record(record) => Some(&record.name),
        Schema::Enum(names) => Some(&names.name),
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => Some(&fixed.name),
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Fixed(fixed) => Some(&fixed.name),
            InnerDecimalSchema::Bytes => None,
        },
        _ => None,
    }
}

/// Encodes every default once. A default that does not fit is an error only for messages that need it.
fn encode_defaults(avro: &mut Avro) {
    let mut encoded = Vec::new();
    for (node_index, node) in avro.nodes.iter().enumerate() {
        let Node::Record { fields, .. } = node else { continue };
        for (index, field) in fields.iter().enumerate() {
            if let Some(default) = &field.default {
                encoded.push((node_index, index, encode::default(avro, field.node, &default.json)));
            }
        }
    }
    for (node_index, index, bytes) in encoded {
        if let Node::Record { fields, .. } = &mut avro.nodes[node_index]
            && let Some(default) = &mut fields[index].default
        {
            default.encoded = bytes;
        }
    }
}
