//! Fields that several plugins have.

use serde_json::Value;

use crate::options::queue;
use logphase_config::schema::{Check, Default, Field, is_vault_reference};

/// Largest number of milliseconds that Kong takes for a timeout.
const LONGEST_TIMEOUT: f64 = 2_147_483_646.0;

/// Lua snippets by key path; each must return a value.
pub const CUSTOM_FIELDS: Field = Field::map(
    "custom_fields_by_lua",
    &Field::string("").about("Key path: dots nest, a backslash makes a dot part of a name."),
    &Field::string("").about("Lua statements that return the field's value; nil removes the field."),
)
.about("Fields to add, change or remove, by Lua.");

/// What happens to a message when a snippet fails. Not in Kong; without it the settings decide.
pub const ON_ERROR: Field = Field::string("on_error")
    .checks(&[Check::OneOf(&["keep", "drop"])])
    .extension()
    .about("When a snippet fails: keep the message and leave the field untouched, or drop the message as Kong does.");

/// Which bodies become part of the message. Not in Kong; without it, see [`super::Definition::include_body`].
pub const INCLUDE_BODY: Field = Field::string("include_body")
    .checks(&[Check::OneOf(&["off", "request", "response", "both"])])
    .extension()
    .about("Bodies to put into the message, where the proxy handed them over: off, request, response or both.");
/// The largest body that becomes part of a message. Not in Kong.
pub const MAX_BODY_SIZE: Field = Field::size("max_body_size")
    .extension()
    .about("Bytes of a body that is put into the message; of a larger one only its size is.");
/// Content types whose bodies become part of a message. Not in Kong.
pub const BODY_TYPES: Field =
    Field::array("body_types", &Field::string("").checks(&[Check::Custom(check_media_range)])).extension().about(
        "Content types whose bodies are put into the message, like `application/json` or `text/*`; all if not given.",
    );
/// What happens when a body does not parse as its content type. Not in Kong.
pub const ON_BODY_ERROR: Field =
    Field::string("on_body_error").checks(&[Check::OneOf(&["drop", "keep"])]).extension().about(
        "A body that is not what its content type says: drop the message as Kong does, or keep it with `body_error`.",
    );
/// What is removed from the message. Not in Kong.
pub const REDACT: Field = Field::array("redact", &super::redact::RULE).extension().about(
    "What is taken out of the message before it leaves: headers, query arguments, cookies, key paths, patterns.",
);

/// The fields of the log phase and of the queue, which the sink does not see.
pub(super) const LOG_PHASE: [Field; 8] =
    [CUSTOM_FIELDS, ON_ERROR, INCLUDE_BODY, MAX_BODY_SIZE, BODY_TYPES, ON_BODY_ERROR, REDACT, QUEUE];

/// Limits and retries of the plugin's queue. Not in Kong, except for http-log; without a field the settings decide.
pub const QUEUE: Field =
    Field::record("queue", &queue::PLUGIN).extension().about("Bounds and retries of the plugin's queue.");

fn check_media_range(value: &Value) -> Result<(), String> {
    logphase_script::message::MediaRange::parse(value.as_str().unwrap_or_default()).map(drop)
}

/// A host name or address, without a port.
pub const HOST: Field =
    Field::string("host").required().checks(&[Check::Custom(check_host)]).about("Host name or IP address to send to.");

/// A port.
pub const PORT: Field =
    Field::integer("port").required().checks(&[Check::Between(0.0, 65_535.0)]).about("Port to send to.");

/// A number of milliseconds.
pub const fn milliseconds(name: &'static str, default: i64) -> Field {
    Field::number(name).default(Default::Integer(default)).checks(&[Check::Between(0.0, LONGEST_TIMEOUT)])
}

/// Whether the value is a host as Kong has it.
fn check_host(value: &Value) -> Result<(), String> {
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
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if host.chars().all(sound) && !host.starts_with('.') { Ok(()) } else { Err(format!("invalid value: {host}")) }
}

/// A host without a port in a URL with a scheme, as Kong checks it.
pub fn check_url(value: &Value) -> Result<(), String> {
    let url = value.as_str().unwrap_or("");
    if is_vault_reference(url) {
        return Ok(());
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("missing host in url".into());
    };
    if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        return Err("missing scheme in url".into());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.rsplit('@').next().unwrap_or("").is_empty() { Err("missing host in url".into()) } else { Ok(()) }
}
