//! Syslog messages to the local daemon or over the network.

mod daemon;
mod encoding_sink;
mod format;
pub mod loggly;
mod severity;
mod socket;

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use self::daemon::DaemonSink;
use self::encoding_sink::EncodingSink;
pub(super) use self::format::local_hostname;
use self::format::{Encoder, Header};
use self::severity::{Facility, Severities};
use crate::sink::line_format::LineFormat;
use crate::sink::tcp::{Config as TcpConfig, Framing, TcpSink};
use crate::sink::udp::UdpSink;
use crate::sink::{ConfigError, Sink, SinkShared, defaults, parse};

/// The daemon's socket (`_PATH_LOG` of the C library).
const DEFAULT_SOCKET: &str = "/dev/log";
/// The port of syslog over UDP (RFC 5426, 3.3), which receivers also use for TCP.
const PORT: u16 = 514;
/// The port of syslog over TLS (RFC 5425, 4.1).
const TLS_PORT: u16 = 6514;
/// Idle time after which a connection is closed, in milliseconds: tcp-log's default.
const KEEPALIVE: u64 = 60_000;

/// The transport to a receiver on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One datagram per message (RFC 5426).
    #[default]
    Udp,
    /// Octet counting over TCP (RFC 6587, 3.4.1).
    Tcp,
    /// Octet counting over TLS (RFC 5425).
    Tls,
}

/// The format of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// With host, process, and a time that includes year and zone.
    Rfc5424,
    /// The format of BSD syslog.
    Rfc3164,
}

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Severities and log level.
    #[serde(flatten)]
    pub severities: Severities,
    /// The facility.
    #[serde(default)]
    pub facility: Facility,
    /// Path of the daemon's socket, instead of `/dev/log`.
    #[serde(default)]
    pub socket: Option<String>,
    /// A receiver on the network, instead of the local daemon.
    #[serde(default)]
    pub host: Option<String>,
    /// Port of the receiver; by default 514, with TLS 6514.
    #[serde(default)]
    pub port: Option<u16>,
    /// The transport to `host`.
    #[serde(default)]
    pub transport: Transport,
    /// The format; by default RFC 5424 over the network, and RFC 3164 for the local daemon, as the C library sends it and
    /// daemons expect it.
    #[serde(default)]
    pub format: Option<Format>,
    /// The name of the program in messages.
    #[serde(default = "default_ident")]
    pub ident: String,
    /// The host name in messages, instead of the machine's name.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Server name for SNI and certificate verification, instead of `host`.
    #[serde(default)]
    pub tls_sni: Option<String>,
    /// Verify the receiver's certificate.
    #[serde(default = "defaults::verify")]
    pub ssl_verify: bool,
    /// Limit on connecting, and on sending without progress, in milliseconds.
    #[serde(default = "defaults::timeout")]
    pub timeout: u64,
}

fn default_ident() -> String {
    "kong".to_owned()
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    let line = LineFormat::of(config, "line_format")?;
    let config: Config = parse(config)?;
    let (severities, facility) = (config.severities, config.facility);
    let encoder = Encoder { severities, facility, header: header(&config), line };
    Ok(Box::new(EncodingSink::new(encoder, open_transport(config, shared)?)))
}

fn header(config: &Config) -> Header {
    let host = config.hostname.clone().unwrap_or_else(local_hostname);
    let remote = config.host.is_some();
    match config.format.unwrap_or(if remote { Format::Rfc5424 } else { Format::Rfc3164 }) {
        Format::Rfc5424 => Header::rfc5424(&host, &config.ident),
        Format::Rfc3164 => Header::rfc3164(remote.then_some(&host), &config.ident),
    }
}

fn open_transport(config: Config, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    let Some(host) = config.host else {
        let path = config.socket.as_deref().unwrap_or(DEFAULT_SOCKET);
        return Ok(Box::new(DaemonSink::new(Path::new(path), Duration::from_millis(config.timeout.max(1)))));
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
