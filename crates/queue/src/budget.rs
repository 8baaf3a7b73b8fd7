//! What all queues of a process share: a bound on their bytes, and the notifications of waiting tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A bound on the bytes that all queues of the process hold and have reserved together.
#[derive(Debug)]
pub struct Budget {
    max_bytes: usize,
    used: AtomicUsize,
    // Set when an acquisition fails, so that the next release wakes the waiting tasks, whichever queue they use.
    starved: AtomicBool,
}

impl Budget {
    /// The default bound in bytes: 128 MiB.
    pub const DEFAULT_BYTES: usize = 128 << 20;

    /// A budget of `max_bytes` bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, used: AtomicUsize::new(0), starved: AtomicBool::new(false) }
    }

    /// The bound in bytes.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Bytes in use. May exceed the bound by what had to be acquired in any case.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Acquires `bytes` if they fit; otherwise remembers that a task waits.
    pub(super) fn try_acquire(&self, bytes: usize) -> bool {
        if self.fits(bytes) {
            return true;
        }
        // Checked again after the mark is set: bytes that were released in between have woken nobody.
        self.starved.store(true, Ordering::SeqCst);
        self.fits(bytes)
    }

    fn fits(&self, bytes: usize) -> bool {
        let grown = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.max_bytes);
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, grown).is_ok()
    }

    /// Acquires `bytes` even if they exceed the bound.
    pub(super) fn acquire(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Releases `bytes`. True if a task waits for them, which is to be woken.
    #[must_use]
    pub(super) fn release(&self, bytes: usize) -> bool {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        bytes > 0 && self.starved.swap(false, Ordering::SeqCst)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

/// The notifications of all queues of a process.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// Notified when there is room after a failed reservation.
    pub room: Arc<Notify>,
    /// Notified when a queue becomes empty.
    pub idle: Arc<Notify>,
}
