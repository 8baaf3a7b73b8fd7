//! udp-log: sends one datagram per message.

use serde_json::{Map, Value};

use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, FORMAT, HOST, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, PORT, QUEUE, REDACT,
    milliseconds,
};
use super::{Definition, SinkContext};
use crate::sink::udp;
use logphase_config::schema::{Check, Field, Record};

/// The plugin.
pub const DEFINITION: Definition = Definition {
    old_names: &["udplog"],
    extend_sink_config,
    transport: "udp",
    ..Definition::logging("udp-log", 8, &SCHEMA, udp::open)
};

/// Adds `oversize`, which the settings can override.
fn extend_sink_config(config: &mut Map<String, Value>, context: &SinkContext<'_>) {
    config.insert(OVERSIZE.name.to_owned(), context.oversize.into());
}

static SCHEMA: Record = Record::new(&[
    HOST,
    PORT,
    milliseconds("timeout", 10_000).about("Milliseconds for sending."),
    FORMAT,
    CUSTOM_FIELDS,
    OVERSIZE,
    ON_ERROR,
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    QUEUE,
]);

/// What happens to a message that does not fit into a datagram. Not in Kong; if it is absent, the settings decide.
pub const OVERSIZE: Field = Field::string("oversize")
    .checks(&[Check::OneOf(udp::Oversize::NAMES)])
    .extension()
    .about("If a message is too large for a datagram: drop it, send it over TCP, or truncate it.");
