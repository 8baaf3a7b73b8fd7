//! The tail of a connection: what the other machine has acknowledged and its receiver may not have read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::resend::ResendBudget;

/// Entries of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    /// Their number.
    pub entries: usize,
    /// Their bytes on the way.
    pub bytes: usize,
    /// The receiver had them once, and closed the connection in order.
    pub again: bool,
}

/// The unconfirmed entries of a sink, by batch. An entry is confirmed when it is old enough, or when so many bytes after it
/// were acknowledged that they cannot all be unread.
#[derive(Debug)]
pub(super) struct Tail {
    batches: VecDeque<(Instant, Batch)>,
    entries: usize,
    bytes: usize,
    max_bytes: usize,
    max_age: Duration,
    /// Of queues in memory, which hold the entries. When it is used up, the oldest count as confirmed.
    budget: Option<Arc<ResendBudget>>,
    // Entries were confirmed since the last call of [`Tail::take_progress`].
    progress: bool,
}

impl Tail {
    pub(super) fn new(max_bytes: usize, max_age: Duration, budget: Option<Arc<ResendBudget>>) -> Self {
        Self { batches: VecDeque::new(), entries: 0, bytes: 0, max_bytes, max_age, budget, progress: false }
    }

    /// The number of unconfirmed entries.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Adds a batch that was acknowledged now.
    pub(super) fn push(&mut self, batch: Batch) {
        if let Some(budget) = self.budget.clone() {
            let mut taken = budget.try_take(batch.bytes);
            while !taken && self.confirm_oldest() {
                taken = budget.try_take(batch.bytes);
            }
            if !taken {
                return;
            }
        }
        self.entries += batch.entries;
        self.bytes += batch.bytes;
        self.batches.push_back((Instant::now(), batch));
        while self.batches.front().is_some_and(|(_, oldest)| self.bytes - oldest.bytes >= self.max_bytes) {
            self.confirm_oldest();
        }
    }

    /// Confirms what is older than the largest age. Returns whether there was anything.
    pub(super) fn confirm_aged(&mut self) -> bool {
        self.confirm_older_than(self.max_age)
    }

    /// Confirms what was acknowledged more than `age` ago. Returns whether there was anything.
    pub(super) fn confirm_older_than(&mut self, age: Duration) -> bool {
        self.confirm_while(|at, _| at.elapsed() >= age)
    }

    /// Confirms what the receiver had before, too. Returns whether there was anything.
    pub(super) fn confirm_repeated(&mut self) -> bool {
        self.confirm_while(|_, batch| batch.again)
    }

    /// When entries will be old enough; never if there are none. They are at least a second apart, so that an idle sink
    /// wakes rarely.
    pub(super) fn next_confirmation(&self) -> Option<Duration> {
        const PAUSE: Duration = Duration::from_secs(1);
        let (oldest, _) = self.batches.front()?;
        let (newest, _) = self.batches.back()?;
        let left = |at: &Instant| self.max_age.saturating_sub(at.elapsed());
        Some(left(oldest).max(PAUSE.min(left(newest))))
    }

    /// Confirms everything.
    pub(super) fn confirm_all(&mut self) {
        self.confirm_while(|_, _| true);
    }

    /// Whether entries were confirmed since the last call.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    /// Takes everything, which is to be sent again. Returns the number of entries.
    pub(super) fn take_all(&mut self) -> usize {
        let (entries, progress) = (self.entries, self.progress);
        self.confirm_while(|_, _| true);
        self.progress = progress;
        entries
    }

    fn confirm_while(&mut self, confirmed: impl Fn(&Instant, &Batch) -> bool) -> bool {
        let before = self.entries;
        while self.batches.front().is_some_and(|(at, batch)| confirmed(at, batch)) {
            self.confirm_oldest();
        }
        if self.batches.is_empty() {
            // Frees the capacity of the largest burst.
            self.batches = VecDeque::new();
        }
        self.entries < before
    }

    fn confirm_oldest(&mut self) -> bool {
        let Some((_, batch)) = self.batches.pop_front() else { return false };
        self.entries -= batch.entries;
        self.bytes -= batch.bytes;
        self.progress = true;
        if let Some(budget) = &self.budget {
            budget.release(batch.bytes);
        }
        true
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.take_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn batch(entries: usize, bytes: usize) -> Batch {
        Batch { entries, bytes, again: false }
    }

    /// Scenario: batches until more is acknowledged than a receiver can have unread, with and without a budget that
    /// another tail has used.
    /// Guarantees: a batch is confirmed when that many bytes follow it, and not sooner; of a queue in memory, the oldest
    /// are confirmed too when the budget is used up, and the budget is released at the end.
    #[test]
    fn what_is_old_in_bytes_is_confirmed() {
        let mut tail = Tail::new(10, LONG, None);
        for (bytes, expected) in [(6, 1), (6, 2), (3, 3), (1, 3), (1, 4)] {
            tail.push(batch(1, bytes));
            assert_eq!(tail.entries(), expected, "after {bytes} more bytes");
        }
        let budget = Arc::new(ResendBudget::new(5));
        let mut one = Tail::new(10, LONG, Some(budget.clone()));
        let mut two = Tail::new(10, LONG, Some(budget.clone()));
        one.push(batch(7, 4));
        two.push(batch(1, 1));
        two.push(batch(2, 1));
        assert_eq!((one.entries(), two.entries()), (7, 2));
        two.push(batch(3, 2));
        assert_eq!(two.entries(), 0);
        drop((one, two));
        assert!(budget.try_take(5));
    }

    /// Scenario: batches that are old enough at once, and never; some were sent again after an orderly close.
    /// Guarantees: the first are confirmed; of the others those that the receiver had twice; the rest is to be sent again.
    #[test]
    fn what_is_old_in_time_is_confirmed() {
        let mut tail = Tail::new(100, Duration::ZERO, None);
        tail.push(batch(2, 1));
        assert_eq!((tail.entries(), tail.next_confirmation()), (2, Some(Duration::ZERO)));
        assert!(tail.confirm_aged() && !tail.confirm_aged());
        assert_eq!((tail.entries(), tail.next_confirmation()), (0, None));
        let mut tail = Tail::new(100, LONG, None);
        tail.push(Batch { again: true, ..batch(2, 1) });
        tail.push(batch(3, 1));
        assert!(!tail.confirm_aged() && tail.confirm_repeated());
        assert!(tail.next_confirmation().is_some_and(|left| left > LONG / 2));
        assert_eq!((tail.take_all(), tail.entries()), (3, 0));
    }
}
