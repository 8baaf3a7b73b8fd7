//! Deadlines, which a script cannot catch and go on.

use std::cell::Cell;
use std::time::Duration;

use super::clock::Clock;

thread_local! {
    /// When the running script has to stop, in the clock's microseconds.
    static UNTIL: Cell<u64> = const { Cell::new(u64::MAX) };
    /// The limit that it exceeded, once a check has found so.
    static EXCEEDED: Cell<Option<Exceeded>> = const { Cell::new(None) };
    /// How many checks there were.
    static CHECKS: Cell<u32> = const { Cell::new(0) };
    /// Its grace period, and the thread's CPU time when that began; both in microseconds.
    static GRACE: Cell<(u64, Option<u64>)> = const { Cell::new((0, None)) };
}

/// One in so many checks reads the real clock, which bounds the delay of a stop on a machine that is too busy to run the
/// clock's thread in time.
const REFRESH_INTERVAL: u32 = 32;

/// The error that a script gets at every check once its time is over.
pub(crate) const OUT_OF_TIME: &str = "the snippet's time is over";

/// The limit that a script exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Time,
    Memory,
}

/// One VM's deadlines. Once one has passed, every call and every loop iteration raises an error, also inside `pcall`,
/// error handlers and coroutines, until the script has ended.
///
/// An overloaded machine may suspend a thread for longer than the whole limit. A script whose wall time is over
/// therefore gets a grace period of a quarter of its limit, measured in CPU time of its thread: a script that was only
/// waiting for the CPU finishes in it, an endless loop does not.
///
/// A thread runs one script at a time, so the running script's deadline is thread-local, where the VM's interrupt finds
/// it without a pointer.
#[derive(Debug)]
pub(crate) struct Deadline {
    /// For one call, in microseconds.
    limit: u64,
    /// For all calls of one plugin in one transaction.
    plugin_limit: u64,
    /// The part of it that the current plugin has used.
    used: Cell<u64>,
    /// When the current call began, and its own limit.
    call: Cell<(u64, u64)>,
    calls: Cell<u64>,
}

impl Deadline {
    pub(crate) fn new(limit: Duration, plugin_limit: Duration) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2);
        let (limit, plugin_limit) = (micros(limit), micros(plugin_limit));
        Self { limit, plugin_limit, used: Cell::new(0), call: Cell::new((0, limit)), calls: Cell::new(0) }
    }

    /// Begins a plugin's share of a transaction.
    pub(crate) fn enter_plugin(&self) {
        self.used.set(0);
    }

    /// Whether the current plugin has no time left for another call.
    pub(crate) fn plugin_is_over(&self) -> bool {
        self.used.get() >= self.plugin_limit
    }

    /// A number that identifies the current call.
    pub(crate) fn call_number(&self) -> u64 {
        self.calls.get()
    }

    /// Begins one call.
    pub(crate) fn begin(&self) {
        self.calls.set(self.calls.get() + 1);
        let now = Clock::now();
        let limit = self.limit.min(self.plugin_limit.saturating_sub(self.used.get()));
        self.call.set((now, limit));
        EXCEEDED.set(None);
        GRACE.set((limit / 4, None));
        // The coarse clock may be a tick behind, and a snippet gets its whole time.
        UNTIL.set(now + limit + 1_000);
    }

    /// Whether a check during this call found a limit exceeded.
    pub(crate) fn is_exceeded(&self) -> bool {
        EXCEEDED.get().is_some()
    }

    /// The limit of the last call, and whether it is the plugin's.
    pub(crate) fn last_limit(&self) -> (Duration, bool) {
        let (_, limit) = self.call.get();
        if limit < self.limit {
            (Duration::from_micros(self.plugin_limit), true)
        } else {
            (Duration::from_micros(self.limit), false)
        }
    }

    /// The limit for all calls of one plugin in one transaction.
    pub(crate) fn plugin_limit(&self) -> Duration {
        Duration::from_micros(self.plugin_limit)
    }

    /// Ends the call and returns the limit that it exceeded.
    pub(crate) fn end(&self) -> Option<Exceeded> {
        UNTIL.set(u64::MAX);
        // The coarse clock is enough: what falls between two ticks evens out over many calls.
        let took = Clock::now().saturating_sub(self.call.get().0);
        self.used.set(self.used.get().saturating_add(took));
        EXCEEDED.get()
    }
}

/// Whether the script on this thread has to stop now.
pub(crate) fn is_over() -> bool {
    // On a busy machine the clock's own thread may be late.
    let checks = CHECKS.get().wrapping_add(1);
    CHECKS.set(checks);
    if checks.is_multiple_of(REFRESH_INTERVAL) {
        Clock::refresh();
    }
    Clock::now() > UNTIL.get() && (EXCEEDED.get().is_some() || grace_is_over())
}

/// Returns an error if the script on this thread has to stop.
pub(crate) fn check() -> mlua::Result<()> {
    if is_over() { Err(mlua::Error::runtime(OUT_OF_TIME)) } else { Ok(()) }
}

/// Stops the script on this thread because it reached the VM's memory limit: one that goes on would reach it again.
pub(crate) fn out_of_memory() {
    EXCEEDED.set(Some(Exceeded::Memory));
    UNTIL.set(0);
}

#[cold]
fn grace_is_over() -> bool {
    let cpu = thread_cpu_time();
    let (grace, begun) = GRACE.get();
    let begun = begun.unwrap_or(cpu);
    let used = cpu - begun;
    if grace > 0 && used < grace {
        GRACE.set((grace, Some(begun)));
        UNTIL.set(Clock::refresh() + (grace - used));
        return false;
    }
    EXCEEDED.set(Some(Exceeded::Time));
    true
}

/// CPU time of this thread in microseconds.
fn thread_cpu_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000
}
