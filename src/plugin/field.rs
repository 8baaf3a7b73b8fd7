//! Fields that several plugins have.

use serde_json::{Map, Value};

use crate::options::queue;
use logphase_config::schema::{Check, Default, Field, is_vault_reference};

/// The maximum that Kong accepts for a timeout, in milliseconds.
const MAX_TIMEOUT: f64 = 2_147_483_646.0;

/// Lua snippets by key path. Each must return a value.
pub const CUSTOM_FIELDS: Field = Field::map(
    "custom_fields_by_lua",
    &Field::string("").about("Key path: a dot leads into an object, `\\.` is a dot in a name."),
    &Field::string("").about("Lua code that returns the field's value; nil removes the field."),
)
.about("Fields that Lua snippets add, change or remove.");

/// What happens to a message when a snippet fails. Not in Kong; if it is absent, the settings decide.
pub const ON_ERROR: Field = Field::string("on_error")
    .checks(&[Check::OneOf(&["keep", "drop"])])
    .extension()
    .about("If a snippet fails: keep the message and leave the field unchanged, or drop the message as Kong does.");

/// Which bodies become part of the message. Not in Kong; the default is [`super::Definition::include_body`].
pub const INCLUDE_BODY: Field = Field::string("include_body")
    .checks(&[Check::OneOf(&["off", "request", "response", "both"])])
    .extension()
    .about("Bodies to add to the message, if the proxy sends them: off, request, response or both.");
/// The maximum size of a body in a message. Not in Kong.
pub const MAX_BODY_SIZE: Field = Field::size("max_body_size")
    .extension()
    .about("Maximum bytes of a body in the message; of a larger body, the message has only the size.");
/// Content types whose bodies become part of a message. Not in Kong.
pub const BODY_TYPES: Field =
    Field::array("body_types", &Field::string("").checks(&[Check::Custom(check_media_range)]))
        .extension()
        .about("Content types of bodies to add, like `application/json` or `text/*`; default: all.");
/// What happens to a message when a body does not match its content type. Not in Kong.
pub const ON_BODY_ERROR: Field = Field::string("on_body_error")
    .checks(&[Check::OneOf(&["drop", "keep"])])
    .extension()
    .about("If a body does not match its content type: drop the message as Kong does, or keep it with `body_error`.");
/// The line that is written for a message. Not in Kong.
pub const FORMAT: Field = Field::string("format").extension().about(LINE);
/// The same of syslog, whose `format` is that of its headers.
pub const LINE_FORMAT: Field = Field::string("line_format").extension().about(LINE);
const LINE: &str = "Line to send instead of the message: a template in Envoy's access log format language, like \
    `%REQ(:METHOD)% %PATH% %RESPONSE_CODE%` (docs/access-log-format.md).";
/// Redaction rules. Not in Kong.
pub const REDACT: Field = Field::array("redact", &super::redact::RULE)
    .extension()
    .about("Rules that redact headers, query arguments, cookies, key paths and patterns before the message is queued.");

/// The fields of the log phase and of the queue. They are not part of the sink's configuration.
pub(super) const LOG_PHASE: [Field; 8] =
    [CUSTOM_FIELDS, ON_ERROR, INCLUDE_BODY, MAX_BODY_SIZE, BODY_TYPES, ON_BODY_ERROR, REDACT, QUEUE];

/// Limits and retries of the plugin's queue. Not in Kong, except for http-log; the settings decide about absent
/// fields.
pub const QUEUE: Field =
    Field::record("queue", &queue::PLUGIN).extension().about("Limits and retries of the plugin's queue.");

/// Fields of Kong's queues before version 3.3, of the plugins that had one.
pub(super) const RETRY_COUNT: Field = Field::integer("retry_count").instead("`queue.max_retry_time`");
/// See [`RETRY_COUNT`].
pub(super) const QUEUE_SIZE: Field = Field::integer("queue_size").instead("`queue.max_batch_size`");
/// See [`RETRY_COUNT`].
pub(super) const FLUSH_TIMEOUT: Field = Field::number("flush_timeout").instead("`queue.max_coalescing_delay`");

/// The queue of a plugin that has one in Kong.
pub(super) const KONG_QUEUE: Field =
    Field::record("queue", &queue::PLUGIN_WITH_DEFAULTS).required().about("Limits and retries of the plugin's queue.");

/// Converts the fields of Kong versions without queues: unless they have the defaults that these versions wrote, they override
/// those of `queue`; `retry_count` has no effect (kong/tools/queue.lua).
pub(super) fn convert_old_queue(config: &mut Map<String, Value>) {
    config.remove(RETRY_COUNT.name);
    for (old, new, default) in
        [(QUEUE_SIZE.name, "max_batch_size", 1.0), (FLUSH_TIMEOUT.name, "max_coalescing_delay", 2.0)]
    {
        let given = config.remove(old).filter(|value| value.as_f64() != Some(default));
        if let (Some(value), Some(queue)) = (given, config.get_mut(KONG_QUEUE.name)) {
            queue[new] = value;
        }
    }
}

fn check_media_range(value: &Value) -> Result<(), String> {
    logphase_script::message::MediaRange::parse(value.as_str().unwrap_or_default()).map(drop)
}

/// A host name or address, without a port.
pub const HOST: Field = Field::string("host")
    .required()
    .referenceable()
    .checks(&[Check::Custom(check_host)])
    .about("Host name or IP address to send to.");

/// A port.
pub const PORT: Field =
    Field::integer("port").required().checks(&[Check::Between(0.0, 65_535.0)]).about("Port to send to.");

/// A number of milliseconds.
pub const fn milliseconds(name: &'static str, default: i64) -> Field {
    Field::number(name).default(Default::Integer(default)).checks(&[Check::Between(0.0, MAX_TIMEOUT)])
}

/// Checks a host by Kong's rules.
pub(crate) fn check_host(value: &Value) -> Result<(), String> {
    let host = value.as_str().unwrap_or("");
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if inner.parse::<std::net::IpAddr>().is_ok() || is_vault_reference(host) {
        return Ok(());
    }
    if let Some((name, port)) = host.rsplit_once(':')
        && !name.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err("must not have a port".into());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if host.chars().all(allowed) && !host.starts_with('.') { Ok(()) } else { Err(format!("invalid value: {host}")) }
}

/// Checks the name of a header by Kong's rules.
pub fn check_header_name(name: &str) -> Result<(), String> {
    let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if valid {
        return Ok(());
    }
    Err(format!("bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"))
}

/// Checks a URL by Kong's rules: it has a scheme and a host.
pub fn check_url(value: &Value) -> Result<(), String> {
    let url = value.as_str().unwrap_or("");
    if is_vault_reference(url) {
        return Ok(());
    }
    let Some((scheme, rest)) = url.split_once("//").filter(|(scheme, _)| scheme.is_empty() || scheme.ends_with(':'))
    else {
        return Err("missing host in url".into());
    };
    let scheme = scheme.trim_end_matches(':');
    if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        return Err("missing scheme in url".into());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.rsplit('@').next().unwrap_or("").is_empty() { Err("missing host in url".into()) } else { Ok(()) }
}
