//! udp-log: one datagram per message.

use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, HOST, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, PORT, QUEUE, REDACT,
    milliseconds,
};
use super::{ANY, Definition, HTTP};
use crate::sink::{parse, udp};
use logphase_config::schema::{Check, Field, Record};
use logphase_script::message::Include;

/// The plugin.
pub const DEFINITION: Definition = Definition {
    name: udp::NAME,
    old_names: &["udplog"],
    priority: 8,
    protocols: ANY,
    default_protocols: HTTP,
    on_consumer: true,
    on_consumer_group: true,
    schema: &SCHEMA,
    convert: super::nothing_old,
    emits: true,
    include_body: Include::OFF,
    open: Some(|config, shared| Ok(Box::new(udp::UdpSink::open(parse(udp::NAME, config)?, shared)))),
};

static SCHEMA: Record = Record::new(&[
    HOST,
    PORT,
    milliseconds("timeout", 10_000).about("Milliseconds for sending."),
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

/// What becomes of a message that no datagram holds. Ours; without it the settings decide.
pub const OVERSIZE: Field = Field::string("oversize")
    .checks(&[Check::OneOf(udp::Oversize::NAMES)])
    .extension()
    .about("A message too large for a datagram: drop it and count it, send it over TCP, or cut it.");
