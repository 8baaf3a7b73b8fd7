//! redis-log: onto a list of Redis.

use super::Definition;
use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, HOST, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, PORT, QUEUE, REDACT,
    milliseconds,
};
use crate::sink::redis;
use logphase_config::schema::{Default, Field, Record};

/// The plugin.
pub const DEFINITION: Definition =
    Definition { durable: true, ..Definition::logging("redis-log", 3, &SCHEMA, redis::open) };

static SCHEMA: Record = Record::new(&[
    HOST,
    PORT.default(Default::Integer(6379)),
    Field::string("list").required().about("The list to push onto."),
    milliseconds("timeout", 10_000).about("Milliseconds for connecting and for an answer."),
    CUSTOM_FIELDS,
    ON_ERROR,
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    QUEUE,
]);
