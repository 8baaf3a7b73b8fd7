//! The limit on lines that scripts log.

use std::cell::Cell;

/// How many lines scripts may still log in the current second.
#[derive(Debug)]
pub(crate) struct LogRateLimit {
    per_second: u32,
    second: Cell<u64>,
    used: Cell<u32>,
}

impl LogRateLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, second: Cell::new(0), used: Cell::new(0) }
    }

    /// Takes one line of `second`. Returns whether it may be logged, and in a new second how many were dropped before.
    pub(crate) fn take(&self, second: u64) -> (bool, u32) {
        let mut dropped = 0;
        if self.second.replace(second) != second {
            dropped = self.used.replace(0).saturating_sub(self.per_second);
        }
        self.used.set(self.used.get().saturating_add(1));
        (self.used.get() <= self.per_second, dropped)
    }
}
