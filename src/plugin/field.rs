//! Fields that several plugins have.

use serde_json::{Map, Value};

use logphase_config::schema::{Check, Default, Field, Problem, Record, is_vault_reference};

/// Largest number of milliseconds that Kong takes for a timeout.
const LONGEST_TIMEOUT: f64 = 2_147_483_646.0;

/// Lua snippets by key path; each must return a value.
pub const CUSTOM_FIELDS: Field = Field::map(
    "custom_fields_by_lua",
    &Field::string("").about("Key path: dots nest, a backslash makes a dot part of a name."),
    &Field::string("").about("Lua statements that return the field's value; nil removes the field."),
)
.about("Fields to add, change or remove, by Lua.");

/// What happens to a message when a snippet fails. Ours; without it the settings decide.
pub const ON_ERROR: Field = Field::string("on_error")
    .checks(&[Check::OneOf(&["keep", "drop"])])
    .extension()
    .about("When a snippet fails: keep the message and leave the field untouched, or drop the message as Kong does.");

/// Which bodies become part of the message. Ours; without it, see [`super::Definition::include_body`].
pub const INCLUDE_BODY: Field = Field::string("include_body")
    .checks(&[Check::OneOf(&["off", "request", "response", "both"])])
    .extension()
    .about("Bodies to put into the message, where the proxy handed them over: off, request, response or both.");
/// The largest body that becomes part of a message. Ours.
pub const MAX_BODY_SIZE: Field = Field::size("max_body_size")
    .extension()
    .about("Bytes of a body that is put into the message; of a larger one only its size is.");
/// Content types whose bodies become part of a message. Ours.
pub const BODY_TYPES: Field =
    Field::array("body_types", &Field::string("").checks(&[Check::Custom(check_media_range)])).extension().about(
        "Content types whose bodies are put into the message, like `application/json` or `text/*`; all if not given.",
    );
/// What happens when a body does not parse as the type it claims. Ours.
pub const ON_BODY_ERROR: Field =
    Field::string("on_body_error").checks(&[Check::OneOf(&["drop", "keep"])]).extension().about(
        "A body that is not what its content type says: drop the message as Kong does, or keep it with `body_error`.",
    );
/// What must not leave. Ours.
pub const REDACT: Field = Field::array("redact", &super::redact::RULE).extension().about(
    "What is taken out of the message before it leaves: headers, query arguments, cookies, key paths, patterns.",
);

/// Bounds and retries of the plugin's queue. Ours where Kong's plugin has no queue; without a field the settings decide.
pub const QUEUE: Field =
    Field::record("queue", &QUEUE_RECORD).extension().about("Bounds and retries of the plugin's queue.");

/// See [`QUEUE`].
pub static QUEUE_RECORD: Record = Record {
    fields: &[
        MAX_BATCH_SIZE,
        MAX_COALESCING_DELAY,
        MAX_ENTRIES,
        MAX_BYTES,
        Field::number("max_retry_time").about("Seconds that a batch is retried before it is given up; none: for ever."),
        INITIAL_RETRY_DELAY,
        MAX_RETRY_DELAY,
        CONCURRENCY_LIMIT,
        OVERFLOW,
        DURABILITY,
        SYNC,
        SYNC_INTERVAL,
        MAX_DISK_BYTES,
    ],
    checks: &[retry_delays],
};

/// Entries per batch.
pub const MAX_BATCH_SIZE: Field = Field::integer("max_batch_size")
    .checks(&[Check::Between(1.0, 1_000_000.0)])
    .about("Entries that are handed to the sink at once.");
/// How long a batch waits to fill.
pub const MAX_COALESCING_DELAY: Field = Field::number("max_coalescing_delay")
    .checks(&[Check::Between(0.0, 3600.0)])
    .about("Seconds to wait for a batch to fill after its first entry.");
/// Bound in entries.
pub const MAX_ENTRIES: Field = Field::integer("max_entries")
    .checks(&[Check::Between(1.0, 1_000_000.0)])
    .about("Entries that may wait in the queue.");
/// Bound in bytes.
pub const MAX_BYTES: Field =
    Field::integer("max_bytes").checks(&[Check::GreaterThan(0.0)]).about("Bytes that may wait in the queue.");
/// First pause between tries.
pub const INITIAL_RETRY_DELAY: Field = Field::number("initial_retry_delay")
    .checks(&[Check::Between(0.001, 1_000_000.0)])
    .about("Seconds before the first retry; doubles with each failure.");
/// Longest pause between tries.
pub const MAX_RETRY_DELAY: Field = Field::number("max_retry_delay")
    .checks(&[Check::Between(0.001, 1_000_000.0)])
    .about("Longest pause between retries, in seconds.");
/// One batch at a time, or as many as there are.
pub const CONCURRENCY_LIMIT: Field = Field::integer("concurrency_limit")
    .checks(&[Check::OneOfNumbers(&[-1.0, 1.0])])
    .about("Batches sent at the same time: 1, or -1 for no limit.");
/// What a full queue does. Ours.
pub const OVERFLOW: Field = Field::string("overflow")
    .checks(&[Check::OneOf(&["block", "drop_oldest"])])
    .extension()
    .about("What a full queue does: push back to the inputs, or drop its oldest entries as Kong does.");

/// Where entries wait. Ours.
pub const DURABILITY: Field = Field::string("durability")
    .checks(&[Check::OneOf(&["disk", "memory"])])
    .extension()
    .about("Where entries wait: on disk, where they outlive the process, or in memory.");
/// When a queue on disk is synced. Ours.
pub const SYNC: Field = Field::string("sync")
    .checks(&[Check::OneOf(&["always", "interval"])])
    .extension()
    .about("When a queue on disk is synced: always before it is answered for, or every sync_interval.");
/// How often. Ours.
pub const SYNC_INTERVAL: Field = Field::number("sync_interval")
    .checks(&[Check::Between(0.001, 3600.0)])
    .extension()
    .about("With `sync: interval`, for how many seconds answers may be lost in a power cut.");
/// Bound in bytes on disk. Ours.
pub const MAX_DISK_BYTES: Field = Field::size("max_disk_bytes")
    .checks(&[Check::Between(4096.0, 1e15)])
    .extension()
    .about("Bytes that may wait in a queue on disk.");

/// The pauses between retries cannot start longer than they may become.
pub fn retry_delays(queue: &Map<String, Value>) -> Result<(), Problem> {
    let number = |name: &str| queue.get(name).and_then(Value::as_f64);
    match (number("initial_retry_delay"), number("max_retry_delay")) {
        (Some(initial), Some(longest)) if initial > longest => Err(Problem {
            field: "initial_retry_delay",
            message: "`initial_retry_delay` is longer than `max_retry_delay`".into(),
            kong: "must be at most max_retry_delay".into(),
        }),
        _ => Ok(()),
    }
}

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
