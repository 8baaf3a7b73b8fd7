//! Deadlines, which a script cannot catch and go on.

use std::cell::Cell;
use std::time::Duration;

use super::clock::Clock;
use super::cpu_time;

thread_local! {
    /// When the running script has to stop at the earliest, in the clock's microseconds.
    static UNTIL: Cell<u64> = const { Cell::new(u64::MAX) };
    /// The CPU time at which it has to stop, in microseconds.
    static CPU_UNTIL: Cell<u64> = const { Cell::new(u64::MAX) };
    /// The limit that it exceeded, once a check has found so.
    static EXCEEDED: Cell<Option<Exceeded>> = const { Cell::new(None) };
    /// How many checks there were.
    static CHECKS: Cell<u32> = const { Cell::new(0) };
    /// Bytes that host functions have worked on since the real clock was last read.
    static WORK: Cell<usize> = const { Cell::new(0) };
}

/// One in so many checks reads the real clock, which bounds the delay of a stop on a machine that is too busy to run the
/// clock's thread in time.
const REFRESH_INTERVAL: u32 = 32;
/// So many bytes of work do the same: they take well below a tenth of a millisecond.
const REFRESH_WORK: usize = 64 << 10;
/// The coarse clocks may be a tick behind, and a snippet gets its whole time.
const TICK: u64 = 1_000;

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
/// The limits are CPU time of the thread: an overloaded machine may suspend a thread for longer than the whole limit, and a
/// script is not to blame for that. Wall time, which is never less, tells cheaply that no limit can be exceeded yet.
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
    /// The thread's CPU time when the current call began, and the call's own limit.
    call: Cell<(u64, u64)>,
    /// When it began, on the coarse clock.
    begun: Cell<u64>,
    calls: Cell<u64>,
}

impl Deadline {
    pub(crate) fn new(limit: Duration, plugin_limit: Duration) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2).min(u64::MAX / 2);
        let (limit, plugin_limit) = (micros(limit), micros(plugin_limit));
        Self {
            limit,
            plugin_limit,
            used: Cell::new(0),
            call: Cell::new((0, limit)),
            begun: Cell::new(0),
            calls: Cell::new(0),
        }
    }

    /// Begins a plugin's share of a transaction.
    pub(crate) fn enter_plugin(&self) {
        self.used.set(0);
    }

    /// The part of its share that the current plugin has used, in microseconds.
    pub(crate) fn used(&self) -> u64 {
        self.used.get()
    }

    /// Counts `micros` as used by the current plugin.
    pub(crate) fn charge(&self, micros: u64) {
        self.used.set(self.used.get().saturating_add(micros));
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
        let cpu = cpu_time::now();
        let limit = self.limit.min(self.plugin_limit.saturating_sub(self.used.get()));
        self.call.set((cpu, limit));
        EXCEEDED.set(None);
        CPU_UNTIL.set(cpu + limit + TICK);
        let now = Clock::now();
        self.begun.set(now);
        UNTIL.set(now + limit + TICK);
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

    /// Ends the call and returns the limit that it exceeded. One long step without any check may have taken all of the time:
    /// the real clock is read, unless not even the coarse one has moved during the call.
    pub(crate) fn end(&self) -> Option<Exceeded> {
        if Clock::now() > self.begun.get() && Clock::refresh() > UNTIL.get() {
            is_over();
        }
        UNTIL.set(u64::MAX);
        // The coarse time is enough: what falls between two ticks evens out over many calls.
        let took = cpu_time::now().saturating_sub(self.call.get().0);
        self.used.set(self.used.get().saturating_add(took));
        EXCEEDED.get()
    }
}

/// Whether the script on this thread has to stop now.
pub(crate) fn is_over() -> bool {
    // On a busy machine the clock's own thread may be late.
    let checks = CHECKS.get().wrapping_add(1);
    CHECKS.set(checks);
    if checks.is_multiple_of(REFRESH_INTERVAL) || WORK.get() >= REFRESH_WORK {
        WORK.set(0);
        Clock::refresh();
    }
    Clock::now() > UNTIL.get() && (EXCEEDED.get().is_some() || cpu_is_over())
}

/// Records that a host function works on `bytes` bytes: the next check knows the time that this took.
pub(crate) fn work(bytes: usize) {
    WORK.set(WORK.get().saturating_add(bytes));
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

/// Whether the script's CPU time is over. If not, it needs at least as much wall time for the rest.
#[cold]
fn cpu_is_over() -> bool {
    let left = CPU_UNTIL.get().saturating_sub(cpu_time::refresh());
    if left > 0 {
        UNTIL.set(Clock::refresh() + left);
        return false;
    }
    EXCEEDED.set(Some(Exceeded::Time));
    true
}
