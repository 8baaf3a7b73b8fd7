//! The sink of tcp-log.
//!
//! TCP tells the sender that the peer's *kernel* has a byte, not that the peer has read it. The promise:
//! - A message settles when the peer's TCP has acknowledged it. Until then it is sent again if the connection ends.
//! - A peer that dies has unread messages in its socket's buffer, acknowledged all the same. So the newest settled
//!   messages (8 MiB, 30 s; 1 s if the peer closed in order) are sent again on the connection after a broken one.
//! - Hence at least once: around a restart of the peer messages come twice, in order of their first sending.
//!   What a peer had read and not yet worked on for longer than that is beyond TCP's and this sink's knowledge.

mod connection;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tracing::warn;

use self::connection::{Broken, Connection, Tls};
use crate::sink::resend::ResendBuffer;
use crate::sink::{BoxFuture, OpenError, SendError, Sent, Sink, SinkShared, defaults};

/// The plugin's name in Kong.
pub const NAME: &str = "tcp-log";

/// How long a message is kept for the case that the connection is cut off.
const RESEND_AGE: Duration = Duration::from_secs(30);
/// The same when the peer closed the connection in order.
const RESEND_AGE_CLOSED: Duration = Duration::from_secs(1);
/// How many connections in a row may break with nothing but resent messages on them before these are given up: a
/// peer that cuts every connection off shall not be fed the same messages for ever.
const MAX_REPLAYS: u32 = 10;
/// The pause before the first resending while nothing else is to be sent; it doubles with each broken connection.
const REPLAY_PAUSE: Duration = Duration::from_millis(20);
/// Bytes that are put into one write, and settle together.
const WRITE_BYTES: usize = 64 << 10;

/// What the sink needs of tcp-log's `config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Name or address of the receiver.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Milliseconds for connecting, and for any progress in sending.
    #[serde(default = "defaults::timeout")]
    pub timeout: u64,
    /// Milliseconds of idleness after which the connection is closed.
    #[serde(default = "defaults::keepalive")]
    pub keepalive: u64,
    /// Speak TLS.
    #[serde(default)]
    pub tls: bool,
    /// The name to ask for and to verify, in place of `host`.
    #[serde(default)]
    pub tls_sni: Option<String>,
    /// Verify the receiver's certificate.
    #[serde(default = "defaults::verify")]
    pub ssl_verify: bool,
    /// End messages with CR LF, as Kong before 0.5 did.
    #[serde(default)]
    pub crlf: bool,
}

/// How messages are told apart in the stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each ends with these bytes.
    Ended(&'static [u8]),
    /// Before each stand its length in bytes and a space (RFC 6587, 3.4.1).
    OctetCounted,
}

impl Framing {
    fn put(self, message: &[u8], buffer: &mut BytesMut) {
        match self {
            Self::Ended(end) => {
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

/// Sends messages over one kept connection.
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
    // Settled lately.
    resend: ResendBuffer,
    // The last connection broke: the resend goes first on the next one.
    replay: bool,
    // This connection has carried nothing but the resend.
    only_replayed: bool,
    // How many such connections in a row have broken.
    replays: u32,
}

impl TcpSink {
    /// A sink for `config`. Connects when the first message comes.
    pub fn open(config: Config, shared: &SinkShared) -> Result<Self, OpenError> {
        let end: &[u8] = if config.crlf { b"\r\n" } else { b"\n" };
        Self::framed(config, Framing::Ended(end), shared)
            .map_err(|reason| OpenError::Setup { kind: NAME.to_owned(), reason })
    }

    /// The same with another framing, whatever `config.crlf` says. The error is what cannot be read, and what to do.
    pub(crate) fn framed(config: Config, framing: Framing, shared: &SinkShared) -> Result<Self, String> {
        let tls = if config.tls {
            let name = config.tls_sni.as_ref().unwrap_or(&config.host);
            let name = ServerName::try_from(name.clone())
                .map_err(|_| format!("{name:?} is no name that a certificate can be for; set config.tls_sni"))?;
            Some(Tls { config: shared.tls.get(config.ssl_verify).map_err(|error| error.to_string())?, name })
        } else {
            None
        };
        let mut sink = Self::plain(config.host, config.port, config.timeout, shared);
        sink.keepalive = Duration::from_millis(config.keepalive);
        sink.tls = tls;
        sink.framing = framing;
        Ok(sink)
    }

    /// A sink without TLS; `timeout` in milliseconds.
    pub(crate) fn plain(host: String, port: u16, timeout: u64, shared: &SinkShared) -> Self {
        Self {
            host,
            port,
            timeout: Duration::from_millis(timeout.max(1)),
            keepalive: Duration::from_millis(defaults::keepalive()),
            tls: None,
            framing: Framing::Ended(b"\n"),
            connection: None,
            outstanding: VecDeque::new(),
            resend: shared.resend_buffer(RESEND_AGE),
            replay: false,
            only_replayed: false,
            replays: 0,
        }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Sees to it that there is a connection that the peer has not hung up, with the resend sent if need be.
    async fn connect(&mut self) -> Result<(), SendError> {
        if let Some(connection) = &mut self.connection {
            if let Err(broken) = connection.check() {
                return Err(self.broken(&broken));
            }
            if self.outstanding.is_empty() && connection.idle_for() > self.keepalive {
                self.close_now().await;
            }
        }
        if self.connection.is_none() {
            let opened = Connection::open(&self.host, self.port, self.tls.as_ref(), self.timeout).await;
            self.connection = Some(opened.map_err(|error| SendError::retry(0, self.explain(&error)))?);
            self.only_replayed = true;
        }
        if self.replay {
            let resend = self.resend.renew();
            self.write(&resend, false).await?;
            self.replay = false;
        }
        Ok(())
    }

    /// Writes messages; `counted` if they are entries that settle.
    async fn write(&mut self, messages: &[Bytes], counted: bool) -> Result<(), SendError> {
        let mut buffer = BytesMut::new();
        let mut entries = 0;
        for (index, message) in messages.iter().enumerate() {
            self.framing.put(message, &mut buffer);
            entries += 1;
            if buffer.len() < WRITE_BYTES && index + 1 < messages.len() {
                continue;
            }
            let Some(connection) = &mut self.connection else { break };
            let written = connection.write(&buffer, if counted { entries } else { 0 }, self.timeout).await;
            if let Err(broken) = written {
                return Err(self.broken(&broken));
            }
            if counted {
                self.only_replayed = false;
                self.replays = 0;
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

    /// Gives the connection up; what it settled last is in the error.
    fn broken(&mut self, broken: &Broken) -> SendError {
        let settled = self.connection.as_mut().map_or(0, Connection::take_settled);
        let delivered = self.settle_entries(settled);
        self.connection = None;
        self.outstanding.clear();
        // What the peer may not have read is decided now: it may be away for long.
        let closed = matches!(broken, Broken::Closed);
        self.resend.forget_older_than(if closed { RESEND_AGE_CLOSED } else { RESEND_AGE });
        if self.only_replayed {
            self.replays += 1;
            if self.replays >= MAX_REPLAYS {
                let address = self.address();
                warn!("{address} breaks every connection; what it did not read of the last messages is lost");
            }
            if closed || self.replays >= MAX_REPLAYS {
                self.resend.clear();
            }
        }
        self.replay = !self.resend.is_empty();
        SendError::retry(delivered, broken.describe(&self.address()))
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
                format!("no answer within config.timeout ({} ms); see to the network", self.timeout.as_millis())
            }
            io::ErrorKind::InvalidData if self.tls.is_some() => {
                format!("TLS failed: {error}; see config.tls_sni, config.ssl_verify and the trusted certificates")
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
                Err(broken) => Err(self.broken(&broken)),
            }
        })
    }

    fn maintain(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            while let Some(connection) = &mut self.connection {
                let left = self.keepalive.saturating_sub(connection.idle_for());
                match tokio::time::timeout(left, connection.hung_up()).await {
                    Ok(broken) => drop(self.broken(&broken)),
                    Err(_) => self.close_now().await,
                }
            }
            if self.replay {
                tokio::time::sleep(REPLAY_PAUSE * 2u32.pow(self.replays.min(MAX_REPLAYS))).await;
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
