//! The interface of every sink: how it is opened, how entries are handed to it, and how it says what went wrong.

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

use self::file::Writers;
use self::resend::{ResendBudget, ResendBuffer};
use logphase_net::tls::TlsConfigs;

/// Makes a plugin's sink from its validated `config` ([`crate::plugin::Definition::open`]). It connects to nothing.
pub type Open = fn(&Value, &SinkShared) -> Result<Box<dyn Sink>, OpenError>;

/// A future that an object-safe trait returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Delivers entries to one destination, in order.
///
/// A sink may *settle* entries later than it takes them: [`Sink::send`] puts them on their way, and this or a later
/// call says how many of the oldest that are outstanding are delivered for good. Whoever calls keeps the
/// others. After an error nothing is outstanding any more: what was not settled is to be sent again from its first
/// entry on, so that an entry can arrive twice but none is lost.
pub trait Sink: Send {
    /// Puts `entries` on their way, after those sent before. May be called with none, to mend a broken connection.
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>>;

    /// Waits until something of what is outstanding has settled. Called only when something is.
    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(std::future::ready(Ok(Sent::default())))
    }

    /// Looks after an idle destination. Ends when the sink wants to be sent to (with no entries if there are none);
    /// the future may be dropped at any time.
    fn maintain(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Entries that settled, and that the destination is known to have lost perhaps all the same (a connection was cut
    /// off): what this sink would have sent again. Another sink of the same kind takes its place.
    fn take_unconfirmed(&mut self) -> Vec<Bytes> {
        Vec::new()
    }

    /// Takes over what another sink of the same kind would have sent again.
    fn adopt_unconfirmed(&mut self, _entries: Vec<Bytes>) {}

    /// Says goodbye to the destination. Nothing is sent afterwards.
    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Bytes that may be on their way unsettled before the sink is asked to settle rather than to send.
    fn window(&self) -> usize {
        4 << 20
    }

    /// How much is to be handed over at once.
    fn batching(&self) -> Batching {
        Batching::Stream
    }
}

/// How much a sink takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// Whatever is there, without waiting: batches have no meaning at the destination.
    Stream,
    /// Batches as `queue.max_batch_size` and `queue.max_coalescing_delay` shape them.
    Batches,
    /// Whatever is there, also while others are on their way: entries do not wait for each other. The future of
    /// [`Sink::settle`] may be dropped at any time. An entry that is given up is given up alone.
    Parallel,
}

/// What a call of [`Sink::send`] or [`Sink::settle`] has brought.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How many of the oldest outstanding entries are delivered for good.
    pub settled: usize,
    /// How many entries that had settled earlier are now known to be lost (a refused datagram).
    pub lost: u64,
    /// Something to tell the operator though nothing failed.
    pub warning: Option<String>,
}

impl Sent {
    /// `settled` entries and nothing else to say.
    pub fn settled(settled: usize) -> Self {
        Self { settled, ..Self::default() }
    }
}

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The destination fails now; later it may work.
    Retryable,
    /// The first entry that is not delivered will never be; those after it may.
    Permanent,
    /// As [`FailureKind::Permanent`]: the entry is larger than the transport takes.
    TooLarge,
}

/// Entries were not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// How many of the oldest outstanding entries were delivered for good all the same.
    pub delivered: usize,
    /// What is to be done.
    pub kind: FailureKind,
    /// What, where, and what to do.
    pub message: String,
    /// How long the destination asks to be left alone (HTTP's `Retry-After`); the pause is not shorter than that.
    pub retry_after: Option<Duration>,
}

impl SendError {
    /// An error that later attempts may not meet.
    pub fn retry(delivered: usize, message: impl Into<String>) -> Self {
        Self::new(delivered, FailureKind::Retryable, message)
    }

    /// An error after `delivered` entries that is to be dealt with as `kind` says.
    pub fn new(delivered: usize, kind: FailureKind, message: impl Into<String>) -> Self {
        Self { delivered, kind, message: message.into(), retry_after: None }
    }
}

/// A sink cannot be made from its configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Such plugins have none.
    #[error("{kind} delivers nothing: it has no sink")]
    NoSink {
        /// The plugin's name.
        kind: String,
    },
    /// The configuration does not fit the plugin's fields.
    #[error("{kind}: config: {reason}")]
    Config {
        /// The plugin's name.
        kind: String,
        /// What does not fit.
        reason: String,
    },
    /// Something that the sink needs before it can begin cannot be read.
    #[error("{kind}: {reason}")]
    Setup {
        /// The plugin's name.
        kind: String,
        /// What cannot be read, and what to do.
        reason: String,
    },
}

/// What the sinks of a process share. Cheap to clone.
#[derive(Clone)]
pub struct SinkShared {
    pub(super) writers: Arc<Writers>,
    pub(super) tls: Arc<TlsConfigs>,
    pub(super) kafka: Arc<logphase_kafka::producer::Producers>,
    resend_budget: Arc<ResendBudget>,
}

/// The bytes that all sinks together keep of what they have written lately.
const RESENDS_BYTES: usize = 32 << 20;
/// The bytes that one sink keeps so. More than Linux buffers unread on a TCP socket by default (`tcp_rmem`: 6 MiB).
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

    /// Makes every file sink open its file anew before it writes the next line (SIGHUP, SIGUSR1).
    pub fn reopen_all(&self) {
        self.writers.reopen_all();
    }

    pub(super) fn resend_buffer(&self, max_age: Duration) -> ResendBuffer {
        ResendBuffer::new(RESEND_BYTES, max_age, self.resend_budget.clone())
    }
}

/// Reads what a sink needs of the validated `config` of plugin `kind_name`.
///
/// # Errors
/// The configuration lacks a field that the sink needs, or has it with another type.
pub fn parse<C: serde::de::DeserializeOwned>(kind_name: &str, config: &Value) -> Result<C, OpenError> {
    C::deserialize(config).map_err(|error| OpenError::Config { kind: kind_name.to_owned(), reason: error.to_string() })
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
