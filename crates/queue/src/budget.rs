//! What all queues of the process share: a bound on their bytes, and the signals to those who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A bound on the bytes that all queues of the process hold and have reserved together.
#[derive(Debug)]
pub struct Budget {
    max_bytes: usize,
    used: AtomicUsize,
    // Set by a refusal, so that whoever gives bytes back wakes those refused, whichever queue they asked.
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

    /// Bytes in use now. May pass the bound by what had to be taken in any case.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    /// Takes `bytes` if they fit; otherwise remembers that someone waits.
    pub(super) fn try_take(&self, bytes: usize) -> bool {
        if self.fits(bytes) {
            return true;
        }
        // Marked first, then asked again: bytes given back in between would otherwise wake nobody.
        self.starved.store(true, Ordering::SeqCst);
        self.fits(bytes)
    }

    fn fits(&self, bytes: usize) -> bool {
        let grown = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.max_bytes);
        self.used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, grown).is_ok()
    }

    /// Takes `bytes` past the bound if need be.
    pub(super) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Gives `bytes` back; true when someone was refused before and is to be woken.
    #[must_use]
    pub(super) fn give(&self, bytes: usize) -> bool {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        bytes > 0 && self.starved.swap(false, Ordering::SeqCst)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

/// What all queues of the process tell those who wait for them.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// Notified when room appears after a refusal.
    pub room: Arc<Notify>,
    /// Notified when a queue has become empty.
    pub idle: Arc<Notify>,
}
