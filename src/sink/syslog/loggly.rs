//! Syslog as Loggly takes it: RFC 5424 with the customer's token and tags, one datagram per message.
//!
//! As with every datagram, a message is delivered when the kernel has taken it, and a refusal that comes back counts as a
//! loss.

use serde::Deserialize;
use serde_json::Value;

use super::encoding_sink::EncodingSink;
use super::format::{Encoder, Header, local_hostname};
use super::severity::{Facility, Severities};
use crate::sink::udp::UdpSink;
use crate::sink::{ConfigError, Sink, SinkShared, parse};

/// What the sink needs of a plugin's `config`.
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
    pub severities: Severities,
    /// Milliseconds for resolving the name and for sending one datagram.
    pub timeout: u64,
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// A field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    let config: Config = parse(config)?;
    let header = Header::loggly(&local_hostname(), &config.key, &config.tags);
    // Kong's facility is always `user`.
    let encoder = Encoder { severities: config.severities, facility: Facility::User, header };
    let advice = "take long members out of the message";
    let transport = UdpSink::dropping(config.host, config.port, config.timeout, advice, shared);
    Ok(Box::new(EncodingSink::new(encoder, Box::new(transport))))
}

#[cfg(test)]
mod tests;
