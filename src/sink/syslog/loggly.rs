//! Syslog for Loggly: RFC 5424 with the customer's token and tags, one datagram per message.
//!
//! As in udp-log, a message counts as delivered when the kernel has accepted it, and as lost if the network reports a refusal.

use serde::Deserialize;
use serde_json::Value;

use super::encoding_sink::EncodingSink;
use super::format::{Encoder, Header, local_hostname};
use super::severity::{Facility, Severities};
use crate::sink::udp::UdpSink;
use crate::sink::{ConfigError, Sink, SinkShared, parse};

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Host name or IP address of the receiver.
    pub host: String,
    /// Port of the receiver.
    pub port: u16,
    /// The customer token.
    pub key: String,
    /// The tags of all messages.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Severities and log level.
    #[serde(flatten)]
    pub severities: Severities,
    /// Limit on resolving the name and on sending one datagram, in milliseconds.
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
    let encoder = Encoder { severities: config.severities, facility: Facility::User, header, line: None };
    let advice = "take long members out of the message";
    let transport = UdpSink::dropping(config.host, config.port, config.timeout, advice, shared);
    Ok(Box::new(EncodingSink::new(encoder, Box::new(transport))))
}

#[cfg(test)]
mod tests;
