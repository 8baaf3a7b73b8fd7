//! What keeps entries until they are delivered.
//!
//! One queue per plugin. The log phase reserves room on every queue that a transaction goes to before it runs
//! a line of Lua, so that a full queue refuses a transaction whole; it then appends the encoded messages.
//! Delivery reads from the front and commits what the sink has taken.

use std::sync::Arc;

use bytes::Bytes;

/// A queue had no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// There will be room when entries have been delivered.
    Full,
    /// More than the queue holds when it is empty.
    Never,
}

/// Where one plugin's entries wait for delivery, in order.
///
/// Every method is called from several threads. `reserve`, `release` and `append` are called on worker threads
/// that may do no I/O: an implementation that writes to disk hands over to a thread of its own.
pub trait Queue: Send + Sync {
    /// Sets room aside for `entries` entries of `bytes` bytes together. With an overflow policy that drops the
    /// oldest it makes room instead of refusing. A queue that is empty takes one entry of any size within its bounds' sense.
    fn reserve(&self, entries: usize, bytes: usize) -> Result<(), NoRoom>;

    /// Gives a reservation back unused.
    fn release(&self, entries: usize, bytes: usize);

    /// Appends `entries`, turning a reservation of as many entries and `reserved` bytes into what they really take.
    /// Holds a clone of `receipt` until every one of them is safe.
    fn append(&self, entries: Vec<Bytes>, reserved: usize, receipt: &Receipt);
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
