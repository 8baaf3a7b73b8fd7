//! The plugins: what each is called, when it runs, which fields it has.

pub mod field;
pub mod file_log;
pub mod http_log;
pub mod kafka_log;
mod known;
pub mod loggly;
pub mod post_function;
pub mod pre_function;
mod protocol;
pub mod redact;
pub mod syslog;
pub mod tcp_log;
pub mod udp_log;

use logphase_script::message::Include;
use serde_json::{Map, Value};

use crate::sink::{OpenError, Sink, SinkShared};
use logphase_config::schema::Record;

pub use known::{KNOWN, KnownPlugin, find_known};
pub use protocol::{ANY, HTTP, HTTP_AND_WEBSOCKET, NAMES as PROTOCOL_NAMES, Protocol, Protocols};

/// One kind of plugin that runs in the log phase.
#[derive(Debug)]
pub struct Definition {
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
    pub open: Option<crate::sink::Open>,
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Definition {}

static DEFINITIONS: [Definition; 9] = [
    pre_function::DEFINITION,
    http_log::DEFINITION,
    file_log::DEFINITION,
    udp_log::DEFINITION,
    tcp_log::DEFINITION,
    loggly::DEFINITION,
    kafka_log::DEFINITION,
    syslog::DEFINITION,
    post_function::DEFINITION,
];

/// For plugins without old fields.
const fn nothing_old(_: &mut Map<String, Value>) {}

/// Every kind, highest priority first.
pub fn definitions() -> &'static [Definition] {
    &DEFINITIONS
}

/// The kind called `name`, now or in old versions of Kong.
pub fn find(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|kind| kind.name == name || kind.old_names.contains(&name))
}

/// Makes the sink of a plugin from its validated `config`, in which all defaults are filled in. Connects to nothing:
/// what is wrong with the destination comes up when entries are sent.
pub fn open(kind_name: &str, config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, OpenError> {
    let kind = find(kind_name).filter(|kind| kind.name == kind_name);
    match kind.and_then(|kind| kind.open) {
        Some(open) => open(config, shared),
        None => Err(OpenError::NoSink { kind: kind_name.to_owned() }),
    }
}

/// Every plugin name there is, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.iter().map(|kind| kind.name).chain(KNOWN.iter().map(|other| other.name))
}

#[cfg(test)]
mod tests;
