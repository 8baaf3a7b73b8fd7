//! Messages over one TCP or TLS connection.
//!
//! TCP confirms that the peer's *kernel* has received a byte, not that the peer has read it. Therefore:
//! - A message settles when the peer's TCP has acknowledged it. If the connection ends earlier, it is sent again.
//! - A peer that dies leaves acknowledged messages unread in its socket buffer. Therefore the newest settled messages
//!   (8 MiB, 30 s; 1 s if the peer closed in order) are sent again on the next connection.
//! - Delivery is at least once: around a restart of the peer some messages arrive twice, in their original order. A
//!   message that the peer read earlier but did not process is lost: neither TCP nor this sink can detect this.

mod connection;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use self::connection::{Connection, Disconnected, Tls};
use crate::sink::config_error::refused;
use crate::sink::resend::ResendBuffer;
use crate::sink::{BoxFuture, ConfigError, SendError, Sent, Sink, SinkShared, defaults, parse};

/// How long a settled message is kept for resending if the connection breaks.
const RESEND_AGE: Duration = Duration::from_secs(30);
/// How long a settled message is kept for resending if the peer closes the connection in order.
const RESEND_AGE_CLOSED: Duration = Duration::from_secs(1);
/// How many connections in a row may break while they carry resent messages only. Then these messages are given up: a peer
/// that breaks every connection must not get the same messages forever.
const MAX_FAILED_REPLAYS: u32 = 10;
/// The delay before an idle sink resends messages; it doubles with each broken connection.
const REPLAY_PAUSE: Duration = Duration::from_millis(20);
/// Size of a write in bytes; its messages settle together.
const WRITE_BYTES: usize = 64 << 10;

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Host name or IP address of the receiver.
    pub host: String,
    /// Port of the receiver.
    pub port: u16,
    /// Limit on connecting, and on sending without progress, in milliseconds.
    #[serde(default = "defaults::timeout")]
    pub timeout: u64,
    /// Idle time after which the connection is closed, in milliseconds.
    #[serde(default = "defaults::keepalive")]
    pub keepalive: u64,
    /// Use TLS.
    #[serde(default)]
    pub tls: bool,
    /// Server name for SNI and certificate verification, instead of `host`.
    #[serde(default)]
    pub tls_sni: Option<String>,
    /// Verify the receiver's certificate.
    #[serde(default = "defaults::verify")]
    pub ssl_verify: bool,
    /// End messages with CR LF, as Kong before 0.5 did.
    #[serde(default)]
    pub crlf: bool,
}

/// How messages are delimited in the byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each message ends with these bytes.
    Terminated(&'static [u8]),
    /// Octet counting: each message follows its length in bytes and a space (RFC 6587, 3.4.1).
    OctetCounted,
}

impl Framing {
    fn write(self, message: &[u8], buffer: &mut BytesMut) {
        match self {
            Self::Terminated(end) => {
                buffer.reserve(message.len() + end.len());
                buffer.extend_from_slice(message);
                buffer.extend_from_slice(end);
            }
            Self::OctetCounted => {
                let length = format!("{} ", message.len());
                buffer.reserve(length.len() + message.len());
                buffer.extend_from_slice(length.as_bytes());
                buffer.extend_from_slice(message);
            }
        }
    }
}

/// Sends messages over one persistent connection.
pub struct TcpSink {
    host: String,
    port: u16,
    timeout: Duration,
    keepalive: Duration,
    tls: Option<Tls>,
    framing: Framing,
    connection: Option<Connection>,
    // Sent on this connection and not settled.
    outstanding: VecDeque<Bytes>,
    // Recently settled entries.
    resend: ResendBuffer,
    // The last connection broke: the next one starts with the entries of `resend`.
    replay: bool,
    // This connection has carried resent messages only.
    only_resent: bool,
    // How many such connections in a row have broken.
    failed_replays: u32,
}

/// The TLS settings of `config`.
fn tls(config: &Config, shared: &SinkShared) -> Result<Tls, Vec<ConfigError>> {
    let (field, name) = config.tls_sni.as_ref().map_or(("host", &config.host), |name| ("tls_sni", name));
    let name = ServerName::try_from(name.clone()).map_err(|_| {
        ConfigError::new(field, format!("{name:?} is not a valid name for a certificate"))
            .with_help("set config.tls_sni")
    });
    let client = shared.tls.get(config.ssl_verify).map_err(|error| refused("ssl_verify", error));
    match (name, client) {
        (Ok(name), Ok(config)) => Ok(Tls { config, name }),
        (name, client) => Err(name.err().into_iter().chain(client.err()).collect()),
    }
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// Every field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    Ok(Box::new(TcpSink::new(parse(config)?, shared)?))
}

impl TcpSink {
    /// Makes a sink that ends each message with a line end. It connects when the first entry is sent.
    ///
    /// # Errors
    /// Every field that the sink cannot use.
    pub fn new(config: Config, shared: &SinkShared) -> Result<Self, Vec<ConfigError>> {
        let end: &[u8] = if config.crlf { b"\r\n" } else { b"\n" };
        Self::framed(config, Framing::Terminated(end), shared)
    }

    /// Makes a sink with `framing`; `config.crlf` is ignored.
    ///
    /// # Errors
    /// Every field that the sink cannot use.
    pub fn framed(config: Config, framing: Framing, shared: &SinkShared) -> Result<Self, Vec<ConfigError>> {
        let tls = if config.tls { Some(tls(&config, shared)?) } else { None };
        let mut sink = Self::plain(config.host, config.port, config.timeout, shared);
        sink.keepalive = Duration::from_millis(config.keepalive);
        sink.tls = tls;
        sink.framing = framing;
        Ok(sink)
    }

    /// Makes a sink without TLS; `timeout` is in milliseconds.
    pub fn plain(host: String, port: u16, timeout: u64, shared: &SinkShared) -> Self {
        Self {
            host,
            port,
            timeout: Duration::from_millis(timeout.max(1)),
            keepalive: Duration::from_millis(defaults::keepalive()),
            tls: None,
            framing: Framing::Terminated(b"\n"),
            connection: None,
            outstanding: VecDeque::new(),
            resend: shared.resend_buffer(RESEND_AGE),
            replay: false,
            only_resent: false,
            failed_replays: 0,
        }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Ensures a working connection, and resends the entries that the last one may have lost.
    async fn connect(&mut self) -> Result<(), SendError> {
        if let Some(connection) = &mut self.connection {
            if let Err(disconnect) = connection.check() {
                return Err(self.disconnected(&disconnect));
            }
            if self.outstanding.is_empty() && connection.idle_for() > self.keepalive {
                self.close_now().await;
            }
        }
        if self.connection.is_none() {
            let opened = Connection::open(&self.host, self.port, self.tls.as_ref(), self.timeout).await;
            self.connection = Some(opened.map_err(|error| SendError::retry(0, self.explain(&error)))?);
            self.only_resent = true;
        }
        if self.replay {
            let resend = self.resend.renew();
            self.write(&resend, false).await?;
            self.replay = false;
        }
        Ok(())
    }

    /// Writes messages. If `counted`, they settle as entries; resent messages do not.
    async fn write(&mut self, messages: &[Bytes], counted: bool) -> Result<(), SendError> {
        let mut buffer = BytesMut::new();
        let mut entries = 0;
        for (index, message) in messages.iter().enumerate() {
            self.framing.write(message, &mut buffer);
            entries += 1;
            if buffer.len() < WRITE_BYTES && index + 1 < messages.len() {
                continue;
            }
            let Some(connection) = &mut self.connection else { break };
            let written = connection.write(&buffer, if counted { entries } else { 0 }, self.timeout).await;
            if let Err(disconnect) = written {
                return Err(self.disconnected(&disconnect));
            }
            if counted {
                self.only_resent = false;
                self.failed_replays = 0;
                self.outstanding.extend(messages[index + 1 - entries..=index].iter().cloned());
            }
            entries = 0;
            buffer.clear();
        }
        Ok(())
    }

    fn settle_entries(&mut self, entries: usize) -> usize {
        let entries = entries.min(self.outstanding.len());
        self.resend.extend(self.outstanding.drain(..entries));
        entries
    }

    /// Drops the connection; the error contains the number of entries settled last.
    fn disconnected(&mut self, disconnect: &Disconnected) -> SendError {
        let settled = self.connection.as_mut().map_or(0, Connection::take_settled);
        let delivered = self.settle_entries(settled);
        self.connection = None;
        self.outstanding.clear();
        // Ages count from the disconnection: the next connection may be opened much later.
        let closed = matches!(disconnect, Disconnected::Closed);
        self.resend.forget_older_than(if closed { RESEND_AGE_CLOSED } else { RESEND_AGE });
        if self.only_resent {
            self.failed_replays += 1;
            if self.failed_replays >= MAX_FAILED_REPLAYS {
                let address = self.address();
                warn!("{address} breaks every connection; messages that it did not read are lost");
            }
            if closed || self.failed_replays >= MAX_FAILED_REPLAYS {
                self.resend.clear();
            }
        }
        self.replay = !self.resend.is_empty();
        SendError::retry(delivered, disconnect.describe(&self.address()))
    }

    async fn close_now(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close(self.timeout).await;
        }
    }

    fn explain(&self, error: &io::Error) -> String {
        let address = self.address();
        let todo = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "connection refused; start the receiver or correct config.host and config.port".to_owned()
            }
            io::ErrorKind::TimedOut => {
                format!("no answer within config.timeout ({} ms); check the network", self.timeout.as_millis())
            }
            io::ErrorKind::InvalidData if self.tls.is_some() => {
                format!("TLS failed: {error}; check config.tls_sni, config.ssl_verify and the trusted certificates")
            }
            _ => error.to_string(),
        };
        format!("cannot connect to {address}: {todo}")
    }

    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        self.connect().await?;
        self.write(entries, true).await?;
        Ok(self.take_settled())
    }

    fn take_settled(&mut self) -> Sent {
        let settled = self.connection.as_mut().map_or(0, Connection::take_settled);
        Sent::settled(self.settle_entries(settled))
    }
}

impl Sink for TcpSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(async move {
            let Some(connection) = &mut self.connection else { return Ok(Sent::default()) };
            match connection.wait_settled(self.timeout).await {
                Ok(settled) => Ok(Sent::settled(self.settle_entries(settled))),
                Err(disconnect) => Err(self.disconnected(&disconnect)),
            }
        })
    }

    fn maintain(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            while let Some(connection) = &mut self.connection {
                let left = self.keepalive.saturating_sub(connection.idle_for());
                match tokio::time::timeout(left, connection.peer_closed()).await {
                    Ok(disconnect) => drop(self.disconnected(&disconnect)),
                    Err(_) => self.close_now().await,
                }
            }
            if self.replay {
                tokio::time::sleep(REPLAY_PAUSE * 2u32.pow(self.failed_replays.min(MAX_FAILED_REPLAYS))).await;
                return;
            }
            std::future::pending().await
        })
    }

    fn take_unconfirmed(&mut self) -> Vec<Bytes> {
        if self.replay { self.resend.renew() } else { Vec::new() }
    }

    fn adopt_unconfirmed(&mut self, entries: Vec<Bytes>) {
        self.resend.extend(entries);
        self.replay = !self.resend.is_empty();
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.close_now())
    }
}

#[cfg(test)]
mod tests;
