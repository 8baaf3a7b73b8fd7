//! Sinks: each delivers entries over one transport. This module is their interface to delivery.
//!
//! The module of a transport has a function `open` that makes a sink from a plugin's `config` ([`Opener`]). It does not
//! depend on any plugin.

mod config_error;
pub mod file;
pub mod http;
pub mod kafka;
mod line_format;
pub mod otlp;
mod requests;
mod resend;
mod rewrite;
pub mod statsd;
pub mod syslog;
mod tail;
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
pub(crate) use self::line_format::one_line;
use self::resend::{ResendBudget, ResendBuffer};
use self::tail::Tail;
use logphase_net::tls::TlsConfigs;

/// A sink, or an error for every field that it cannot use.
pub type Opened = Result<Box<dyn Sink>, Vec<ConfigError>>;

/// Makes a sink from a validated `config` that contains every default. It does not connect, so that the service starts even
/// if the destination is unreachable; errors of the destination occur when entries are sent.
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

/// A boxed future, as object-safe traits return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Delivers entries to one destination, in order.
///
/// A sink may *settle* entries later than it accepts them: [`Sink::send`] sends them, and this or a later call returns how
/// many of the oldest outstanding entries are delivered. The caller keeps the others. After an error nothing is
/// outstanding: the caller sends again every entry that has not settled, so that an entry can arrive twice but none is
/// lost.
///
/// A destination may lose settled entries: a receiver dies with what its system has acknowledged, a machine with what is
/// not on its disk. Such entries are *unconfirmed* ([`Sink::unconfirmed`]): the caller keeps them, if its queue is on disk
/// also for the next run. An error says how many of them are to be sent again ([`SendError::revoked`]).
pub trait Sink: Send {
    /// Sends `entries` after those sent before. A call without entries reopens a lost connection.
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>>;

    /// Waits until outstanding entries have settled. Called only if entries are outstanding.
    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(std::future::ready(Ok(Sent::default())))
    }

    /// How many of the newest settled entries are unconfirmed.
    fn unconfirmed(&mut self) -> usize {
        0
    }

    /// Maintains the connection while nothing is outstanding. Ends when entries are confirmed. The future may be dropped at any
    /// time.
    ///
    /// # Errors
    /// Unconfirmed entries are to be sent again, or the sink needs a call of [`Sink::send`].
    fn maintain(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(std::future::pending())
    }

    /// Closes the connection in order, and waits for a limited time until its entries are confirmed. A later call of
    /// [`Sink::send`] opens it again. Called only if nothing is outstanding.
    ///
    /// # Errors
    /// Unconfirmed entries are to be sent again.
    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Bytes that may be outstanding before delivery waits for the sink to settle.
    fn window(&self) -> usize {
        4 << 20
    }

    /// What is sent in the place of `entry`, by lines or datagrams; none if the entry is sent as it is, or with a header.
    fn preview(&self, _entry: &Bytes) -> Option<Vec<Bytes>> {
        None
    }

    /// How delivery groups the entries of a call.
    fn batching(&self) -> Batching {
        Batching::Stream
    }
}

/// How delivery groups the entries that it gives to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// All available entries, without waiting: the destination does not see batches.
    Stream,
    /// The same, once a millisecond: one write takes what has come since the last one.
    Writes,
    /// Batches according to `queue.max_batch_size` and `queue.max_coalescing_delay`.
    Batches,
    /// All available entries, also while others are outstanding: entries do not wait for each other. The future of
    /// [`Sink::settle`] may be dropped at any time. Giving up one entry does not affect the others.
    Parallel,
}

/// The result of [`Sink::send`] or [`Sink::settle`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How many of the oldest outstanding entries are delivered.
    pub settled: usize,
    /// How many settled entries are now known to be lost (refused datagrams; log records that a receiver of OpenTelemetry has
    /// not taken).
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
    /// No attempt will deliver the first undelivered entry; later entries may still be delivered.
    Permanent,
    /// Like [`FailureKind::Permanent`]: the entry is larger than the transport allows.
    TooLarge,
}

/// Entries were not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// How many of the oldest outstanding entries were delivered before the error.
    pub delivered: usize,
    /// How many of the newest settled entries, the `delivered` ones included, are to be sent again: the destination may have
    /// lost them.
    pub revoked: usize,
    /// What the error means for the first undelivered entry.
    pub kind: FailureKind,
    /// What failed, where, and what to do.
    pub message: String,
    /// The minimum time to wait, if the destination requests one (HTTP's `Retry-After`).
    pub retry_after: Option<Duration>,
}

impl SendError {
    /// A retryable error after `delivered` entries.
    pub fn retry(delivered: usize, message: impl Into<String>) -> Self {
        Self::new(delivered, FailureKind::Retryable, message)
    }

    /// An error after `delivered` entries.
    pub fn new(delivered: usize, kind: FailureKind, message: impl Into<String>) -> Self {
        Self { delivered, revoked: 0, kind, message: message.into(), retry_after: None }
    }
}

/// The state that all sinks of a process share. Cheap to clone.
#[derive(Clone)]
pub struct SinkShared {
    pub(super) writers: Arc<Writers>,
    pub(super) tls: Arc<TlsConfigs>,
    pub(super) kafka: Arc<logphase_kafka::producer::Producers>,
    resend_budget: Arc<ResendBudget>,
    queue_on_disk: bool,
}

/// Limit on the resend buffers of all sinks together, in bytes.
const TOTAL_RESEND_BYTES: usize = 32 << 20;
/// Limit on what one sink would send again, in bytes: more than Linux buffers unread on a TCP socket by default (`tcp_rmem`:
/// 6 MiB).
const RESEND_BYTES: usize = 8 << 20;

impl SinkShared {
    /// Makes the shared state; `tls_roots` is a PEM file of certificates to trust in addition to the system's.
    pub fn new(tls_roots: Option<PathBuf>) -> Self {
        Self {
            writers: Arc::new(Writers::default()),
            tls: Arc::new(TlsConfigs::new(tls_roots)),
            kafka: Arc::default(),
            resend_budget: Arc::new(ResendBudget::new(TOTAL_RESEND_BYTES)),
            queue_on_disk: false,
        }
    }

    /// The same, with permissions `mode` for files that sinks create. For the start: writers that exist are forgotten.
    #[must_use]
    pub fn creating_files(self, mode: u32) -> Self {
        Self { writers: Arc::new(Writers::creating(mode)), ..self }
    }

    /// The state for the sink of a queue that is on disk or not. A queue on disk keeps unconfirmed entries at no cost of
    /// memory, and its sink counts nothing as confirmed that a failure of the machine loses.
    pub fn for_queue(&self, on_disk: bool) -> Self {
        Self { queue_on_disk: on_disk, ..self.clone() }
    }

    /// Makes every file sink open its file again before it writes the next line (SIGHUP, SIGUSR1).
    pub fn reopen_all(&self) {
        self.writers.reopen_all();
    }

    pub(super) fn resend_buffer(&self, max_age: Duration) -> ResendBuffer {
        ResendBuffer::new(RESEND_BYTES, max_age, self.resend_budget.clone())
    }

    fn tail(&self, max_age: Duration) -> Tail {
        // A queue in memory holds the entries; they share a budget.
        let budget = (!self.queue_on_disk).then(|| self.resend_budget.clone());
        Tail::new(RESEND_BYTES, max_age, budget)
    }
}

/// Kong's defaults for fields that several plugins have.
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
