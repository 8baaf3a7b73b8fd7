//! tcp-log: one line per message, over TCP or TLS.

use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, HOST, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, PORT, QUEUE, REDACT,
    milliseconds,
};
use super::{ANY, Definition, HTTP};
use crate::sink::{parse, tcp};
use logphase_config::schema::{Default, Field, Record};
use logphase_script::message::Include;

/// The plugin.
pub const DEFINITION: Definition = Definition {
    name: tcp::NAME,
    old_names: &["tcplog"],
    priority: 7,
    protocols: ANY,
    default_protocols: HTTP,
    on_consumer: true,
    on_consumer_group: true,
    schema: &SCHEMA,
    convert: super::nothing_old,
    emits: true,
    include_body: Include::OFF,
    open: Some(|config, shared| Ok(Box::new(tcp::TcpSink::open(parse(tcp::NAME, config)?, shared)?))),
};

static SCHEMA: Record = Record::new(&[
    HOST,
    PORT,
    milliseconds("timeout", 10_000).about("Milliseconds for connecting, sending and the TLS handshake."),
    milliseconds("keepalive", 60_000).about("Milliseconds that an idle connection is kept."),
    Field::boolean("tls").required().default(Default::Boolean(false)).about("Send over TLS."),
    Field::string("tls_sni").about("Server name in the TLS handshake; the host if not given."),
    Field::boolean("ssl_verify")
        .default(Default::Boolean(true))
        .since("3.14")
        .about("Verify the server's certificate."),
    CUSTOM_FIELDS,
    ON_ERROR,
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    QUEUE,
]);
