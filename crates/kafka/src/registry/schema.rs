//! A schema of the registry that messages are encoded by.

use bytes::{BufMut, Bytes, BytesMut};

use super::avro::{self, Avro};
use super::client::RegisteredSchema;
use super::json::{self, JsonSchema};

/// The first byte of Confluent's wire format.
const MAGIC: u8 = 0;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Schema {
    registered: RegisteredSchema,
    codec: Codec,
}

#[derive(Debug)]
enum Codec {
    Avro(Avro),
    Json(JsonSchema),
}

/// A schema of the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("it is of the type {0}; only AVRO and JSON are supported")]
    UnsupportedType(String),
    #[error(transparent)]
    Avro(#[from] avro::SchemaError),
    #[error(transparent)]
    Json(#[from] json::SchemaError),
}

/// A value does not match its schema.
#[derive(Debug, thiserror::Error)]
pub(super) enum MismatchError {
    #[error(transparent)]
    Avro(#[from] avro::Mismatch),
    #[error(transparent)]
    Json(#[from] json::ValidationError),
}

impl Schema {
    /// Compiles a schema of the registry.
    pub(super) fn compile(registered: RegisteredSchema) -> Result<Self, SchemaError> {
        let codec = match registered.kind.as_str() {
            "AVRO" => {
                let mut others: Vec<String> = registered.references.iter().map(|(_, text)| text.clone()).collect();
                others.sort();
                others.dedup();
                Codec::Avro(Avro::parse(&registered.text, &others)?)
            }
            "JSON" => Codec::Json(JsonSchema::compile(&registered.text, &registered.references)?),
            kind => return Err(SchemaError::UnsupportedType(kind.to_owned())),
        };
        Ok(Self { registered, codec })
    }

    /// The schema as the registry has it.
    pub(super) fn registered(&self) -> &RegisteredSchema {
        &self.registered
    }

    /// `json` in Confluent's wire format: a zero byte, the schema's id in four bytes, and the value.
    pub(super) fn encode(&self, json: &[u8]) -> Result<Bytes, MismatchError> {
        let mut out = BytesMut::with_capacity(json.len() + 5);
        out.put_u8(MAGIC);
        out.put_u32(self.registered.id);
        match &self.codec {
            Codec::Avro(avro) => {
                let mut out: Vec<u8> = out.into();
                avro.encode(json, &mut out)?;
                Ok(out.into())
            }
            Codec::Json(schema) => {
                schema.validate(json)?;
                out.put_slice(json);
                Ok(out.freeze())
            }
        }
    }
}
