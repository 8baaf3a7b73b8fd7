//! The stop that a script cannot swallow.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;

/// One VM's deadline. Once it has passed, every call and every turn of a loop raises an error again, inside `pcall`,
/// handlers and coroutines, too, until the script has ended.
#[derive(Debug)]
pub(super) struct Deadline {
    clock: Arc<Clock>,
    limit: u64,
    until: Cell<u64>,
    passed: Cell<bool>,
    /// The time when the script was last seen at work.
    seen: Cell<u64>,
    /// The call at hand got its time once more.
    again: Cell<bool>,
}

/// The clock moves on by a millisecond at a time. Where it jumps by more, the machine kept its thread or the script's
/// from running, and that is not the script's fault.
const JUMP: u64 = 4_000;

impl Deadline {
    pub(super) fn new(clock: Arc<Clock>, limit: Duration) -> Self {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2);
        Self {
            clock,
            limit,
            until: Cell::new(u64::MAX),
            passed: Cell::new(false),
            seen: Cell::new(0),
            again: Cell::new(false),
        }
    }

    /// The limit for one call.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_micros(self.limit)
    }

    /// Begins one call.
    pub(super) fn begin(&self) {
        self.passed.set(false);
        let now = self.clock.now();
        self.seen.set(now);
        self.again.set(false);
        // The coarse clock may be a tick behind: an honest snippet shall have its whole time.
        self.until.set(now + self.limit + 1_000);
    }

    /// Ends the call and says whether the deadline passed during it.
    pub(super) fn end(&self) -> bool {
        self.until.set(u64::MAX);
        self.passed.get()
    }

    /// Whether the script has to stop now.
    pub(super) fn check(&self) -> bool {
        let now = self.clock.now();
        let before = self.seen.replace(now);
        if now <= self.until.get() {
            return false;
        }
        if now - before > JUMP && !self.again.replace(true) {
            self.until.set(now + self.limit);
            return false;
        }
        self.passed.set(true);
        true
    }
}
