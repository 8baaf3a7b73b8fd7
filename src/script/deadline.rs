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
}

impl Deadline {
    pub(super) fn new(clock: Arc<Clock>, limit: Duration) -> Self {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2);
        Self { clock, limit, until: Cell::new(u64::MAX), passed: Cell::new(false) }
    }

    /// The limit for one call.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_micros(self.limit)
    }

    /// Begins one call.
    pub(super) fn begin(&self) {
        self.passed.set(false);
        // The coarse clock may be a tick behind: an honest snippet shall have its whole time.
        self.until.set(self.clock.now() + self.limit + 1_000);
    }

    /// Ends the call and says whether the deadline passed during it.
    pub(super) fn end(&self) -> bool {
        self.until.set(u64::MAX);
        self.passed.get()
    }

    /// Whether the script has to stop now.
    pub(super) fn check(&self) -> bool {
        if self.clock.now() > self.until.get() {
            self.passed.set(true);
            return true;
        }
        false
    }
}
