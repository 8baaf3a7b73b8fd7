//! The stop that a script cannot swallow.

use std::cell::Cell;
use std::time::Duration;

use super::clock::Clock;

thread_local! {
    /// When the script that runs on this thread has to stop, in the clock's microseconds.
    static UNTIL: Cell<u64> = const { Cell::new(u64::MAX) };
    /// Whether it has been told so.
    static PASSED: Cell<bool> = const { Cell::new(false) };
    /// Its extra time, and the thread's CPU time when that began; both in microseconds.
    static EXTRA: Cell<(u64, Option<u64>)> = const { Cell::new((0, None)) };
}

/// One VM's deadline. Once it has passed, every call and every turn of a loop raises an error again, inside `pcall`,
/// handlers and coroutines, too, until the script has ended.
///
/// A machine with more to do than it has cores may stop a thread for longer than the whole limit. A script whose time
/// seems over therefore gets a quarter of it more, this time measured as CPU time of its thread: who was only kept
/// waiting comes to an end in it, who loops does not.
///
/// A thread runs one script at a time, so that the time itself is kept by thread, where the VM's interrupt finds it
/// without a pointer.
#[derive(Debug)]
pub(super) struct Deadline {
    limit: u64,
}

impl Deadline {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit: u64::try_from(limit.as_micros()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2) }
    }

    /// The limit for one call.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_micros(self.limit)
    }

    /// Begins one call.
    pub(super) fn begin(&self) {
        PASSED.set(false);
        EXTRA.set((self.limit / 4, None));
        // The coarse clock may be a tick behind: an honest snippet shall have its whole time.
        UNTIL.set(Clock::now() + self.limit + 1_000);
    }

    /// Whether a check during this call has found the deadline passed.
    pub(super) fn has_passed(&self) -> bool {
        PASSED.get()
    }

    /// Ends the call and says whether the deadline passed during it.
    pub(super) fn end(&self) -> bool {
        UNTIL.set(u64::MAX);
        PASSED.get()
    }
}

/// Whether the script on this thread has to stop now.
pub(super) fn is_over() -> bool {
    Clock::now() > UNTIL.get() && (PASSED.get() || extra_is_over())
}

#[cold]
fn extra_is_over() -> bool {
    let cpu = thread_cpu_time();
    let (extra, begun) = EXTRA.get();
    let begun = begun.unwrap_or(cpu);
    let used = cpu - begun;
    if extra > 0 && used < extra {
        EXTRA.set((extra, Some(begun)));
        UNTIL.set(Clock::refresh() + (extra - used));
        return false;
    }
    PASSED.set(true);
    true
}

/// CPU time of this thread in microseconds.
fn thread_cpu_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}
