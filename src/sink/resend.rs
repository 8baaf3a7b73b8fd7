//! Recently written entries, kept for a while because the receiver can still lose them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// The limit on the bytes of all resend buffers of the process.
#[derive(Debug)]
pub(crate) struct ResendBudget {
    max_bytes: usize,
    used: AtomicUsize,
}

impl ResendBudget {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, used: AtomicUsize::new(0) }
    }

    pub(super) fn try_take(&self, bytes: usize) -> bool {
        let grown = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.max_bytes);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
    }

    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The most recently written entries, limited in bytes and age; the oldest are dropped first.
#[derive(Debug)]
pub(crate) struct ResendBuffer {
    entries: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    max_bytes: usize,
    max_age: Duration,
    budget: Arc<ResendBudget>,
}

impl ResendBuffer {
    pub(super) fn new(max_bytes: usize, max_age: Duration, budget: Arc<ResendBudget>) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, max_bytes, max_age, budget }
    }

    /// Adds entries that were just written. If the budget is exhausted, older entries of this buffer are dropped.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = Bytes>) {
        let now = Instant::now();
        self.forget_older_than(self.max_age);
        for entry in entries {
            let size = entry.len();
            if size > self.max_bytes {
                self.clear();
                continue;
            }
            while self.bytes + size > self.max_bytes {
                self.pop();
            }
            let mut taken = self.budget.try_take(size);
            while !taken && self.pop() {
                taken = self.budget.try_take(size);
            }
            if taken {
                self.bytes += size;
                self.entries.push_back((now, entry));
            }
        }
    }

    /// Returns all entries and resets their ages: they are about to be written again.
    pub(super) fn renew(&mut self) -> Vec<Bytes> {
        let now = Instant::now();
        let renewed = self.entries.iter_mut().map(|(at, entry)| {
            *at = now;
            entry.clone()
        });
        renewed.collect()
    }

    /// Drops entries written more than `age` ago.
    pub(super) fn forget_older_than(&mut self, age: Duration) {
        let now = Instant::now();
        while self.entries.front().is_some_and(|(at, _)| now.duration_since(*at) > age) {
            self.pop();
        }
        if self.entries.is_empty() {
            // Frees the capacity of the largest burst.
            self.entries = VecDeque::new();
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.budget.release(self.bytes);
        self.bytes = 0;
        self.entries.clear();
    }

    fn pop(&mut self) -> bool {
        let Some((_, entry)) = self.entries.pop_front() else { return false };
        self.bytes -= entry.len();
        self.budget.release(entry.len());
        true
    }
}

impl Drop for ResendBuffer {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    /// Scenario: more is written than one buffer may hold, and more than all buffers together may hold.
    /// Guarantees: the newest entries stay, neither limit is exceeded, and the budget is fully released at the end.
    #[test]
    fn the_newest_stay_within_both_bounds() {
        let budget = Arc::new(ResendBudget::new(5));
        let mut one = ResendBuffer::new(4, Duration::from_secs(60), budget.clone());
        let mut two = ResendBuffer::new(4, Duration::from_secs(60), budget.clone());
        one.extend([entry("aa"), entry("bb"), entry("cc")]);
        assert_eq!(one.renew(), ["bb", "cc"]);
        two.extend([entry("d"), entry("e")]);
        assert_eq!(two.renew(), ["e"]);
        drop(one);
        two.extend([entry("ff")]);
        assert_eq!(two.renew(), ["e", "ff"]);
        drop(two);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    /// Scenario: entries older than the maximum age.
    /// Guarantees: they are dropped.
    #[test]
    fn old_entries_are_forgotten() {
        let mut resend = ResendBuffer::new(100, Duration::ZERO, Arc::new(ResendBudget::new(100)));
        resend.extend([entry("a")]);
        assert_eq!(resend.renew(), ["a"]);
        let deadline = Instant::now() + Duration::from_secs(5);
        while !resend.is_empty() {
            assert!(Instant::now() < deadline);
            resend.extend([]);
        }
    }
}
