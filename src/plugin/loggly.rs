//! loggly: sends messages to Loggly, as syslog over UDP.

use super::Definition;
use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, HOST, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, PORT, QUEUE, REDACT,
    milliseconds,
};
use super::syslog::severity;
use crate::sink::syslog::loggly;
use serde_json::Value;

use logphase_config::schema::{Check, Default, Field, Record, is_vault_reference};

/// The plugin.
pub const DEFINITION: Definition =
    Definition { transport: "syslog", ..Definition::logging("loggly", 6, &SCHEMA, loggly::open) };

static SCHEMA: Record = Record::new(&[
    HOST.default(Default::String("logs-01.loggly.com")),
    PORT.default(Default::Integer(514)),
    Field::string("key")
        .required()
        .referenceable()
        .secret()
        .checks(&[Check::Custom(check_key)])
        .about("Customer token."),
    Field::set("tags", &Field::string("")).default(Default::Strings(&["kong"])).about("Tags of every message."),
    severity("log_level").about("Messages less severe than this are not sent."),
    severity("successful_severity").about("Severity of responses below 400."),
    severity("client_errors_severity").about("Severity of responses from 400 to 499."),
    severity("server_errors_severity").about("Severity of responses of 500 and above."),
    milliseconds("timeout", 10_000).about("Milliseconds for sending."),
    CUSTOM_FIELDS,
    ON_ERROR,
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    QUEUE,
]);

/// Checks the characters of the token, which is part of every message. Kong does not check it.
fn check_key(value: &Value) -> Result<(), String> {
    let key = value.as_str().unwrap_or("");
    let allowed = |c: char| c.is_ascii_graphic() && !"=]\"".contains(c);
    if key.chars().all(allowed) || is_vault_reference(key) {
        return Ok(());
    }
    Err("must be printable ASCII without spaces and the characters = ] \"".into())
}
