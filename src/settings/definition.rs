//! The keys of `logphase.yml`.

use serde_json::Value;

use crate::plugin::field::{BODY_TYPES, INCLUDE_BODY, MAX_BODY_SIZE, ON_BODY_ERROR, REDACT, retry_delays};
use logphase_config::diagnostic::suggest;
use logphase_config::schema::{Check, Default, Field, Record};

pub(super) static SETTINGS: Record = Record::new(&[
    Field::array("config", &TEXT)
        .default(Default::Strings(&[]))
        .about("Declarative files to read if the command line names none."),
    Field::string("data_dir").about("Where files of our own are kept."),
    Field::integer("workers").checks(&[Check::Between(1.0, 1024.0)]).about("Worker threads."),
    Field::record("inputs", &INPUTS).required().about("Where transactions come in; an empty list turns an input off."),
    Field::record("limits", &LIMITS).required().about("What one body and one transaction may be."),
    Field::string("untrusted_lua")
        .required()
        .default(Default::String("sandbox"))
        .checks(&[Check::Custom(check_profile)])
        .about("What snippets may call: `sandbox`, `strict` (more of Kong's names) or `off` (no snippets at all)."),
    Field::array("untrusted_lua_sandbox_requires", &Field::string("").checks(&[Check::Custom(check_module)]))
        .required()
        .default(Default::Strings(&[]))
        .about("Modules that snippets may `require` beside those of the profile."),
    Field::array("untrusted_lua_sandbox_environment", &Field::string("").checks(&[Check::Custom(check_name)]))
        .required()
        .default(Default::Strings(&[]))
        .about("Names that snippets may use beside those of the profile."),
    Field::array("trusted_ips", &Field::string("").checks(&[Check::Custom(check_network)]))
        .required()
        .default(Default::Strings(&[]))
        .about("Addresses and networks for which `kong.ip.is_trusted` is true."),
    Field::record("lua", &LUA).required().about("What snippets may use up."),
    Field::record("status", &STATUS).required().about("Where the service answers how it fares."),
    Field::record("reload", &RELOAD).required().about("When the configuration is read again."),
    Field::record("confinement", &CONFINEMENT).required().about("What the system keeps the process from (Linux)."),
    Field::boolean("kong_quirks")
        .required()
        .default(Default::Boolean(false))
        .about("Give Kong's exact output where it is odd."),
    ON_ERROR.required().default(Default::String("keep")),
    REDACT.required().default(Default::Strings(&[])).about("What is taken out of every message before it leaves."),
    Field::string("redact_key").about("Secret that the hashes of `redact` are made with, of at least 16 bytes."),
    Field::record("queue", &QUEUE).required().about("Defaults of every plugin's queue."),
    Field::map("plugins", &TEXT, &Field::record("", &PLUGIN))
        .about("Settings of single plugins, by instance name or name."),
    Field::duration("shutdown_timeout")
        .required()
        .default(Default::Integer(30))
        .about("How long delivery may go on after a signal to stop."),
    Field::record("log", &LOG).required().about("The service's own log."),
    Field::array("select_tags", &TEXT)
        .default(Default::Strings(&[]))
        .about("Only plugins with all of these tags are taken."),
]);

const TEXT: Field = Field::string("");

const ON_ERROR: Field = Field::string("on_error")
    .checks(&[Check::OneOf(&["keep", "drop"])])
    .about("What happens to a message when a snippet fails.");

static INPUTS: Record = Record::new(&[
    Field::record("http", &HTTP).required().about("HTTP."),
    Field::record("tcp", &TCP).required().about("JSON lines over TCP."),
    Field::record("unix", &UNIX).required().about("JSON lines over Unix sockets."),
    Field::record("udp", &UDP).required().about("One object per datagram."),
]);

const ADDRESS: Field = Field::string("").checks(&[Check::Custom(check_address)]);
const LISTEN: Field = Field::array("listen", &ADDRESS).default(Default::Strings(&[])).about("Addresses, `HOST:PORT`.");
const MAX_CONNECTIONS: Field = Field::integer("max_connections")
    .required()
    .default(Default::Integer(1000))
    .checks(&[Check::Between(1.0, 1_000_000.0)])
    .about("Connections at the same time.");
const IDLE_TIMEOUT: Field = Field::duration("idle_timeout")
    .required()
    .default(Default::Integer(60))
    .checks(&[Check::GreaterThan(0.0)])
    .about("How long a connection may be idle.");

static HTTP: Record =
    Record::new(&[LISTEN.required().default(Default::Strings(&["127.0.0.1:9080"])), MAX_CONNECTIONS, IDLE_TIMEOUT]);
// Kong's tcp-log keeps a connection for a minute after its last message.
static TCP: Record = Record::new(&[LISTEN.required(), MAX_CONNECTIONS, IDLE_TIMEOUT.default(Default::Integer(300))]);
static UNIX: Record = Record::new(&[
    Field::array("paths", &TEXT).required().default(Default::Strings(&[])).about("Paths of the sockets."),
    MAX_CONNECTIONS,
    IDLE_TIMEOUT.default(Default::Integer(300)),
]);
static STATUS: Record = Record::new(&[LISTEN.required().default(Default::Strings(&[super::STATUS_ADDRESS])).about(
    "Addresses, `HOST:PORT`, of `/metrics`, `/status` and the probes. In use by another, the default is done without.",
)]);
static UDP: Record = Record::new(&[LISTEN.required()]);

static LIMITS: Record = Record::new(&[
    size("max_body_bytes", 8 << 20).about("Bytes of an HTTP body, unpacked."),
    size("max_transaction_bytes", 1 << 20).about("Bytes of one transaction."),
    // Reading is recursive; a deeper limit would allow a deeper stack.
    count("max_depth", 64).checks(&[Check::Between(1.0, 512.0)]).about("Levels of nesting."),
    count("max_members", 10_000).checks(&[Check::GreaterThan(0.0)]).about("Members and elements, all levels together."),
]);

static LUA: Record = Record::new(&[
    Field::number("deadline_ms")
        .required()
        .default(Default::Integer(10))
        .checks(&[Check::Between(0.1, 60_000.0)])
        .about("Milliseconds that one snippet may run."),
    Field::number("plugin_deadline_ms")
        .required()
        .default(Default::Integer(50))
        .checks(&[Check::Between(0.1, 60_000.0)])
        .about("Milliseconds that all snippets of one plugin may run for one transaction."),
    size("memory_limit", 64 << 20).about("Bytes of memory of each VM."),
    size("max_value_bytes", 1 << 20).about("Bytes of JSON that one returned value may become."),
    count("max_value_nodes", 250_000)
        .checks(&[Check::GreaterThan(0.0)])
        .about("Members, elements and plain values that one returned value may have, all levels together."),
    // Writing is recursive; Kong's own bound is 1000.
    count("max_value_depth", 1000)
        .checks(&[Check::Between(1.0, 1000.0)])
        .about("Levels of nesting of one returned value, the message included."),
    size("max_source_bytes", 256 << 10).about("Bytes of one snippet's text."),
    count("max_source_nesting", 100)
        .checks(&[Check::Between(1.0, 150.0)])
        .about("Levels of brackets and blocks in one snippet's text."),
    count("suspend_after", 10)
        .checks(&[Check::Between(0.0, 1_000_000.0)])
        .about("Time-outs in a row after which a snippet is suspended; 0: never."),
    Field::duration("suspend_for")
        .required()
        .default(Default::Integer(60))
        .checks(&[Check::GreaterThan(0.0)])
        .about("How long a suspended snippet is not run."),
    most("max_req_headers").about("Request headers that a snippet sees at most."),
    most("max_resp_headers").about("Response headers that a snippet sees at most."),
    most("max_uri_args").about("Query arguments that a snippet sees at most."),
    most("max_post_args").about("Arguments of a form that a snippet sees at most."),
    count("log_per_second", 10)
        .checks(&[Check::Between(0.0, 1_000_000.0)])
        .about("Lines per second that snippets may log."),
]);

static RELOAD: Record = Record::new(&[
    Field::boolean("watch")
        .required()
        .default(Default::Boolean(true))
        .about("Read the configuration and the settings again when their files have changed."),
    Field::duration("interval")
        .required()
        .default(Default::Integer(1))
        .checks(&[Check::Between(0.01, 3600.0)])
        .about("How often the files are looked at; a change is taken when two looks find the same."),
]);

static CONFINEMENT: Record = Record::new(&[
    Field::boolean("seccomp")
        .required()
        .default(Default::Boolean(true))
        .about("Keep worker threads from system calls that computing does not need."),
    Field::boolean("landlock")
        .required()
        .default(Default::Boolean(true))
        .about("Keep the process from files that it has no business with."),
    Field::array("paths", &TEXT)
        .required()
        .default(Default::Strings(&[]))
        .about("More files and directories that may be read and written, for plugins to come with a reload."),
]);

static LOG: Record = Record::new(&[
    Field::string("level")
        .required()
        .default(Default::String("info"))
        .checks(&[Check::OneOf(&["error", "warn", "info", "debug", "trace"])])
        .about("The least that is logged."),
    Field::string("format")
        .required()
        .default(Default::String("text"))
        .checks(&[Check::OneOf(&["text", "json"])])
        .about("How lines look."),
]);

const BATCH: Field = Field::integer("max_batch_size").checks(&[Check::Between(1.0, 1_000_000.0)]);
const COALESCING: Field = Field::duration("max_coalescing_delay").checks(&[Check::Between(0.0, 3600.0)]);
const ENTRIES: Field = Field::integer("max_entries").checks(&[Check::Between(1.0, 1_000_000.0)]);
const BYTES: Field = Field::size("max_bytes").checks(&[Check::GreaterThan(0.0)]);
const RETRY_TIME: Field = Field::duration("max_retry_time");
const INITIAL_DELAY: Field = Field::duration("initial_retry_delay").checks(&[Check::Between(0.001, 1_000_000.0)]);
const LONGEST_DELAY: Field = Field::duration("max_retry_delay").checks(&[Check::Between(0.001, 1_000_000.0)]);
const CONCURRENCY: Field = Field::integer("concurrency_limit").checks(&[Check::OneOfNumbers(&[-1.0, 1.0])]);
const OVERFLOW: Field = Field::string("overflow").checks(&[Check::OneOf(&["block", "drop_oldest"])]);

const DURABILITY: Field = Field::string("durability").checks(&[Check::OneOf(&["disk", "memory"])]);
const SYNC: Field = Field::string("sync").checks(&[Check::OneOf(&["always", "interval"])]);
const SYNC_INTERVAL: Field = Field::duration("sync_interval").checks(&[Check::Between(0.001, 3600.0)]);
const DISK_BYTES: Field = Field::size("max_disk_bytes").checks(&[Check::Between(4096.0, 1e15)]);
const DEAD_BYTES: Field = Field::size("max_dead_letter_bytes").checks(&[Check::Between(0.0, 1e15)]);

static QUEUE: Record = Record {
    fields: &[
        BATCH.required().default(Default::Integer(1)).about("Entries that are handed to the sink at once."),
        COALESCING.required().default(Default::Integer(1)).about("How long to wait for a batch to fill."),
        ENTRIES.about("Entries that may wait; without it, 10,000 in memory and any number on disk."),
        BYTES.about("Bytes that may wait."),
        RETRY_TIME.about("How long a batch is retried; without it, for ever."),
        INITIAL_DELAY.required().default(Default::Number(0.01)).about("Pause before the first retry."),
        LONGEST_DELAY.required().default(Default::Integer(60)).about("Longest pause between retries."),
        CONCURRENCY
            .required()
            .default(Default::Integer(1))
            .about("Batches sent at the same time: 1, or -1 for no limit."),
        OVERFLOW.required().default(Default::String("block")).about("What a full queue does."),
        DURABILITY.about(
            "Where entries wait: `disk` or `memory`. Without it, on disk for http-log, kafka-log and tcp-log, in memory \
             for the others.",
        ),
        SYNC.required().default(Default::String("always")).about(
            "When a queue on disk is synced: `always` before it is answered for, or `interval`.",
        ),
        SYNC_INTERVAL
            .required()
            .default(Default::Integer(1))
            .about("With `sync: interval`, how much time's answers a power cut may lose."),
        DISK_BYTES
            .required()
            .default(Default::Integer(2 << 30))
            .about("Bytes that may wait in a queue on disk; its files hold up to 64 MiB more."),
        DEAD_BYTES
            .required()
            .default(Default::Integer(1 << 30))
            .about("Bytes of dead letters that are kept for a plugin; past them it holds its queue up."),
        size("max_memory", 128 << 20).about("Bytes that may wait in memory in all queues together."),
        size("max_data_bytes", 8 << 30).about("Bytes that may wait on disk in all queues together."),
    ],
    checks: &[retry_delays],
};

static PLUGIN: Record = Record::new(&[
    ON_ERROR,
    Field::string("oversize")
        .checks(&[Check::OneOf(&["drop", "tcp", "truncate"])])
        .about("What becomes of a message that no datagram holds."),
    INCLUDE_BODY,
    MAX_BODY_SIZE,
    BODY_TYPES,
    ON_BODY_ERROR,
    REDACT,
    Field::record("queue", &PLUGIN_QUEUE).about("Its queue."),
]);

static PLUGIN_QUEUE: Record = Record {
    fields: &[
        BATCH,
        COALESCING,
        ENTRIES,
        BYTES,
        RETRY_TIME,
        INITIAL_DELAY,
        LONGEST_DELAY,
        CONCURRENCY,
        OVERFLOW,
        DURABILITY,
        SYNC,
        SYNC_INTERVAL,
        DISK_BYTES,
        DEAD_BYTES,
    ],
    checks: &[retry_delays],
};

const fn size(name: &'static str, default: i64) -> Field {
    Field::size(name).required().default(Default::Integer(default)).checks(&[Check::GreaterThan(0.0)])
}

const fn count(name: &'static str, default: i64) -> Field {
    Field::integer(name).required().default(Default::Integer(default))
}

/// One of Kong's limits on headers and arguments (`lua_max_req_headers` and its kin).
const fn most(name: &'static str) -> Field {
    count(name, 100).checks(&[Check::Between(1.0, 1000.0)])
}

/// Kong's modes, and why two of them are not to be had here.
fn check_profile(value: &Value) -> Result<(), String> {
    match value.as_str().unwrap_or_default() {
        "off" | "sandbox" | "strict" => Ok(()),
        "on" => Err("`on` is not offered: it would give snippets the files, sockets and processes of this machine. \
                     Use `strict`, and add names with untrusted_lua_sandbox_requires and _environment"
            .to_owned()),
        "lax" => Err("`lax` is not offered: use `strict`, and add names with untrusted_lua_sandbox_requires and \
                      _environment"
            .to_owned()),
        _ => Err("expected one of: off, sandbox, strict".to_owned()),
    }
}

fn check_module(value: &Value) -> Result<(), String> {
    offered(value, "module", logphase_script::modules())
}

fn check_name(value: &Value) -> Result<(), String> {
    offered(value, "name", logphase_script::names())
}

fn offered(value: &Value, what: &str, offered: Vec<&'static str>) -> Result<(), String> {
    let name = value.as_str().unwrap_or_default();
    if offered.contains(&name) {
        return Ok(());
    }
    Err(match suggest(name, offered.iter().copied()) {
        Some(near) => format!("no {what} `{name}` is offered; did you mean `{near}`?"),
        None => format!("no {what} `{name}` is offered; there are {}", offered.join(", ")),
    })
}

/// An address or a network in CIDR notation.
fn check_network(value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    if text.parse::<ipnet::IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok() || text == "unix:" {
        return Ok(());
    }
    Err("expected an address or a network, like 10.0.0.0/8, 192.0.2.7 or fd00::/8".to_owned())
}

/// Whether the value is `HOST:PORT`; the host may be a name, an address, or an IPv6 address in brackets.
fn check_address(value: &Value) -> Result<(), String> {
    let wrong = || Err("expected HOST:PORT, like 127.0.0.1:9080 or [::1]:9080".to_owned());
    let Some((host, port)) = value.as_str().and_then(|text| text.rsplit_once(':')) else { return wrong() };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let sound = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)),
    };
    if sound && port.parse::<u16>().is_ok() { Ok(()) } else { wrong() }
}
