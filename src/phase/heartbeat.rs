//! What a worker shows of itself while it works.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use logphase_script::Clock;

/// One worker, which alone writes it. On a cache line of its own, so that nobody waits for anybody.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Heartbeat {
    /// When the transaction that runs was begun, by the workers' clock; 0 while none does.
    begun: AtomicU64,
    /// Bytes that its VM holds.
    memory: AtomicUsize,
}

impl Heartbeat {
    /// A transaction begins.
    pub(super) fn begin(&self) {
        self.begun.store(Clock::now().max(1), Ordering::Relaxed);
    }

    /// The worker waits for more; its VM holds `memory` bytes.
    pub(super) fn rest(&self, memory: usize) {
        self.begun.store(0, Ordering::Relaxed);
        self.memory.store(memory, Ordering::Relaxed);
    }

    /// The worker is gone.
    pub(super) fn end(&self) {
        self.begun.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether the worker is gone.
    pub fn has_ended(&self) -> bool {
        self.begun.load(Ordering::Relaxed) == u64::MAX
    }

    /// How long it has been with one transaction, if it is.
    pub fn busy_for(&self) -> Option<Duration> {
        let begun = self.begun.load(Ordering::Relaxed);
        (begun > 0 && begun < u64::MAX).then(|| Duration::from_micros(Clock::refresh().saturating_sub(begun)))
    }

    /// Bytes that its VM held after the last batch.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a worker that begins, and rests. Guarantees: it is busy in between, and no longer.
    #[test]
    fn busy_while_it_works() {
        let heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.busy_for(), None);
        Clock::refresh();
        heartbeat.begin();
        assert!(heartbeat.busy_for().is_some_and(|time| time < Duration::from_secs(60)));
        heartbeat.rest(7);
        assert_eq!((heartbeat.busy_for(), heartbeat.memory()), (None, 7));
        assert!(!heartbeat.has_ended());
        heartbeat.end();
        assert_eq!((heartbeat.busy_for(), heartbeat.has_ended()), (None, true));
    }
}
