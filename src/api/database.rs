//! What a service knows of the database that it shares with other nodes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// The state of a database that several nodes share.
#[derive(Debug, Default)]
pub struct SharedDatabase {
    is_reachable: AtomicBool,
    revision: AtomicU64,
    active: AtomicU64,
    copied: AtomicU64,
    failures: AtomicU64,
    /// Why it cannot be used.
    why_away: Mutex<String>,
    /// Why the newest configuration in it is not active.
    refused: Mutex<Option<String>>,
}

/// The state of a shared database at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Whether it can be used.
    pub is_reachable: bool,
    /// The newest revision that was seen in it.
    pub revision: u64,
    /// The revision of the active configuration.
    pub active: u64,
    /// The revision of the last good copy.
    pub copied: u64,
    /// How many attempts to reach it have failed.
    pub failures: u64,
    /// Why the newest configuration in it is not active.
    pub refused: Option<String>,
}

impl SharedDatabase {
    /// Says that it can be used again.
    pub fn is_back(&self) {
        self.is_reachable.store(true, Ordering::SeqCst);
    }

    /// Counts an attempt that has failed because of `why`, after which it cannot be used.
    pub fn is_away(&self, why: String) {
        *self.why_away.lock() = why;
        self.is_reachable.store(false, Ordering::SeqCst);
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Why it cannot be used; `None` if it can be.
    pub fn why_away(&self) -> Option<String> {
        (!self.is_reachable.load(Ordering::SeqCst)).then(|| self.why_away.lock().clone())
    }

    /// Says that the configuration with the revision `revision`, the newest one, is active.
    pub fn activated(&self, revision: u64) {
        self.revision.store(revision, Ordering::SeqCst);
        self.active.store(revision, Ordering::SeqCst);
        *self.refused.lock() = None;
    }

    /// Says that the configuration with the revision `revision` is active after a reload of the settings. If there is a newer one, it is not
    /// known whether that is.
    pub fn reloaded(&self, revision: u64) {
        if self.revision.load(Ordering::SeqCst) == revision {
            self.activated(revision);
        }
    }

    /// Says that the configuration with the revision `revision`, the newest one, is not active because of `why`.
    pub fn refused(&self, revision: u64, why: String) {
        self.revision.store(revision, Ordering::SeqCst);
        *self.refused.lock() = Some(why);
    }

    /// Says that the last good copy has the revision `revision`.
    pub fn copied(&self, revision: u64) {
        self.copied.store(revision, Ordering::SeqCst);
    }

    /// Whether the newest configuration is not active.
    pub fn is_refused(&self) -> bool {
        self.refused.lock().is_some()
    }

    /// The state now.
    pub fn read(&self) -> DatabaseStats {
        DatabaseStats {
            is_reachable: self.is_reachable.load(Ordering::SeqCst),
            revision: self.revision.load(Ordering::SeqCst),
            active: self.active.load(Ordering::SeqCst),
            copied: self.copied.load(Ordering::SeqCst),
            failures: self.failures.load(Ordering::Relaxed),
            refused: self.refused.lock().clone(),
        }
    }
}
