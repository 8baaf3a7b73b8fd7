//! Messages over one TCP or TLS connection.
//!
//! TCP confirms that the peer's *kernel* has received a byte, not that the peer has read it. Therefore:
//! - A message settles when the peer's TCP has acknowledged it. If the connection ends earlier, it is sent again.
//! - A peer that dies leaves acknowledged messages unread in its socket buffer. Therefore the newest settled messages
//!   (8 MiB, 30 s; 1 s if the peer closed in order) are unconfirmed: they are sent again if the connection breaks.
//! - When the sink closes the connection, it waits a little for the peer to close its end, too: that confirms everything.
//! - Delivery is at least once: around a restart of the peer some messages arrive twice, in their original order. A
//!   message that the peer read earlier but did not process is lost: neither TCP nor this sink can detect this.

mod connection;

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use self::connection::{Connection, Disconnected, Tls};
use crate::sink::config_error::refused;
use crate::sink::line_format::formatted;
use crate::sink::tail::{Batch, Tail};
use crate::sink::{Batching, BoxFuture, ConfigError, SendError, Sent, Sink, SinkShared, defaults, parse};

/// How long a settled message is sent again if the connection breaks.
const RESEND_AGE: Duration = Duration::from_secs(30);
/// How long a settled message is sent again if the peer closes the connection in order.
const RESEND_AGE_CLOSED: Duration = Duration::from_secs(1);
/// How long the sink waits for the peer to close its end, at most; `config.timeout` can be less.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before messages are sent again; it doubles with each connection that breaks before anything is confirmed, at
/// most this often.
const REPLAY_PAUSE: (Duration, u32) = (Duration::from_millis(20), 10);
/// After so many connections in a row that the peer closed in order soon after it had messages, it counts as a peer that closes
/// after each message that it reads. A peer that crashes and restarts a few times does not.
const CLOSES_AFTER_READING: u32 = 6;
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

impl Config {
    /// Without TLS; `timeout` is in milliseconds.
    pub fn plain(host: String, port: u16, timeout: u64) -> Self {
        let keepalive = defaults::keepalive();
        Self { host, port, timeout, keepalive, tls: false, tls_sni: None, ssl_verify: true, crlf: false }
    }
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
    // Settled and unconfirmed.
    tail: Tail,
    // How many of the next entries the peer had acknowledged when it closed the last connection in order.
    again: usize,
    // How many connections in a row have broken without a confirmation.
    breaks: u32,
    // How many connections in a row the peer has closed in order with unconfirmed entries.
    closes: u32,
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
    formatted(config, Box::new(TcpSink::new(parse(config)?, shared)?))
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
            tail: shared.tail(RESEND_AGE),
            again: 0,
            breaks: 0,
            closes: 0,
        }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Ensures a working connection.
    async fn connect(&mut self) -> Result<(), SendError> {
        if let Some(connection) = &mut self.connection {
            if connection.is_finishing() || connection.is_settled() && connection.idle_for() > self.keepalive {
                self.finish().await?;
                if self.connection.is_some() {
                    let unfinished = io::Error::other("the receiver does not close its end");
                    return Err(self.disconnected(&Disconnected::Failed(unfinished)));
                }
            } else if let Err(disconnect) = connection.check() {
                return Err(self.disconnected(&disconnect));
            }
        }
        if self.connection.is_none() {
            let opened = Connection::open(&self.host, self.port, self.tls.as_ref(), self.timeout).await;
            self.connection = Some(opened.map_err(|error| SendError::retry(0, self.explain(&error)))?);
        }
        Ok(())
    }

    async fn write(&mut self, messages: &[Bytes]) -> Result<(), SendError> {
        let mut buffer = BytesMut::new();
        let mut entries = 0;
        for (index, message) in messages.iter().enumerate() {
            self.framing.write(message, &mut buffer);
            entries += 1;
            if buffer.len() < WRITE_BYTES && index + 1 < messages.len() {
                continue;
            }
            let Some(connection) = &mut self.connection else { break };
            let batch = Batch { entries, bytes: buffer.len(), again: self.again > 0 };
            if let Err(disconnect) = connection.write(&buffer, batch, self.timeout).await {
                return Err(self.disconnected(&disconnect));
            }
            self.again = self.again.saturating_sub(entries);
            entries = 0;
            buffer.clear();
        }
        Ok(())
    }

    /// Drops the connection, and decides which of its entries are confirmed. The error has the number of entries that settled
    /// last, and of those that are to be sent again.
    fn disconnected(&mut self, disconnect: &Disconnected) -> SendError {
        let Some(mut connection) = self.connection.take() else {
            return SendError::retry(0, disconnect.describe(&self.address()));
        };
        let delivered = connection.take_settled(&mut self.tail);
        let in_order = matches!(disconnect, Disconnected::Closed);
        self.tail.confirm_aged();
        if in_order && connection.is_finishing() {
            self.tail.confirm_all();
        } else if in_order && self.tail.entries() > 0 {
            let aged = self.tail.confirm_older_than(RESEND_AGE_CLOSED);
            self.closes = if aged { 0 } else { self.closes.saturating_add(1) };
            if self.closes > CLOSES_AFTER_READING {
                self.tail.confirm_repeated();
            }
        }
        if !in_order {
            self.closes = 0;
        }
        let revoked = self.tail.take_all();
        self.again = if in_order { revoked } else { 0 };
        self.breaks = if self.tail.take_progress() { 0 } else { self.breaks.saturating_add(1) };
        let pause = || REPLAY_PAUSE.0 * 2u32.pow(self.breaks.min(REPLAY_PAUSE.1));
        let retry_after = (revoked > 0).then(pause);
        SendError { revoked, retry_after, ..SendError::retry(delivered, disconnect.describe(&self.address())) }
    }

    /// Closes the sending side, and waits until the peer has closed its side or the entries are confirmed; for a limited time.
    async fn finish(&mut self) -> Result<(), SendError> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let wait = self.tail.entries() > 0 || !connection.is_settled();
        let finishing = async {
            // Also reads what the peer has sent: with unread bytes the kernel would reset the connection, and the peer could
            // lose what it has not read.
            if let Err(disconnect) = connection.check() {
                return Some(disconnect);
            }
            if let Err(error) = connection.finish().await {
                return Some(Disconnected::Failed(error));
            }
            if wait { Some(connection.peer_finished().await) } else { None }
        };
        match timeout(self.timeout.min(CLOSE_TIMEOUT), finishing).await {
            Ok(Some(disconnect)) => {
                let failure = self.disconnected(&disconnect);
                if failure.revoked > 0 { Err(failure) } else { Ok(()) }
            }
            // The peer may still read: the connection is watched until the entries are old.
            Err(_) if wait => Ok(()),
            Ok(None) | Err(_) => {
                self.connection = None;
                Ok(())
            }
        }
    }

    /// Watches the connection until entries are confirmed or revoked.
    async fn watch(&mut self) -> Result<(), SendError> {
        loop {
            let aged = self.tail.next_confirmation();
            let Some(connection) = &mut self.connection else { return std::future::pending().await };
            let is_finishing = connection.is_finishing();
            let idle = if is_finishing { Duration::MAX } else { self.keepalive.saturating_sub(connection.idle_for()) };
            let ending =
                async { if is_finishing { connection.peer_finished().await } else { connection.peer_closed().await } };
            tokio::select! {
                biased;
                disconnect = ending => {
                    let unconfirmed = self.tail.entries();
                    let failure = self.disconnected(&disconnect);
                    match (failure.revoked, unconfirmed) {
                        (0, 0) => {}
                        (0, _) => return Ok(()),
                        _ => return Err(failure),
                    }
                }
                () = sleep(aged.unwrap_or(Duration::MAX)), if aged.is_some() => {
                    if self.tail.confirm_aged() {
                        if is_finishing && self.tail.entries() == 0 {
                            self.connection = None;
                        }
                        return Ok(());
                    }
                }
                () = sleep(idle), if !is_finishing => {
                    self.finish().await?;
                    return Ok(());
                }
            }
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
        self.write(entries).await?;
        let settled = self.connection.as_mut().map_or(0, |connection| connection.take_settled(&mut self.tail));
        Ok(Sent::settled(settled))
    }

    async fn settle_some(&mut self) -> Result<Sent, SendError> {
        let Some(connection) = &mut self.connection else { return Ok(Sent::default()) };
        match connection.wait_settled(&mut self.tail, self.timeout).await {
            Ok(settled) => Ok(Sent::settled(settled)),
            Err(disconnect) => Err(self.disconnected(&disconnect)),
        }
    }
}

impl Sink for TcpSink {
    fn batching(&self) -> Batching {
        Batching::Writes
    }

    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(self.settle_some())
    }

    fn unconfirmed(&mut self) -> usize {
        self.tail.confirm_aged();
        self.tail.entries()
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(self.watch())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(self.finish())
    }
}

#[cfg(test)]
mod tests;
