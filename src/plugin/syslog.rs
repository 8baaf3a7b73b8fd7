//! syslog: sends messages to the local syslog daemon, or to a syslog receiver on the network.

use serde_json::{Map, Value};

use super::Definition;
use super::field::{
    BODY_TYPES, CUSTOM_FIELDS, HOST, INCLUDE_BODY, LINE_FORMAT, MAX_BODY_SIZE, ON_BODY_ERROR, ON_ERROR, PORT, QUEUE,
    REDACT, milliseconds,
};
use crate::sink::syslog;
use logphase_config::schema::{Check, Default, Field, Problem, Record};

/// The plugin.
pub const DEFINITION: Definition = Definition::logging("syslog", 4, &SCHEMA, syslog::open);

static SCHEMA: Record =
    Record { fields: FIELDS, checks: &[host_or_socket, remote_fields_need_host, tls_fields_need_tls] };

const FIELDS: &[Field] = &[
    severity("log_level").required().about("Messages less severe than this are not sent."),
    severity("successful_severity").required().about("Severity of responses below 400."),
    severity("client_errors_severity").required().about("Severity of responses from 400 to 499."),
    severity("server_errors_severity").required().about("Severity of responses of 500 and above."),
    LINE_FORMAT,
    CUSTOM_FIELDS,
    Field::string("facility")
        .required()
        .default(Default::String("user"))
        .checks(&[Check::OneOf(FACILITIES)])
        .about("Facility."),
    Field { required: false, ..HOST }
        .extension()
        .about("A syslog receiver on the network, instead of the local daemon."),
    Field { required: false, ..PORT }.extension().about("Port of `host`; default: 514, or 6514 with TLS."),
    Field::string("transport")
        .checks(&[Check::OneOf(&["udp", "tcp", "tls"])])
        .extension()
        .about("Transport to `host`: udp (default), or tcp or tls with octet counting."),
    Field::string("tls_sni").extension().about("Server name in the TLS handshake; default: the host."),
    Field::boolean("ssl_verify").extension().about("Verify the server's certificate; default: true."),
    Field::string("socket").extension().about("Socket path of the local daemon; default: /dev/log."),
    Field::string("format")
        .checks(&[Check::OneOf(&["rfc5424", "rfc3164"])])
        .extension()
        .about("Message format; default: rfc5424 for a `host`, rfc3164 for the local daemon."),
    Field::string("ident")
        .checks(&[Check::Custom(check_ident)])
        .extension()
        .about("Program name in messages; default: `kong`."),
    Field::string("hostname")
        .checks(&[Check::Custom(check_hostname)])
        .extension()
        .about("Host name in messages; default: the machine's own."),
    milliseconds("timeout", 0)
        .default(Default::None)
        .extension()
        .about("Milliseconds for connecting, and for progress in sending; default: 10000."),
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

/// Checks a name for the header of a message (RFC 5424, 6).
fn check_name(value: &Value, max_length: usize) -> Result<(), String> {
    let name = value.as_str().unwrap_or("");
    if name.len() <= max_length && name.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(());
    }
    Err(format!("must be at most {max_length} printable ASCII characters without spaces"))
}

fn host_or_socket(config: &Map<String, Value>) -> Result<(), Problem> {
    if config.contains_key("host") && config.contains_key("socket") {
        return Err(Problem {
            field: "socket",
            message: "`socket` and `host` together: messages go to one of them".into(),
            kong: "only one of host and socket can be set".into(),
        });
    }
    Ok(())
}

fn remote_fields_need_host(config: &Map<String, Value>) -> Result<(), Problem> {
    let remote = ["port", "transport", "tls_sni", "ssl_verify"];
    match remote.into_iter().find(|name| config.contains_key(*name)) {
        Some(field) if !config.contains_key("host") => Err(Problem {
            field,
            message: format!("`{field}` without `host`"),
            kong: format!("host must be set when {field} is set").into(),
        }),
        _ => Ok(()),
    }
}

fn tls_fields_need_tls(config: &Map<String, Value>) -> Result<(), Problem> {
    let tls = config.get("transport").is_some_and(|transport| transport == "tls");
    match ["tls_sni", "ssl_verify"].into_iter().find(|name| config.contains_key(*name)) {
        Some(field) if !tls && config.contains_key("host") => Err(Problem {
            field,
            message: format!("`{field}` without `transport: tls`"),
            kong: format!("transport must be tls when {field} is set").into(),
        }),
        _ => Ok(()),
    }
}
