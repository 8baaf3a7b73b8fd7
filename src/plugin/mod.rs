//! The plugins: what each is called, when it runs, which fields it has.

pub mod field;
pub mod file_log;
mod http_client;
pub mod http_log;
pub mod kafka_log;
pub mod loggly;
mod others;
pub mod post_function;
pub mod pre_function;
mod protocol;
pub mod redact;
mod send_queue;
pub mod sink;
pub mod syslog;
mod tail;
pub mod tcp_log;
mod tls;
pub mod udp_log;

use logphase_script::message::Include;
use serde_json::{Map, Value};

use logphase_config::schema::Record;

pub use others::{OTHERS, Other, find_other};
pub use protocol::{ANY, HTTP, HTTP_AND_WEBSOCKET, NAMES as PROTOCOL_NAMES, Protocol, Protocols};

/// One kind of plugin that runs in the log phase.
#[derive(Debug)]
pub struct Kind {
    /// Name, like `file-log`.
    pub name: &'static str,
    /// Names that it had in old versions of Kong.
    pub old_names: &'static [&'static str],
    /// Plugins of higher priority run first.
    pub priority: i32,
    /// Protocols that it may be used with.
    pub protocols: Protocols,
    /// Protocols that it is used with if none are given.
    pub default_protocols: Protocols,
    /// Whether it can be put on a consumer.
    pub on_consumer: bool,
    /// Whether it can be put on a consumer group.
    pub on_consumer_group: bool,
    /// Fields of its `config`.
    pub schema: &'static Record,
    /// Turns old fields of a validated `config` into new ones.
    pub convert: fn(&mut Map<String, Value>),
    /// Whether it is a logging plugin, which emits a message per transaction.
    pub emits: bool,
    /// Which bodies its messages carry if `include_body` is not given.
    pub include_body: Include,
    /// What makes the sink that delivers its messages; a plugin without one emits none.
    pub open: Option<sink::Open>,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

static KINDS: [Kind; 9] = [
    pre_function::KIND,
    http_log::KIND,
    file_log::KIND,
    udp_log::KIND,
    tcp_log::KIND,
    loggly::KIND,
    kafka_log::KIND,
    syslog::KIND,
    post_function::KIND,
];

/// For plugins without old fields.
const fn nothing_old(_: &mut Map<String, Value>) {}

/// Every kind, highest priority first.
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

/// The kind called `name`, now or in old versions of Kong.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name || kind.old_names.contains(&name))
}

/// Every plugin name there is, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name).chain(OTHERS.iter().map(|other| other.name))
}

#[cfg(test)]
mod tests;
