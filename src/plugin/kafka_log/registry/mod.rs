//! kafka-log's `schema_registry`: messages as a schema wants them.

mod avro;
mod fields;

pub(super) use fields::SCHEMA_REGISTRY;
