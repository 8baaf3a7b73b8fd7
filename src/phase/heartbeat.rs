//! The heartbeat of a worker, with which health checks detect that it is stuck.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use logphase_script::Clock;

/// The heartbeat of one worker. Only the worker writes it. It has its own cache line, to prevent false sharing.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Heartbeat {
    /// The start of the current transaction on the workers' clock; 0 while the worker is idle, `u64::MAX` after it has
    /// ended.
    started: AtomicU64,
    /// The step and the part that ran last, as two halves.
    place: AtomicU64,
    /// The transaction that was started last.
    transaction: Mutex<Bytes>,
    /// Bytes of the worker's VM.
    memory: AtomicUsize,
}

impl Heartbeat {
    /// Records that `transaction` starts.
    pub(super) fn start(&self, transaction: Bytes) {
        *self.transaction.lock() = transaction;
        self.started.store(Clock::now().max(1), Ordering::Relaxed);
    }

    /// Records that a part of a step of the program runs.
    pub(super) fn at(&self, step: usize, part: usize) {
        self.place.store((step as u64) << 32 | part as u64, Ordering::Relaxed);
    }

    /// The step and the part that ran last.
    pub fn place(&self) -> (usize, usize) {
        let place = self.place.load(Ordering::Relaxed);
        ((place >> 32) as usize, place as u32 as usize)
    }

    /// The transaction that was started last, as JSON; empty while the worker is idle.
    pub fn transaction(&self) -> Bytes {
        self.transaction.lock().clone()
    }

    /// When the current transaction began, on the workers' clock; 0 while the worker is idle.
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// Records that the worker is idle and its VM has `memory` bytes.
    pub(super) fn idle(&self, memory: usize) {
        self.started.store(0, Ordering::Relaxed);
        *self.transaction.lock() = Bytes::new();
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

    /// Bytes of the worker's VM after its last batch.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a worker starts a transaction, becomes idle, and ends.
    /// Guarantees: it is reported as busy only during the transaction, and as ended at the end.
    #[test]
    fn busy_during_a_transaction() {
        let heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.busy_for(), None);
        Clock::refresh();
        heartbeat.start(Bytes::new());
        heartbeat.at(3, 70_000);
        assert_eq!(heartbeat.place(), (3, 70_000));
        assert!(heartbeat.busy_for().is_some_and(|time| time < Duration::from_secs(60)));
        heartbeat.idle(7);
        assert_eq!((heartbeat.busy_for(), heartbeat.memory()), (None, 7));
        assert!(!heartbeat.has_ended());
        heartbeat.end();
        assert_eq!((heartbeat.busy_for(), heartbeat.has_ended()), (None, true));
    }
}
