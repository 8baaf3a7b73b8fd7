//! The heartbeat of a worker, by which health checks find out that it is stuck.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use logphase_script::Clock;

/// The heartbeat of one worker, which alone writes it. It has a cache line of its own, against false sharing.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Heartbeat {
    /// When the current transaction was started, by the workers' clock; 0 while the worker is idle, and the maximum once it
    /// has ended.
    started: AtomicU64,
    /// Bytes of its VM.
    memory: AtomicUsize,
}

impl Heartbeat {
    /// Records that a transaction starts.
    pub(super) fn start(&self) {
        self.started.store(Clock::now().max(1), Ordering::Relaxed);
    }

    /// Records that the worker is idle, and the bytes of its VM.
    pub(super) fn idle(&self, memory: usize) {
        self.started.store(0, Ordering::Relaxed);
        self.memory.store(memory, Ordering::Relaxed);
    }

    /// Records that the worker has ended.
    pub(super) fn end(&self) {
        self.started.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether the worker has ended.
    pub fn has_ended(&self) -> bool {
        self.started.load(Ordering::Relaxed) == u64::MAX
    }

    /// How long the worker has been busy with the current transaction.
    pub fn busy_for(&self) -> Option<Duration> {
        let started = self.started.load(Ordering::Relaxed);
        (started > 0 && started < u64::MAX).then(|| Duration::from_micros(Clock::refresh().saturating_sub(started)))
    }

    /// Bytes of its VM after the last batch.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a worker starts a transaction, is idle, and ends. Guarantees: it is busy in between alone; the end is seen.
    #[test]
    fn busy_while_it_works() {
        let heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.busy_for(), None);
        Clock::refresh();
        heartbeat.start();
        assert!(heartbeat.busy_for().is_some_and(|time| time < Duration::from_secs(60)));
        heartbeat.idle(7);
        assert_eq!((heartbeat.busy_for(), heartbeat.memory()), (None, 7));
        assert!(!heartbeat.has_ended());
        heartbeat.end();
        assert_eq!((heartbeat.busy_for(), heartbeat.has_ended()), (None, true));
    }
}
