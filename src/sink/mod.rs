//! Sinks: each delivers entries over one transport. This module is the interface that they share with delivery.
//!
//! A transport's module has `open`, which makes a sink from a plugin's `config` ([`Opener`]), and knows no plugin.

mod config_error;
pub mod file;
pub mod http;
pub mod kafka;
mod resend;
pub mod syslog;
pub mod tcp;
pub mod udp;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

pub use self::config_error::{ConfigError, parse};
use self::file::Writers;
use self::resend::{ResendBudget, ResendBuffer};
use logphase_net::tls::TlsConfigs;

/// A sink, or every field that it cannot use.
pub type Opened = Result<Box<dyn Sink>, Vec<ConfigError>>;

/// Makes a sink from a validated `config` in which every default is filled in. It connects to nothing, so that a service
/// whose destination is away starts all the same; what is wrong with the destination comes up when entries are sent.
#[derive(Debug, Clone, Copy)]
pub struct Opener(pub fn(&Value, &SinkShared) -> Opened);

impl Opener {
    /// Makes a sink.
    ///
    /// # Errors
    /// Every field that the sink cannot use.
    pub fn open(self, config: &Value, shared: &SinkShared) -> Opened {
        (self.0)(config, shared)
    }
}

impl PartialEq for Opener {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

/// A future that an object-safe trait returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Delivers entries to one destination, in order.
///
/// A sink may *settle* entries later than it takes them: [`Sink::send`] sends them, and this or a later call says how many
/// of the oldest outstanding entries are delivered for good. The caller keeps the others. After an error nothing is
/// outstanding: the caller sends again everything that has not settled, so that an entry can arrive twice but none is
/// lost.
pub trait Sink: Send {
    /// Sends `entries`, after those sent before. May be called with none, to open a lost connection again.
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>>;

    /// Waits until outstanding entries have settled. Called only when there are some.
    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(std::future::ready(Ok(Sent::default())))
    }

    /// Maintains the connection while nothing is sent. Ends when the sink needs a call of [`Sink::send`] (without entries if
    /// there are none); the future may be dropped at any time.
    fn maintain(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Entries that have settled but that the destination may have lost, because a connection was cut off: this sink would
    /// send them again. Called when another sink of the same kind replaces it.
    fn take_unconfirmed(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    /// Takes the entries that the replaced sink would have sent again.
    fn adopt_unconfirmed(&mut self, _entries: Vec<Bytes>) {}

    /// Closes the connection in order. Nothing is sent afterwards.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Bytes that may be outstanding before delivery waits for the sink to settle.
    fn window(&self) -> usize {
        4 << 20
    }

    /// How many entries the sink wants at once.
    fn batching(&self) -> Batching {
        Batching::Stream
    }
}

/// How many entries a sink takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// Whatever is there, without waiting: batches mean nothing to the destination.
    Stream,
    /// Batches as `queue.max_batch_size` and `queue.max_coalescing_delay` shape them.
    Batches,
    /// Whatever is there, also while others are outstanding: entries do not wait for each other. The future of
    /// [`Sink::settle`] may be dropped at any time. An entry that is given up takes no other with it.
    Parallel,
}

/// The result of [`Sink::send`] or [`Sink::settle`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How many of the oldest outstanding entries are delivered for good.
    pub settled: usize,
    /// How many entries that had settled before turned out to be lost (a refused datagram).
    pub lost: u64,
    /// A warning for the operator, though nothing failed.
    pub warning: Option<String>,
}

impl Sent {
    /// `settled` entries, and no warning.
    pub fn settled(settled: usize) -> Self {
        Self { settled, ..Self::default() }
    }
}

/// What an error means for the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// A later attempt may succeed.
    Retryable,
    /// No attempt will deliver the first entry that is not delivered; those after it may be.
    Permanent,
    /// As [`FailureKind::Permanent`], because the entry is larger than the transport takes.
    TooLarge,
}

/// Entries were not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// How many of the oldest outstanding entries were delivered for good before the error.
    pub delivered: usize,
    /// What it means for the first entry that was not.
    pub kind: FailureKind,
    /// What, where, and what to do.
    pub message: String,
    /// How long the destination asks to wait (HTTP's `Retry-After`), at least.
    pub retry_after: Option<Duration>,
}

impl SendError {
    /// An error after `delivered` entries after which another attempt may succeed.
    pub fn retry(delivered: usize, message: impl Into<String>) -> Self {
        Self::new(delivered, FailureKind::Retryable, message)
    }

    /// An error after `delivered` entries.
    pub fn new(delivered: usize, kind: FailureKind, message: impl Into<String>) -> Self {
        Self { delivered, kind, message: message.into(), retry_after: None }
    }
}

/// What the sinks of a process share. Cheap to clone.
#[derive(Clone)]
pub struct SinkShared {
    pub(super) writers: Arc<Writers>,
    pub(super) tls: Arc<TlsConfigs>,
    pub(super) kafka: Arc<logphase_kafka::producer::Producers>,
    resend_budget: Arc<ResendBudget>,
}

/// The bytes that all sinks together keep to send again.
const RESENDS_BYTES: usize = 32 << 20;
/// The bytes that one sink keeps to send again: more than Linux buffers unread on a TCP socket by default (`tcp_rmem`: 6 MiB).
const RESEND_BYTES: usize = 8 << 20;

impl SinkShared {
    /// What sinks share; `tls_roots` is a PEM file of certificates to trust beside the system's.
    pub fn new(tls_roots: Option<PathBuf>) -> Self {
        Self {
            writers: Arc::new(Writers::default()),
            tls: Arc::new(TlsConfigs::new(tls_roots)),
            kafka: Arc::default(),
            resend_budget: Arc::new(ResendBudget::new(RESENDS_BYTES)),
        }
    }

    /// Makes every file sink open its file again before it writes the next line (SIGHUP, SIGUSR1).
    pub fn reopen_all(&self) {
        self.writers.reopen_all();
    }

    pub(super) fn resend_buffer(&self, max_age: Duration) -> ResendBuffer {
        ResendBuffer::new(RESEND_BYTES, max_age, self.resend_budget.clone())
    }
}

/// Kong's defaults of fields that several plugins have, for sinks that are opened without them.
pub(super) mod defaults {
    /// Milliseconds of `timeout`.
    pub const fn timeout() -> u64 {
        10_000
    }

    /// Milliseconds of `keepalive`.
    pub const fn keepalive() -> u64 {
        60_000
    }

    /// `ssl_verify`.
    pub const fn verify() -> bool {
        true
    }
}
