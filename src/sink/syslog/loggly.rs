//! The sink of loggly: RFC 5424 with the customer's token and tags, a datagram each.
//!
//! As with udp-log, a message is delivered when the kernel has taken it, and a refusal that comes back is counted as a
//! loss.

use serde::Deserialize;

use super::format::{Encoder, Head, own_host};
use super::level::{Facility, Levels};
use super::relay::Relay;
use crate::sink::SinkShared;
use crate::sink::udp::UdpSink;

/// The plugin's name in Kong.
pub const NAME: &str = "loggly";

/// What the sink needs of loggly's `config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Name or address of the receiver.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The customer token.
    pub key: String,
    /// Tags of every message.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Severities.
    #[serde(flatten)]
    pub levels: Levels,
    /// Milliseconds for resolving the name and for sending one datagram.
    pub timeout: u64,
}

/// A sink for `config`. The name is resolved when the first message comes, and again after a failure.
pub fn open(config: Config, shared: &SinkShared) -> Relay {
    let head = Head::loggly(&own_host(), &config.key, &config.tags);
    // Kong's facility is always `user`.
    let encoder = Encoder { levels: config.levels, facility: Facility::User, head };
    let advice = "take long members out of the message";
    let carrier = UdpSink::dropping(config.host, config.port, config.timeout, advice, shared);
    Relay::new(encoder, Box::new(carrier))
}

#[cfg(test)]
mod tests;
