//! Counting what scripts do wrong, and telling of it now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The faults of one plugin's parts.
#[derive(Debug)]
pub struct Faults {
    parts: Vec<Fault>,
}

/// How often one part failed.
#[derive(Debug, Default)]
pub struct Fault {
    count: AtomicU64,
    told: AtomicU64,
    told_at: AtomicU64,
}

/// After a fault was told of, its repetitions are only counted for so long.
const QUIET: Duration = Duration::from_secs(10);

impl Faults {
    pub(super) fn new(parts: usize) -> Self {
        Self { parts: (0..parts).map(|_| Fault::default()).collect() }
    }

    /// The faults of each part, in order.
    pub fn parts(&self) -> &[Fault] {
        &self.parts
    }
}

impl Fault {
    /// How often the part failed so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one more; answers how many there were since the last that was told of, where it is time to tell again.
    pub(super) fn add(&self) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_millis() as u64).max(1);
        let last = self.told_at.load(Ordering::Relaxed);
        if last != 0 && now < last + QUIET.as_millis() as u64 {
            return None;
        }
        self.told_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(count.saturating_sub(self.told.swap(count, Ordering::Relaxed)))
    }
}
