//! Plugins: the name, priority, scope rules, fields and defaults of each, and which sink delivers its messages.
//!
//! A plugin is a module with a [`Definition`] and a row in [`definitions`]. No other part of the program knows a plugin by
//! name.

mod clones;
pub mod datadog;
mod definition;
pub mod field;
pub mod file_log;
pub mod http_log;
pub mod kafka_log;
mod known;
pub mod loggly;
pub mod opentelemetry;
pub mod post_function;
pub mod pre_function;
mod protocol;
pub mod redact;
pub mod statsd;
pub mod syslog;
pub mod tcp_log;
pub mod udp_log;

pub use clones::cloned;
pub use definition::{Certificate, Definition, LeftToKong, LuaFields, SinkContext};
pub use known::{KNOWN, KnownPlugin, find_known};
pub use protocol::{ANY, HTTP, HTTP_AND_WEBSOCKET, NAMES as PROTOCOL_NAMES, Protocol, Protocols};

static DEFINITIONS: &[Definition] = &[
    pre_function::DEFINITION,
    opentelemetry::DEFINITION,
    http_log::DEFINITION,
    statsd::DEFINITION,
    datadog::DEFINITION,
    file_log::DEFINITION,
    udp_log::DEFINITION,
    tcp_log::DEFINITION,
    loggly::DEFINITION,
    kafka_log::DEFINITION,
    syslog::DEFINITION,
    post_function::DEFINITION,
];

/// The logging plugin of commands that have no configuration.
pub static DEFAULT_LOGGER: &Definition = &file_log::DEFINITION;

/// Every plugin that runs here, highest priority first.
pub fn definitions() -> &'static [Definition] {
    DEFINITIONS
}

/// The plugin with the name `name`, in current or old versions of Kong.
pub fn find(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name == name || definition.old_names.contains(&name))
}

/// The names of all of Kong's plugins, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    DEFINITIONS.iter().map(|definition| definition.name).chain(KNOWN.iter().map(|known| known.name))
}

#[cfg(test)]
mod tests;
