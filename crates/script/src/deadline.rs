//! The stop that a script cannot swallow.

use std::cell::Cell;
use std::time::Duration;

use super::clock::Clock;

thread_local! {
    /// When the script that runs on this thread has to stop, in the clock's microseconds.
    static UNTIL: Cell<u64> = const { Cell::new(u64::MAX) };
    /// What it has been told that it is out of.
    static PASSED: Cell<Option<Passed>> = const { Cell::new(None) };
    /// How often it was asked whether its time is over.
    static ASKED: Cell<u32> = const { Cell::new(0) };
    /// Its extra time, and the thread's CPU time when that began; both in microseconds.
    static EXTRA: Cell<(u64, Option<u64>)> = const { Cell::new((0, None)) };
}

/// Of so many questions one looks at the real clock.
const OFTEN: u32 = 128;

/// What a script is out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    Time,
    Memory,
}

/// One VM's deadlines. Once one has passed, every call and every turn of a loop raises an error again, inside `pcall`,
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
    /// For one call, in microseconds.
    limit: u64,
    /// For all calls of one plugin in one transaction.
    plugin_limit: u64,
    /// What the plugin at hand has used of it.
    used: Cell<u64>,
    /// When the call at hand began, and its own limit.
    call: Cell<(u64, u64)>,
    /// How many calls there were.
    calls: Cell<u64>,
}

impl Deadline {
    pub(super) fn new(limit: Duration, plugin_limit: Duration) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2);
        let (limit, plugin_limit) = (micros(limit), micros(plugin_limit));
        Self { limit, plugin_limit, used: Cell::new(0), call: Cell::new((0, limit)), calls: Cell::new(0) }
    }

    /// Begins a plugin's share of a transaction.
    pub(super) fn enter_plugin(&self) {
        self.used.set(0);
    }

    /// Whether the plugin at hand has no time left to begin one more call.
    pub(super) fn plugin_is_over(&self) -> bool {
        self.used.get() >= self.plugin_limit
    }

    /// Tells one call from the others.
    pub(super) fn call_number(&self) -> u64 {
        self.calls.get()
    }

    /// Begins one call.
    pub(super) fn begin(&self) {
        self.calls.set(self.calls.get() + 1);
        let now = Clock::now();
        let limit = self.limit.min(self.plugin_limit.saturating_sub(self.used.get()));
        self.call.set((now, limit));
        PASSED.set(None);
        EXTRA.set((limit / 4, None));
        // The coarse clock may be a tick behind: an honest snippet shall have its whole time.
        UNTIL.set(now + limit + 1_000);
    }

    /// Whether a check during this call has found it out of time or memory.
    pub(super) fn has_passed(&self) -> bool {
        PASSED.get().is_some()
    }

    /// The limit that held for the last call, and whether that was what the plugin had left.
    pub(super) fn last_limit(&self) -> (Duration, bool) {
        let (_, limit) = self.call.get();
        if limit < self.limit {
            (Duration::from_micros(self.plugin_limit), true)
        } else {
            (Duration::from_micros(self.limit), false)
        }
    }

    /// The limit for all calls of one plugin in one transaction.
    pub(super) fn plugin_limit(&self) -> Duration {
        Duration::from_micros(self.plugin_limit)
    }

    /// Ends the call and says what it was out of.
    pub(super) fn end(&self) -> Option<Passed> {
        UNTIL.set(u64::MAX);
        // By the coarse clock, too: what falls between two ticks evens out over many calls.
        let took = Clock::now().saturating_sub(self.call.get().0);
        self.used.set(self.used.get().saturating_add(took));
        PASSED.get()
    }
}

/// Whether the script on this thread has to stop now.
pub(super) fn is_over() -> bool {
    // A busy machine may keep the clock's own thread waiting.
    let asked = ASKED.get().wrapping_add(1);
    ASKED.set(asked);
    if asked.is_multiple_of(OFTEN) {
        Clock::refresh();
    }
    Clock::now() > UNTIL.get() && (PASSED.get().is_some() || extra_is_over())
}

/// Stops the script on this thread because it met the VM's memory limit: what it holds it would only fill again.
pub(super) fn out_of_memory() {
    PASSED.set(Some(Passed::Memory));
    UNTIL.set(0);
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
    PASSED.set(Some(Passed::Time));
    true
}

/// CPU time of this thread in microseconds.
fn thread_cpu_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}
