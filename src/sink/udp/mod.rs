//! One UDP datagram per message.
//!
//! Nothing acknowledges a datagram: a message counts as delivered when the kernel has accepted it. The same holds for a large
//! message that goes over TCP when the receiver's kernel has it; it is sent again if the connection breaks, but not in the next
//! run. If the network reports
//! with an ICMP message that no receiver listens, the datagram counts as lost.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::sink::line_format::formatted;
use crate::sink::tcp::TcpSink;
use crate::sink::{BoxFuture, ConfigError, FailureKind, SendError, Sent, Sink, SinkShared, defaults, parse};

/// The largest payload of a UDP datagram over IPv4 in bytes: 65,535 minus the two headers (RFC 768, RFC 791).
pub const MAX_DATAGRAM: usize = 65_507;

/// What happens to a message that does not fit into a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oversize {
    /// It is dropped, counted, and logged with its size.
    #[default]
    Drop,
    /// It is sent over TCP, with a newline, to the same host and port.
    Tcp,
    /// Its first [`MAX_DATAGRAM`] bytes are sent, cut at a character boundary. The result is not valid JSON.
    Truncate,
}

impl Oversize {
    /// The names of all variants in settings.
    pub const NAMES: &[&str] = &[Self::Drop.name(), Self::Tcp.name(), Self::Truncate.name()];

    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Tcp => "tcp",
            Self::Truncate => "truncate",
        }
    }
}

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Host name or IP address of the receiver.
    pub host: String,
    /// Port of the receiver.
    pub port: u16,
    /// Limit on resolving the name and on sending one datagram, in milliseconds.
    #[serde(default = "defaults::timeout")]
    pub timeout: u64,
    /// What happens to a message that is too large. Not in Kong, which logs an error and drops it.
    #[serde(default)]
    pub oversize: Oversize,
}

/// Sends each message as a datagram from a connected socket.
pub struct UdpSink {
    host: String,
    port: u16,
    timeout: Duration,
    oversize: Oversize,
    // What an operator can do about a message that is dropped as too large.
    advice: &'static str,
    socket: Option<UdpSocket>,
    large: TcpSink,
    // The messages that `large` has and that are not confirmed, and those that it is to send again.
    over_tcp: VecDeque<Bytes>,
    // How many of the newest are to be sent again.
    again: usize,
    // Number of lost entries that are not reported yet.
    lost: u64,
    // An earlier datagram was refused: the name is resolved again after the batch.
    refused: bool,
}

enum Failure {
    TooLarge,
    Io(io::Error),
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// A field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    formatted(config, Box::new(UdpSink::new(parse(config)?, shared)))
}

impl UdpSink {
    /// Makes a sink for `config`. It resolves the name when the first entry is sent, and again after a failure.
    pub fn new(config: Config, shared: &SinkShared) -> Self {
        Self {
            large: TcpSink::plain(config.host.clone(), config.port, config.timeout, shared),
            host: config.host,
            port: config.port,
            timeout: Duration::from_millis(config.timeout.max(1)),
            oversize: config.oversize,
            advice: "set config.oversize to tcp or truncate to have such messages sent",
            socket: None,
            over_tcp: VecDeque::new(),
            again: 0,
            lost: 0,
            refused: false,
        }
    }

    /// Makes a sink that drops messages that are too large, with `advice` in the error; `timeout` is in milliseconds.
    pub(crate) fn dropping(host: String, port: u16, timeout: u64, advice: &'static str, shared: &SinkShared) -> Self {
        let config = Config { host, port, timeout, oversize: Oversize::Drop };
        Self { advice, ..Self::new(config, shared) }
    }

    async fn send_all(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        for (index, entry) in entries.iter().enumerate() {
            let failure = match self.send_datagram(entry).await {
                Ok(()) => continue,
                Err(failure) => failure,
            };
            match failure {
                Failure::Io(error) => {
                    self.socket = None;
                    let (host, port) = (&self.host, self.port);
                    return Err(SendError::retry(index, format!("cannot send to {host}:{port}: {error}")));
                }
                Failure::TooLarge => {
                    self.send_large(entry).await.map_err(|error| SendError { delivered: index, ..error })?
                }
            }
        }
        let mut sent = Sent { settled: entries.len(), lost: std::mem::take(&mut self.lost), warning: None };
        if sent.lost > 0 {
            let (host, port, lost) = (&self.host, self.port, sent.lost);
            sent.warning = Some(format!("no receiver listens at {host}:{port}: {lost} datagrams lost; start it"));
        }
        if std::mem::take(&mut self.refused) {
            self.socket = None;
        }
        Ok(sent)
    }

    async fn send_datagram(&mut self, payload: &[u8]) -> Result<(), Failure> {
        if payload.len() > MAX_DATAGRAM {
            return Err(Failure::TooLarge);
        }
        self.connect().await.map_err(Failure::Io)?;
        let Some(socket) = &self.socket else { return Ok(()) };
        // The first attempt may report the refusal of an earlier datagram.
        for _ in 0..2 {
            let sending = timeout(self.timeout, socket.send(payload)).await;
            match sending.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(_) => return Ok(()),
                Err(error) if Errno::from_io_error(&error) == Some(Errno::MSGSIZE) => return Err(Failure::TooLarge),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.lost += 1;
                    self.refused = true;
                }
                Err(error) => return Err(Failure::Io(error)),
            }
        }
        // Refused twice in a row: the second refusal also concerns an earlier datagram; this one was not sent.
        Err(Failure::Io(io::ErrorKind::ConnectionRefused.into()))
    }

    async fn send_large(&mut self, entry: &Bytes) -> Result<(), SendError> {
        let dropped = |limit: &str| {
            let message = format!("a message of {} bytes does not fit into a datagram{limit}", entry.len());
            SendError::new(0, FailureKind::TooLarge, message)
        };
        match self.oversize {
            Oversize::Drop => Err(dropped(&format!(" of {MAX_DATAGRAM} bytes; {}", self.advice))),
            Oversize::Truncate => match self.send_datagram(truncated(entry)).await {
                Ok(()) => Ok(()),
                Err(Failure::TooLarge) => Err(dropped(", nor does its beginning")),
                Err(Failure::Io(error)) => {
                    self.socket = None;
                    Err(SendError::retry(0, format!("cannot send to {}:{}: {error}", self.host, self.port)))
                }
            },
            Oversize::Tcp => self.send_over_tcp(entry).await,
        }
    }

    /// Sends a message over TCP, after those that a broken connection may have lost.
    async fn send_over_tcp(&mut self, entry: &Bytes) -> Result<(), SendError> {
        self.over_tcp.push_back(entry.clone());
        let (mut waiting, mut sent) = (self.again + 1, false);
        let failure = loop {
            let result = if sent {
                self.large.settle().await
            } else {
                let from = self.over_tcp.len() - waiting;
                self.large.send(&self.over_tcp.make_contiguous()[from..]).await
            };
            sent = true;
            match result {
                Ok(progress) => waiting -= progress.settled.min(waiting),
                Err(error) => {
                    waiting = waiting - error.delivered.min(waiting) + error.revoked;
                    break Some(error);
                }
            }
            if waiting == 0 {
                break None;
            }
        };
        // The caller gives the message again after an error.
        self.again = waiting.saturating_sub(1);
        let unconfirmed = self.large.unconfirmed() + self.again;
        if waiting > 0 {
            self.over_tcp.pop_back();
        }
        self.over_tcp.drain(..self.over_tcp.len().saturating_sub(unconfirmed));
        failure.filter(|_| waiting > 0).map_or(Ok(()), Err)
    }

    async fn connect(&mut self) -> io::Result<()> {
        if self.socket.is_some() {
            return Ok(());
        }
        let resolving = timeout(self.timeout, tokio::net::lookup_host((self.host.as_str(), self.port))).await;
        let addresses = resolving.map_err(|_| io::Error::other("the name server does not answer"))??;
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match connected(address).await {
                Ok(socket) => {
                    self.socket = Some(socket);
                    return Ok(());
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

async fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// The first [`MAX_DATAGRAM`] bytes of `entry`, or fewer so that no UTF-8 sequence is cut.
fn truncated(entry: &[u8]) -> &[u8] {
    let mut end = entry.len().min(MAX_DATAGRAM);
    if end < entry.len() {
        while end > 0 && entry[end] & 0xc0 == 0x80 {
            end -= 1;
        }
    }
    &entry[..end]
}

impl Sink for UdpSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move {
            if let Err(error) = self.large.close().await {
                let from = self.over_tcp.len().saturating_sub(self.again + error.revoked);
                self.large.send(&self.over_tcp.make_contiguous()[from..]).await?;
                // Nothing more is known about datagrams, either.
                let _ = self.large.close().await;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
