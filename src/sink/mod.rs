//! Sinks: each delivers entries over one transport. This module is their interface to delivery.
//!
//! The module of a transport has a function `open` that makes a sink from a plugin's `config` ([`Opener`]). It does not
//! depend on any plugin.

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
pub trait Sink: Send {
    /// Sends `entries` after those sent before. A call without entries reopens a lost connection.
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>>;

    /// Waits until outstanding entries have settled. Called only if entries are outstanding.
    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(std::future::ready(Ok(Sent::default())))
    }

    /// Maintains the connection while nothing is sent. Ends when the sink needs a call of [`Sink::send`], if necessary
    /// without entries. The future may be dropped at any time.
    fn maintain(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Takes the settled entries that the destination may have lost with a broken connection, and that this sink would send
    /// again. Called when another sink of the same kind replaces it.
    fn take_unconfirmed(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    /// Accepts the entries that the replaced sink would have sent again.
    fn adopt_unconfirmed(&mut self, _entries: Vec<Bytes>) {}

    /// Closes the connection in order. Nothing is sent afterwards.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Bytes that may be outstanding before delivery waits for the sink to settle.
    fn window(&self) -> usize {
        4 << 20
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
    /// How many settled entries are now known to be lost (refused datagrams).
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
        Self { delivered, kind, message: message.into(), retry_after: None }
    }
}

/// The state that all sinks of a process share. Cheap to clone.
#[derive(Clone)]
pub struct SinkShared {
    pub(super) writers: Arc<Writers>,
    pub(super) tls: Arc<TlsConfigs>,
    pub(super) kafka: Arc<logphase_kafka::producer::Producers>,
    resend_budget: Arc<ResendBudget>,
}

/// Limit on the resend buffers of all sinks together, in bytes.
const TOTAL_RESEND_BYTES: usize = 32 << 20;
/// Limit on the resend buffer of one sink, in bytes: more than Linux buffers unread on a TCP socket by default (`tcp_rmem`:
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
