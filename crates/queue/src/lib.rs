//! What keeps entries until they are delivered.
//!
//! One queue per plugin. The log phase reserves room on every queue that a transaction goes to before it runs
//! a line of Lua, so that a full queue refuses a transaction whole; it then appends the encoded messages.
//! Delivery reads from the front and commits what the sink has taken.

mod archive;
mod budget;
mod durable;
pub mod failpoint;
mod log;
mod memory;
pub mod metric;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use archive::{Archive, Fate, Record};
pub use budget::{Budget, Signals};
pub use durable::{DurableBounds, DurableOptions, DurableQueue, Flusher};
pub use log::Recovered;
pub use memory::MemoryQueue;

use crate::metric::Histogram;

/// A queue had no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// There will be room when entries have been delivered. Also said by a queue that was closed: ask the queue
    /// of the configuration that replaced it.
    Full,
    /// More than the queue holds when it is empty.
    Never,
    /// The queue's disk fails now: nothing could be made safe.
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

/// Where one plugin's entries wait for delivery, in order.
///
/// Every method is called from several threads. `reserve`, `release` and `append` are called on worker threads
/// that may do no I/O: an implementation that writes to disk hands over to a thread of its own.
pub trait Queue: Send + Sync {
    /// Sets room aside for `entries` entries of `bytes` bytes together. With [`Overflow::DropOldest`] it never
    /// refuses: room is made when the entries are appended. A queue that is empty takes one entry of any size.
    fn reserve(&self, entries: usize, bytes: usize) -> Result<(), NoRoom>;

    /// Gives a reservation back unused.
    fn release(&self, entries: usize, bytes: usize);

    /// The same for messages that will never be made, and are counted as dropped for `reason`.
    fn forgo(&self, entries: usize, bytes: usize, reason: DropReason);

    /// Appends `entries`, turning a reservation of as many entries and `reserved` bytes into what they really take.
    /// Holds a clone of `receipt` until every one of them is safe.
    fn append(&self, entries: Vec<Bytes>, reserved: usize, receipt: &Receipt);
}

/// Why an entry was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The queue was full and drops its oldest.
    Overflow,
    /// The entry alone is larger than the queue's bound, or than the sink's transport takes.
    Oversize,
    /// Not delivered within `max_retry_time`.
    Expired,
    /// The destination refused this very entry for good, and it is kept among the dead letters.
    DeadLetter,
    /// A snippet failed, and the plugin has `on_error: drop`. It never was in the queue.
    Script,
    /// A body is not what its content type says (`on_body_error`). It never was in the queue.
    Body,
    /// The operator asked for it.
    Operator,
}

/// A future that an object-safe trait returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The end of a queue that delivery reads. There is one reader at a time.
///
/// An entry goes through three states: waiting, leased (in flight, still in the queue and within its bounds), and
/// gone by [`Reader::commit`] or [`Reader::discard`]. Only the front of what is leased can go.
pub trait Reader: Send + Sync {
    /// Waits until `entries` entries are waiting or the queue is closed. False when it is closed and nothing is
    /// waiting or can still come: the reader's work is done. Dropping the future loses nothing.
    fn ready(&self, entries: usize) -> BoxFuture<'_, bool>;

    /// Leases the next waiting entries: at most `entries` and, but for the first one, at most `bytes` bytes.
    /// Does not wait; empty if nothing is waiting.
    fn lease(&self, entries: usize, bytes: usize) -> BoxFuture<'_, Vec<Bytes>>;

    /// The first `entries` leased entries are delivered.
    fn commit(&self, entries: usize);

    /// The first `entries` leased entries are given up.
    fn discard(&self, entries: usize, reason: DropReason);

    /// Refuses reservations from now on; what was reserved may still be appended.
    fn close(&self);

    /// Whether [`Reader::close`] was called.
    fn is_closed(&self) -> bool;

    /// The counters of this moment, consistent with each other.
    fn counters(&self) -> Counters;

    /// What else is known at this moment.
    fn condition(&self) -> Condition;

    /// Drops what waits, as the operator asks; not what is in flight, nor what is not safe yet. Returns how many.
    fn drop_waiting(&self) -> u64;

    /// Reads without leasing: leaves out the first `skip` entries, those in flight counted, and gives the next ones with
    /// their numbers, at most `entries`.
    ///
    /// # Errors
    /// The disk does not give them, or the queue was emptied past them meanwhile.
    fn peek(&self, skip: usize, entries: usize) -> BoxFuture<'_, io::Result<Vec<(u64, Bytes)>>>;

    /// Waits for something to tell the operator. Those who append may do no I/O, so the reader's side says it.
    fn notices(&self) -> BoxFuture<'_, Vec<Notice>>;
}

/// How a queue fares.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Condition {
    /// How long the oldest entry has been in it; of those that an earlier run has left, the time since their file was
    /// last written.
    pub oldest: Option<Duration>,
    /// From when they came in to when they were delivered, of all entries that were.
    pub times: Histogram,
    /// What was appended cannot be made safe now.
    pub failing: bool,
    /// Bytes of entries that the queue holds at most, if there is a bound of its own.
    pub max_bytes: Option<usize>,
}

/// Something about a queue that the operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The queue has become 80 % full, as Kong warns; said again only after [`Notice::BackToNormal`].
    NearlyFull {
        /// Entries in the queue.
        depth: usize,
    },
    /// The queue has drained below 60 %.
    BackToNormal {
        /// Entries in the queue.
        depth: usize,
    },
    /// The queue was full and dropped its oldest; said at the first, the second, the fourth, ...
    Overflowed {
        /// Entries dropped so far.
        total: u64,
    },
    /// Entries larger than the queue's `max_bytes` were dropped.
    Oversize {
        /// How many.
        entries: u64,
        /// Bytes of the largest.
        largest: usize,
    },
    /// What was appended cannot be made safe: nothing is answered and nothing taken until it can.
    Failing {
        /// What went wrong.
        error: String,
    },
    /// It can be made safe again.
    Recovered,
    /// How far the queue was delivered cannot be saved: a crash now would have entries delivered twice.
    Unsaved {
        /// What went wrong.
        error: String,
    },
    /// Entries on disk cannot be read; they are tried again, then passed over.
    Unreadable {
        /// What went wrong.
        error: String,
    },
    /// Entries on disk were damaged and passed over.
    Corrupt {
        /// How many.
        entries: u64,
    },
}

/// Waits until `take` has something to tell; `noticed` says when to look.
async fn notices(noticed: &Notify, take: impl Fn() -> Vec<Notice> + Send) -> Vec<Notice> {
    loop {
        // Enrolled before looking, so that no wake-up falls between the look and the wait.
        let notified = noticed.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        let notices = take();
        if !notices.is_empty() {
            return notices;
        }
        notified.await;
    }
}

/// What a queue has seen and holds. In every snapshot
/// `appended + recovered == delivered + depth + dropped() + unmade() + dead_letters + corrupt`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Entries that came in, and messages that were to come and were not made.
    pub appended: u64,
    /// Bytes of entries that came in.
    pub appended_bytes: u64,
    /// Entries that the sink has taken.
    pub delivered: u64,
    /// Bytes of entries that the sink has taken.
    pub delivered_bytes: u64,
    /// Dropped for [`DropReason::Overflow`].
    pub dropped_overflow: u64,
    /// Dropped for [`DropReason::Oversize`].
    pub dropped_oversize: u64,
    /// Dropped for [`DropReason::Expired`].
    pub dropped_expired: u64,
    /// Dropped for [`DropReason::Operator`].
    pub dropped_operator: u64,
    /// Not made for [`DropReason::Script`].
    pub dropped_script: u64,
    /// Not made for [`DropReason::Body`].
    pub dropped_body: u64,
    /// Entries that were found on disk when the queue was opened.
    pub recovered: u64,
    /// Entries on disk that were found damaged, and passed over.
    pub corrupt: u64,
    /// Refused for good and kept among the dead letters: [`DropReason::DeadLetter`].
    pub dead_letters: u64,
    /// Entries in the queue now, those in flight included.
    pub depth: usize,
    /// Bytes of the entries in the queue now.
    pub bytes: usize,
    /// Of `depth`, those in flight.
    pub leased: usize,
    /// Entries that are reserved and not yet appended.
    pub reserved: usize,
}

impl Counters {
    /// Entries dropped for any reason; dead letters are not dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped_overflow + self.dropped_oversize + self.dropped_expired + self.dropped_operator
    }

    /// Messages that the log phase did not make.
    pub fn unmade(&self) -> u64 {
        self.dropped_script + self.dropped_body
    }

    /// Whether nothing is in the queue or on its way into it.
    pub fn is_idle(&self) -> bool {
        self.depth == 0 && self.reserved == 0
    }

    /// Adds what another queue of the same plugin has seen and holds.
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
            leased,
            reserved,
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
        self.leased += leased;
        self.reserved += reserved;
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

/// Counts down the queues that a batch's entries went to; the input is answered when the last clone is dropped.
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
