//! tcp-log: sends one line per message, over TCP or TLS.

use serde_json::{Map, Value};

use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, FORMAT, HOST, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, PORT, QUEUE, REDACT,
    milliseconds,
};
use super::{Definition, SinkContext};
use crate::sink::tcp;
use logphase_config::schema::{Default, Field, Record};

/// The plugin.
pub const DEFINITION: Definition = Definition {
    old_names: &["tcplog"],
    durable: true,
    extend_sink_config,
    transport: "tcp",
    ..Definition::logging("tcp-log", 7, &SCHEMA, tcp::open)
};

/// Kong before 0.5 ended messages with CR LF.
fn extend_sink_config(config: &mut Map<String, Value>, context: &SinkContext<'_>) {
    if context.old_form {
        config.insert("crlf".to_owned(), true.into());
    }
}

static SCHEMA: Record = Record::new(&[
    HOST,
    PORT,
    milliseconds("timeout", 10_000).about("Milliseconds for connecting, sending and the TLS handshake."),
    milliseconds("keepalive", 60_000).about("Milliseconds before an idle connection is closed."),
    Field::boolean("tls").required().default(Default::Boolean(false)).about("Send over TLS."),
    Field::string("tls_sni").about("Server name in the TLS handshake; default: the host."),
    Field::boolean("ssl_verify")
        .default(Default::Boolean(true))
        .since("3.14")
        .about("Verify the server's certificate."),
    FORMAT,
    CUSTOM_FIELDS,
    ON_ERROR,
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    QUEUE,
]);
