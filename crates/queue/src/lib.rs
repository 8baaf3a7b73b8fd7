//! Queues: they keep entries until they are delivered.
//!
//! Each plugin has a queue. Before it runs any Lua, the log phase reserves room in every queue that a transaction goes to,
//! so that a full queue rejects the transaction as a whole; then it appends the encoded messages. Delivery leases entries
//! from the front and commits those that the sink has delivered.

mod budget;
mod durable;
mod events;
pub mod failpoint;
mod log;
mod memory;
pub mod metric;
pub mod owner;
mod record_store;
#[cfg(test)]
mod tests;
mod unconfirmed;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use budget::{Budget, Signals};
pub use durable::{DurableBounds, DurableOptions, DurableQueue, Flusher, Mode};
pub use log::{Recovered, Salvaged, SetAside, set_aside_files};
pub use memory::MemoryQueue;
pub use record_store::{Disposition, Record, RecordStore};

use crate::metric::Histogram;

/// A bound that makes a queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The queue's own bound on entries.
    MaxEntries,
    /// The queue's own bound on bytes of entries.
    MaxBytes,
    /// The queue's own bound on bytes on disk.
    MaxDiskBytes,
    /// The bound on the bytes of all queues in memory.
    MaxMemory,
    /// The bound on the bytes of all queues on disk.
    MaxDataBytes,
}

impl Bound {
    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxEntries => "queue.max_entries",
            Self::MaxBytes => "queue.max_bytes",
            Self::MaxDiskBytes => "queue.max_disk_bytes",
            Self::MaxMemory => "queue.max_memory",
            Self::MaxDataBytes => "queue.max_data_bytes",
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a reservation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// Retry when entries have been delivered.
    #[error("the queue is full ({0})")]
    Full(Bound),
    /// Use the queue that replaced it.
    #[error("the queue is closed")]
    Closed,
    /// The entries do not fit into an empty queue.
    #[error("the entries do not fit into the queue, even when it is empty")]
    TooLarge,
    /// The disk of the queue fails now.
    #[error("the disk of the queue fails")]
    Failing,
}

/// What a full queue does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Refuses new reservations until there is room: nothing is lost.
    #[default]
    Block,
    /// Drops its oldest entries that are not in flight, counted, as Kong's queues do.
    DropOldest,
}

impl Overflow {
    /// All names in settings.
    pub const NAMES: &[&str] = &[Self::Block.name(), Self::DropOldest.name()];

    /// Its name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::DropOldest => "drop_oldest",
        }
    }
}

/// How much a queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Entries at most (Kong's `queue.max_entries`).
    pub max_entries: usize,
    /// Bytes of entries at most (Kong's `queue.max_bytes`); without it the process-wide [`Budget`] alone bounds them.
    pub max_bytes: Option<usize>,
    /// What happens at the bound.
    pub overflow: Overflow,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_entries: 10_000, max_bytes: None, overflow: Overflow::Block }
    }
}

/// The end of a queue that the log phase writes.
///
/// Several threads call the methods at the same time. They are worker threads, which must not do any I/O: an
/// implementation that writes to disk does so on a thread of its own.
pub trait Queue: Send + Sync {
    /// Reserves room for `entries` entries of `bytes` bytes in total. With [`Overflow::DropOldest`] this does not fail for
    /// lack of room: the append makes room. An empty queue accepts one entry of any size.
    ///
    /// # Errors
    /// See [`ReserveError`].
    fn reserve(&self, entries: usize, bytes: usize) -> Result<(), ReserveError>;

    /// Releases a reservation.
    fn release(&self, entries: usize, bytes: usize);

    /// Releases the reservation of messages that are dropped for `reason` before they are appended, and counts them.
    fn release_dropped(&self, entries: usize, bytes: usize, reason: DropReason);

    /// Counts a refusal by [`Queue::reserve`], and reports it. `dropped` messages are dropped because of it, for
    /// [`DropReason::Overflow`]; without any, their sender got the refusal.
    fn count_refusal(&self, error: ReserveError, dropped: usize);

    /// Appends `entries`, for which as many entries and `reserved` bytes are reserved. Holds a clone of `receipt` until every
    /// entry is safe.
    fn append(&self, entries: Vec<Bytes>, reserved: usize, receipt: &Receipt);
}

/// Why an entry was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The queue was full, and it drops its oldest entries; or it refused the entry, and the plugin is not required.
    Overflow,
    /// The entry alone is larger than the queue or the transport of the sink allows.
    Oversize,
    /// Not delivered within `max_retry_time`.
    Expired,
    /// The destination refused the entry permanently; it became a dead letter.
    DeadLetter,
    /// A snippet failed, and the plugin has `on_error: drop`. The entry never was in the queue.
    Script,
    /// A body is not what its content type says (`on_body_error`). The entry never was in the queue.
    Body,
    /// The operator dropped it.
    Operator,
}

/// The future of a method of an object-safe trait.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The end of a queue that delivery reads. There is one reader at a time.
///
/// An entry waits, is leased (in flight, but still in the queue and counted in its bounds), and is settled by
/// [`Reader::settle`] or removed by [`Reader::discard`], in order. A settled entry that its destination may still lose is
/// *unconfirmed*: it stays in the queue, and on disk, but not in the bounds, until it is delivered or waits again.
pub trait Reader: Send + Sync {
    /// Waits until `entries` entries wait or the queue is closed. False if it is closed, nothing waits and nothing can still
    /// come. The future can be dropped at any time.
    fn ready(&self, entries: usize) -> BoxFuture<'_, bool>;

    /// Leases the next entries: at most `entries` and, except for the first one, at most `bytes` bytes. Does not wait for
    /// entries: the result may be empty.
    fn lease(&self, entries: usize, bytes: usize) -> BoxFuture<'_, Vec<Bytes>>;

    /// Settles the first `entries` leased entries. Of all settled entries the newest `unconfirmed` are unconfirmed; those
    /// before them are delivered, and removed.
    fn settle(&self, entries: usize, unconfirmed: usize);

    /// Removes the first `entries` leased entries, which are delivered, as are all entries before them.
    fn commit(&self, entries: usize) {
        self.settle(entries, 0);
    }

    /// Makes the newest `entries` unconfirmed entries wait again, and after them all leased entries.
    fn revoke(&self, entries: usize);

    /// Removes the first `entries` leased entries, which are dropped for `reason`.
    fn discard(&self, entries: usize, reason: DropReason);

    /// Closes the queue for new reservations; what is reserved can still be appended.
    fn close(&self);

    /// Whether [`Reader::close`] was called.
    fn is_closed(&self) -> bool;

    /// The counters now, consistent with each other.
    fn counters(&self) -> Counters;

    /// The status now.
    fn status(&self) -> QueueStatus;

    /// Drops the waiting entries for [`DropReason::Operator`]: not those in flight, those that are unconfirmed, nor those that
    /// are not safe yet. Returns how many.
    fn drop_waiting(&self) -> u64;

    /// Reads at most `entries` entries with their numbers, without leasing them, after the first `skip` entries, those in
    /// flight and those that are unconfirmed included.
    ///
    /// # Errors
    /// The disk fails, or the entries were delivered meanwhile.
    fn peek(&self, skip: usize, entries: usize) -> BoxFuture<'_, io::Result<Vec<(u64, Bytes)>>>;

    /// Waits for events that are to be logged. The reader logs them, because the threads that append must not do any I/O.
    fn events(&self) -> BoxFuture<'_, Vec<QueueEvent>>;
}

/// The status of a queue, beside its counters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueStatus {
    /// How long the oldest entry that is not settled has been in the queue; for entries of an earlier run, since their file
    /// was last written.
    pub oldest: Option<Duration>,
    /// How long the delivered entries were in the queue before they were settled for the last time.
    pub times: Histogram,
    /// The queue cannot be written now, and therefore accepts nothing.
    pub failing: bool,
    /// Entries on disk cannot be read now. The read is retried.
    pub unreadable: bool,
    /// Some of its entries are on disk, or all that it gets are written there.
    pub on_disk: bool,
    /// The queue lacks room on disk, which its unconfirmed entries take: they should be confirmed soon.
    pub lacks_room: bool,
    /// Bytes of entries that the queue holds at most, if it has a bound of its own.
    pub max_bytes: Option<usize>,
}

/// An event of a queue that the operator is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueEvent {
    /// The queue is 80 % full, where Kong warns too. Reported again only after [`QueueEvent::BackToNormal`].
    NearlyFull {
        /// Entries in the queue.
        depth: usize,
    },
    /// The queue has drained below 60 %.
    BackToNormal {
        /// Entries in the queue.
        depth: usize,
    },
    /// The queue was full and dropped its oldest entries. Reported when the total passes a power of two, so that a queue that
    /// overflows all the time does not wake its reader for each entry.
    Overflowed {
        /// Entries dropped so far.
        total: u64,
    },
    /// The queue refused reservations since the last event of this kind.
    Refused {
        /// Why.
        error: ReserveError,
        /// Refusals that went to the senders.
        refusals: u64,
        /// Messages that were dropped instead.
        dropped: u64,
    },
    /// Entries larger than the queue's `max_bytes` were dropped.
    Oversize {
        /// Their number.
        entries: u64,
        /// Bytes of the largest.
        largest: usize,
    },
    /// The queue cannot be written: nothing is acknowledged or accepted until it can.
    Failing {
        /// The error.
        error: String,
    },
    /// The queue can be written again.
    Recovered,
    /// The cursor cannot be saved: after a crash, entries would be delivered twice.
    CursorNotSaved {
        /// The error.
        error: String,
    },
    /// Entries on disk cannot be read. The read is retried until it succeeds.
    Unreadable {
        /// The error.
        error: String,
    },
    /// Entries on disk can be read again.
    Readable,
    /// Entries on disk are damaged, and were skipped.
    Corrupt {
        /// Their number.
        entries: u64,
    },
}

/// Waits until `take` returns events; `event_ready` is notified when it may.
async fn events(event_ready: &Notify, take: impl Fn() -> Vec<QueueEvent> + Send) -> Vec<QueueEvent> {
    loop {
        // Registered before the check, so that no notification between the check and the wait is missed.
        let notified = event_ready.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        let events = take();
        if !events.is_empty() {
            return events;
        }
        notified.await;
    }
}

/// The counters of a queue. In every snapshot
/// `appended + recovered == delivered + depth + dropped() + unmade() + dead_letters + corrupt`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Entries that were appended, and messages that were dropped before.
    pub appended: u64,
    /// Bytes of the appended entries.
    pub appended_bytes: u64,
    /// Entries that were delivered.
    pub delivered: u64,
    /// Bytes of the delivered entries.
    pub delivered_bytes: u64,
    /// Dropped for [`DropReason::Overflow`].
    pub dropped_overflow: u64,
    /// Dropped for [`DropReason::Oversize`].
    pub dropped_oversize: u64,
    /// Dropped for [`DropReason::Expired`].
    pub dropped_expired: u64,
    /// Dropped for [`DropReason::Operator`].
    pub dropped_operator: u64,
    /// Dropped for [`DropReason::Script`].
    pub dropped_script: u64,
    /// Dropped for [`DropReason::Body`].
    pub dropped_body: u64,
    /// Entries that were on disk when the queue was opened.
    pub recovered: u64,
    /// Damaged entries on disk, which were skipped.
    pub corrupt: u64,
    /// Entries that became dead letters ([`DropReason::DeadLetter`]).
    pub dead_letters: u64,
    /// Entries in the queue: waiting, in flight and unconfirmed.
    pub depth: usize,
    /// Bytes of the entries in the queue.
    pub bytes: usize,
    /// Settled entries that are not confirmed, which are part of `depth`.
    pub unconfirmed: usize,
    /// Bytes of the unconfirmed entries, which are part of `bytes`.
    pub unconfirmed_bytes: usize,
    /// Entries in flight, which are part of `depth`.
    pub leased: usize,
    /// Reserved entries that are not appended yet.
    pub reserved: usize,
    /// Requests, batches or lines that the queue refused.
    pub refusals: u64,
}

impl Counters {
    /// Entries that were dropped from the queue; dead letters are not.
    pub fn dropped(&self) -> u64 {
        self.dropped_overflow + self.dropped_oversize + self.dropped_expired + self.dropped_operator
    }

    /// Messages that the log phase dropped before they were appended.
    pub fn unmade(&self) -> u64 {
        self.dropped_script + self.dropped_body
    }

    /// Entries that are waiting or in flight.
    pub fn unsettled(&self) -> usize {
        self.depth - self.unconfirmed
    }

    /// Bytes of the entries that are waiting or in flight.
    pub fn unsettled_bytes(&self) -> usize {
        self.bytes - self.unconfirmed_bytes
    }

    /// Whether nothing is in the queue or reserved.
    pub fn is_idle(&self) -> bool {
        self.depth == 0 && self.reserved == 0
    }

    /// Whether every entry is settled, and nothing is reserved.
    pub fn is_settled(&self) -> bool {
        self.unsettled() == 0 && self.reserved == 0
    }

    /// Adds the counters of another queue of the same plugin.
    pub fn add(&mut self, other: &Self) {
        let Self {
            appended,
            appended_bytes,
            delivered,
            delivered_bytes,
            dropped_overflow,
            dropped_oversize,
            dropped_expired,
            dropped_operator,
            dropped_script,
            dropped_body,
            recovered,
            corrupt,
            dead_letters,
            depth,
            bytes,
            unconfirmed,
            unconfirmed_bytes,
            leased,
            reserved,
            refusals,
        } = *other;
        self.appended += appended;
        self.appended_bytes += appended_bytes;
        self.delivered += delivered;
        self.delivered_bytes += delivered_bytes;
        self.dropped_overflow += dropped_overflow;
        self.dropped_oversize += dropped_oversize;
        self.dropped_expired += dropped_expired;
        self.dropped_operator += dropped_operator;
        self.dropped_script += dropped_script;
        self.dropped_body += dropped_body;
        self.recovered += recovered;
        self.corrupt += corrupt;
        self.dead_letters += dead_letters;
        self.depth += depth;
        self.bytes += bytes;
        self.unconfirmed += unconfirmed;
        self.unconfirmed_bytes += unconfirmed_bytes;
        self.leased += leased;
        self.reserved += reserved;
        self.refusals += refusals;
    }

    /// Counts a refusal, because of which `dropped` messages are dropped.
    fn count_refusal(&mut self, dropped: usize) {
        match dropped {
            0 => self.refusals += 1,
            _ => self.count_unmade(dropped, DropReason::Overflow),
        }
    }

    fn count_unmade(&mut self, messages: usize, reason: DropReason) {
        self.appended += messages as u64;
        self.count_dropped(messages as u64, reason);
    }

    fn count_dropped(&mut self, entries: u64, reason: DropReason) {
        match reason {
            DropReason::Overflow => self.dropped_overflow += entries,
            DropReason::Oversize => self.dropped_oversize += entries,
            DropReason::Expired => self.dropped_expired += entries,
            DropReason::DeadLetter => self.dead_letters += entries,
            DropReason::Script => self.dropped_script += entries,
            DropReason::Body => self.dropped_body += entries,
            DropReason::Operator => self.dropped_operator += entries,
        }
    }
}

/// Acknowledges a batch to its input when the last clone is dropped: each queue holds one until the entries are safe.
#[derive(Clone)]
pub struct Receipt {
    _waiting: Arc<Waiting>,
}

struct Waiting {
    done: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Receipt {
    /// A receipt that calls `done` once, when the last clone of it is dropped.
    pub fn new(done: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { _waiting: Arc::new(Waiting { done: Some(Box::new(done)) }) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done();
        }
    }
}
