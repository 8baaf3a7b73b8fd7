//! The sink of syslog: to the machine's daemon as Kong does, or over the network.

mod format;
mod level;
mod link;
mod local;
pub mod loggly;
mod relay;

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use self::format::{Encoder, Head, own_host};
use self::level::{Facility, Levels};
use self::local::Local;
use self::relay::Relay;
use crate::sink::tcp::{Config as TcpConfig, Framing, TcpSink};
use crate::sink::udp::UdpSink;
use crate::sink::{OpenError, Sink, SinkShared, defaults};

/// The plugin's name in Kong.
pub const NAME: &str = "syslog";

/// The daemon's socket (`_PATH_LOG` of the C library).
const SOCKET: &str = "/dev/log";
/// The port of syslog over UDP (RFC 5426, 3.3), which receivers use for TCP, too.
const PORT: u16 = 514;
/// The port of syslog over TLS (RFC 5425, 4.1).
const TLS_PORT: u16 = 6514;
/// Milliseconds after which an idle connection is closed, as tcp-log's by default.
const KEEPALIVE: u64 = 60_000;

/// How messages travel over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A datagram each (RFC 5426).
    #[default]
    Udp,
    /// With their lengths before them (RFC 6587, 3.4.1).
    Tcp,
    /// The same over TLS (RFC 5425).
    Tls,
}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// With host, process and a time with its year and zone.
    Rfc5424,
    /// The older one.
    Rfc3164,
}

/// What the sink needs of syslog's `config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Severities.
    #[serde(flatten)]
    pub levels: Levels,
    /// The facility.
    #[serde(default)]
    pub facility: Facility,
    /// Path of the daemon's socket in place of `/dev/log`.
    #[serde(default)]
    pub socket: Option<String>,
    /// A receiver on the network, in place of the machine's daemon.
    #[serde(default)]
    pub host: Option<String>,
    /// Its port; 514, for TLS 6514.
    #[serde(default)]
    pub port: Option<u16>,
    /// The way to it.
    #[serde(default)]
    pub transport: Transport,
    /// How messages are written: to the machine's daemon as RFC 3164 has it, since that is what the C library sends and
    /// daemons expect there; over the network as RFC 5424 has it.
    #[serde(default)]
    pub format: Option<Format>,
    /// The name of the program in messages.
    #[serde(default = "default_ident")]
    pub ident: String,
    /// The name of the machine in messages, if not its own.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The name to ask for and to verify in place of `host`.
    #[serde(default)]
    pub tls_sni: Option<String>,
    /// Verify the receiver's certificate.
    #[serde(default = "defaults::verify")]
    pub ssl_verify: bool,
    /// Milliseconds for connecting, and for any progress in sending.
    #[serde(default = "defaults::timeout")]
    pub timeout: u64,
}

fn default_ident() -> String {
    "kong".to_owned()
}

/// A sink for `config`. Connects when the first message comes.
pub fn open(config: Config, shared: &SinkShared) -> Result<Relay, OpenError> {
    let encoder = Encoder { levels: config.levels, facility: config.facility, head: head(&config) };
    let carrier = carrier(config, shared).map_err(|reason| OpenError::Setup { kind: NAME.to_owned(), reason })?;
    Ok(Relay::new(encoder, carrier))
}

fn head(config: &Config) -> Head {
    let host = config.hostname.clone().unwrap_or_else(own_host);
    let remote = config.host.is_some();
    match config.format.unwrap_or(if remote { Format::Rfc5424 } else { Format::Rfc3164 }) {
        Format::Rfc5424 => Head::rfc5424(&host, &config.ident),
        Format::Rfc3164 => Head::rfc3164(remote.then_some(&host), &config.ident),
    }
}

fn carrier(config: Config, shared: &SinkShared) -> Result<Box<dyn Sink>, String> {
    let Some(host) = config.host else {
        let path = config.socket.as_deref().unwrap_or(SOCKET);
        return Ok(Box::new(Local::new(Path::new(path), Duration::from_millis(config.timeout.max(1)))));
    };
    let tls = config.transport == Transport::Tls;
    let port = config.port.unwrap_or(if tls { TLS_PORT } else { PORT });
    if config.transport == Transport::Udp {
        let advice = "set config.transport to tcp, or take long members out of the message";
        return Ok(Box::new(UdpSink::dropping(host, port, config.timeout, advice, shared)));
    }
    let tcp = TcpConfig {
        host,
        port,
        timeout: config.timeout,
        keepalive: KEEPALIVE,
        tls,
        tls_sni: config.tls_sni,
        ssl_verify: config.ssl_verify,
        crlf: false,
    };
    Ok(Box::new(TcpSink::framed(tcp, Framing::OctetCounted, shared)?))
}

#[cfg(test)]
mod tests;
