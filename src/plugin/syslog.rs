//! syslog: to the system's log, or to a syslog receiver on the network.

use serde_json::{Map, Value};

use super::Definition;
use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, HOST, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, PORT, QUEUE, REDACT,
    milliseconds,
};
use crate::sink::syslog;
use logphase_config::schema::{Check, Default, Field, Problem, Record};

/// The plugin.
pub const DEFINITION: Definition = Definition::logging("syslog", 4, &SCHEMA, syslog::open);

static SCHEMA: Record =
    Record { fields: FIELDS, checks: &[host_or_socket, nothing_remote_without_host, nothing_of_tls_without_tls] };

const FIELDS: &[Field] = &[
    severity("log_level").about("Messages less severe than this are not sent."),
    severity("successful_severity").about("Severity of responses below 400."),
    severity("client_errors_severity").about("Severity of responses from 400 to 499."),
    severity("server_errors_severity").about("Severity of responses of 500 and above."),
    CUSTOM_FIELDS,
    Field::string("facility")
        .default(Default::String("user"))
        .checks(&[Check::OneOf(FACILITIES)])
        .about("The facility."),
    Field { required: false, ..HOST }
        .extension()
        .about("A syslog receiver on the network to send to, in place of the machine's own daemon."),
    Field { required: false, ..PORT }.extension().about("Its port; 514 if not given, for TLS 6514."),
    Field::string("transport")
        .checks(&[Check::OneOf(&["udp", "tcp", "tls"])])
        .extension()
        .about("How to send to `host`: udp (if not given), or tcp or tls with octet counting."),
    Field::string("tls_sni").extension().about("Server name in the TLS handshake; the host if not given."),
    Field::boolean("ssl_verify").extension().about("Verify the server's certificate; so it is if not given."),
    Field::string("socket").extension().about("Path of the socket of the machine's daemon; /dev/log if not given."),
    Field::string("format")
        .checks(&[Check::OneOf(&["rfc5424", "rfc3164"])])
        .extension()
        .about("How a message is written; if not given rfc5424 to a `host`, and rfc3164 to the machine's own daemon."),
    Field::string("ident")
        .checks(&[Check::Custom(check_ident)])
        .extension()
        .about("Name of the program in messages; `kong` if not given."),
    Field::string("hostname")
        .checks(&[Check::Custom(check_hostname)])
        .extension()
        .about("Name of the machine in messages; its own if not given."),
    milliseconds("timeout", 0)
        .default(Default::None)
        .extension()
        .about("Milliseconds for connecting and for any progress in sending; 10000 if not given."),
    ON_ERROR,
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    QUEUE,
];

const FACILITIES: &[&str] = &[
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp", "local0",
    "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// A field that is a severity.
pub(super) const fn severity(name: &'static str) -> Field {
    Field::string(name).default(Default::String("info")).checks(&[Check::OneOf(SEVERITIES)])
}

const SEVERITIES: &[&str] = &["debug", "info", "notice", "warning", "err", "crit", "alert", "emerg"];

fn check_ident(value: &Value) -> Result<(), String> {
    check_name(value, 48)
}

fn check_hostname(value: &Value) -> Result<(), String> {
    check_name(value, 255)
}

/// Checks that the value can be a name in a header (RFC 5424, 6).
fn check_name(value: &Value, longest: usize) -> Result<(), String> {
    let name = value.as_str().unwrap_or("");
    if name.len() <= longest && name.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("must be at most {longest} printable ASCII characters without spaces"))
}

fn host_or_socket(config: &Map<String, Value>) -> Result<(), Problem> {
    if config.contains_key("host") && config.contains_key("socket") {
        return Err(Problem {
            field: "socket",
            message: "`socket` with `host`: messages go to one of them".into(),
            kong: "only one of host and socket can be set".into(),
        });
    }
    Ok(())
}

fn nothing_remote_without_host(config: &Map<String, Value>) -> Result<(), Problem> {
    let remote = ["port", "transport", "tls_sni", "ssl_verify"];
    match remote.into_iter().find(|name| config.contains_key(*name)) {
        Some(field) if !config.contains_key("host") => Err(Problem {
            field,
            message: format!("`{field}` without `host`"),
            kong: format!("host must be set when {field} is set"),
        }),
        _ => Ok(()),
    }
}

fn nothing_of_tls_without_tls(config: &Map<String, Value>) -> Result<(), Problem> {
    let tls = config.get("transport").is_some_and(|transport| transport == "tls");
    match ["tls_sni", "ssl_verify"].into_iter().find(|name| config.contains_key(*name)) {
        Some(field) if !tls && config.contains_key("host") => Err(Problem {
            field,
            message: format!("`{field}` without `transport: tls`"),
            kong: format!("transport must be tls when {field} is set"),
        }),
        _ => Ok(()),
    }
}
