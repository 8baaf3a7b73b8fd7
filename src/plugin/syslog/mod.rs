//! syslog: to the system's log.

use super::field::{BODY_TYPES, CUSTOM_FIELDS, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, QUEUE, REDACT};
use super::{ANY, HTTP, Include, Kind, SinkState};
use crate::schema::{Check, Default, Field, Record};

/// The plugin.
pub const KIND: Kind = Kind {
    name: "syslog",
    old_names: &[],
    priority: 4,
    protocols: ANY,
    default_protocols: HTTP,
    on_consumer: true,
    on_consumer_group: true,
    schema: &SCHEMA,
    convert: super::nothing_old,
    emits: true,
    include_body: Include::OFF,
    sink: SinkState::Later,
};

static SCHEMA: Record = Record::new(&[
    severity("log_level").about("Messages less severe than this are not sent."),
    severity("successful_severity").about("Severity of responses below 400."),
    severity("client_errors_severity").about("Severity of responses from 400 to 499."),
    severity("server_errors_severity").about("Severity of responses of 500 and above."),
    CUSTOM_FIELDS,
    Field::string("facility")
        .default(Default::String("user"))
        .checks(&[Check::OneOf(FACILITIES)])
        .about("The facility."),
    ON_ERROR,
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    QUEUE,
]);

const FACILITIES: &[&str] = &[
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp", "local0",
    "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// A field that is a severity.
pub(super) const fn severity(name: &'static str) -> Field {
    Field::string(name).default(Default::String("info")).checks(&[Check::OneOf(SEVERITIES)])
}

const SEVERITIES: &[&str] = &["debug", "info", "notice", "warning", "err", "crit", "alert", "emerg"];
