//! Whose batch a worker takes next: senders take turns, by deficit round robin (Shreedhar and Varghese, 1995).
//!
//! Each worker has a channel. In a channel, groups of senders take turns, and in a group its senders. A turn is worth
//! [`QUANTUM`] bytes: who sends large batches has fewer of them. Taking a batch costs the same however many wait. While a
//! large batch is processed, small ones of other senders are processed in between.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::intake::Batch;
use super::wake::{Wake, wake_soon};

/// Bytes that a sender may have processed in its turn. A batch of a stream of lines is not larger.
const QUANTUM: usize = 256 << 10;

/// Bytes of a batch after which a small one of another sender is processed, and how small that is.
pub(super) const SLICE: usize = 32 << 10;

/// Whom a batch counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Share {
    /// The group of senders.
    pub group: u64,
    /// The sender in its group.
    pub sender: u64,
}

/// Something that waits, in an order of its own. Never asked while it is empty.
trait Waiting: Default {
    /// The cost of what is next.
    fn next_cost(&mut self) -> usize;
    /// Takes what is next.
    fn take(&mut self) -> Option<Batch>;
    fn is_empty(&self) -> bool;
}

impl Waiting for VecDeque<Batch> {
    fn next_cost(&mut self) -> usize {
        self.front().map_or(0, |batch| batch.bytes)
    }

    fn take(&mut self) -> Option<Batch> {
        self.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// Those that wait under each key, which take turns. Keys under which nothing waits are forgotten.
struct Turns<K, W> {
    waiting: HashMap<K, (W, usize)>,
    order: VecDeque<K>,
    /// The memory of one that is forgotten, for the next: most wait alone, and not for long.
    spare: Option<W>,
}

impl<K, W> Default for Turns<K, W> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), order: VecDeque::new(), spare: None }
    }
}

impl<K: Copy + Eq + Hash, W: Waiting> Turns<K, W> {
    /// What waits under `key`, to which the caller adds something.
    fn entry(&mut self, key: K) -> &mut W {
        let Self { order, spare, .. } = self;
        let (waiting, _) = self.waiting.entry(key).or_insert_with(|| {
            order.push_back(key);
            (spare.take().unwrap_or_default(), QUANTUM)
        });
        waiting
    }

    /// Removes `key`, under which nothing waits.
    fn remove(&mut self, key: K) {
        self.spare = self.waiting.remove(&key).map(|(empty, _)| empty);
    }

    /// Lets each in turn save up for its next batch, until one can pay. Returns its key and the cost.
    fn next(&mut self) -> Option<(K, usize)> {
        loop {
            let key = *self.order.front()?;
            let (waiting, credit) = self.waiting.get_mut(&key)?;
            let cost = waiting.next_cost();
            if *credit >= cost || self.order.len() == 1 {
                return Some((key, cost));
            }
            *credit += QUANTUM;
            self.order.rotate_left(1);
        }
    }
}

impl<K: Copy + Eq + Hash, W: Waiting> Turns<K, W> {
    /// Forgets `key` if nothing waits under it.
    fn forget(&mut self, key: K) {
        if self.waiting.get(&key).is_some_and(|(waiting, _)| waiting.is_empty()) {
            self.remove(key);
            self.order.retain(|other| *other != key);
        }
    }

    /// Takes a batch of `max_cost` at most that waits under a key other than `own`, out of turn. Looks at two keys.
    fn take_other(&mut self, own: K, max_cost: usize) -> Option<Batch> {
        for place in 0..self.order.len().min(2) {
            let key = self.order[place];
            let (waiting, credit) = self.waiting.get_mut(&key)?;
            let cost = if key == own { usize::MAX } else { waiting.next_cost() };
            if cost > max_cost {
                continue;
            }
            *credit = credit.saturating_sub(cost);
            let batch = waiting.take();
            self.order.remove(place);
            if waiting.is_empty() {
                self.remove(key);
            } else {
                self.order.push_back(key);
            }
            return batch;
        }
        None
    }
}

impl<K: Copy + Eq + Hash, W: Waiting> Waiting for Turns<K, W> {
    fn next_cost(&mut self) -> usize {
        self.next().map_or(0, |(_, cost)| cost)
    }

    fn take(&mut self) -> Option<Batch> {
        let (key, cost) = self.next()?;
        let (waiting, credit) = self.waiting.get_mut(&key)?;
        *credit = credit.saturating_sub(cost);
        let batch = waiting.take();
        if waiting.is_empty() {
            self.remove(key);
            self.order.pop_front();
        }
        batch
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[derive(Default)]
struct State {
    waiting: Turns<u64, Turns<u64, VecDeque<Batch>>>,
    /// Set when one of the two ends is gone.
    closed: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    /// Bytes of the batches that wait, and of the one that was taken last.
    load: AtomicUsize,
    /// When a batch was taken last, in nanoseconds of [`now`].
    taken_at: AtomicU64,
    /// How long recent batches took; see [`pace`].
    pace: AtomicU64,
}

/// A worker that has taken no batch for so long while some wait is given no more, in nanoseconds.
const STUCK: u64 = 1_000_000_000;

/// What a worker may have before it and still be given more although another one sleeps, in nanoseconds. To wake one costs
/// several microseconds of computing time on both sides.
const SHORT_WAIT: u64 = 20_000;

/// How long a worker may have worked on a batch and still be expected to end it soon, in nanoseconds.
const SHORT_WORK: u64 = 100_000;

/// Nanoseconds since the first call.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds that a KiB takes, from those of the batches `before` and of one more of `bytes` that took `spent` nanoseconds. One
/// slow batch counts at once, and for a while.
fn pace(before: u64, bytes: usize, spent: u64) -> u64 {
    let last = spent.saturating_mul(1024) / (bytes as u64).max(1);
    last.max(before - before / 8 + last / 8)
}

/// Whether a worker that is awake will soon have done all that it has before it: `load` bytes at this pace, the first of
/// which it took `since` nanoseconds ago.
fn is_short_wait(load: usize, pace: u64, since: u64) -> bool {
    since < SHORT_WORK && (load as u64).saturating_mul(pace) / 1024 < SHORT_WAIT
}

impl Wake for Shared {
    fn wake(&self) {
        self.arrived.notify_one();
    }
}

impl Shared {
    fn close(&self) -> State {
        let mut state = self.state.lock();
        let left = std::mem::take(&mut *state);
        state.closed = true;
        drop(state);
        self.arrived.notify_all();
        left
    }
}

/// A new channel: where batches are handed to a worker, and where it takes them.
pub fn batch_channel() -> (BatchSender, BatchReceiver) {
    let shared = Arc::new(Shared::default());
    (BatchSender { shared: shared.clone() }, BatchReceiver { shared, taken: 0 })
}

/// The end of a channel where batches are handed in. The worker ends when it is dropped.
pub struct BatchSender {
    shared: Arc<Shared>,
}

impl BatchSender {
    /// Adds a batch. Returns whether the worker still runs; if not, the batch is dropped.
    pub(super) fn push(&self, batch: Batch) -> bool {
        let mut state = self.shared.state.lock();
        if state.closed {
            return false;
        }
        if self.shared.load.fetch_add(batch.bytes, Ordering::Relaxed) == 0 {
            self.shared.taken_at.store(now(), Ordering::Relaxed);
        }
        state.waiting.entry(batch.share.group).entry(batch.share.sender).push_back(batch);
        drop(state);
        wake_soon(&self.shared);
        true
    }

    /// Bytes that the worker has before it; more than any others if it is stuck.
    pub(super) fn load(&self) -> usize {
        let load = self.shared.load.load(Ordering::Relaxed);
        if self.is_stuck() { load.saturating_add(usize::MAX / 2) } else { load }
    }

    /// Whether the worker is awake and will take another batch soon.
    pub(super) fn is_at_hand(&self) -> bool {
        let Shared { load, taken_at, pace, .. } = &*self.shared;
        let (load, pace) = (load.load(Ordering::Relaxed), pace.load(Ordering::Relaxed));
        load > 0 && is_short_wait(load, pace, now().saturating_sub(taken_at.load(Ordering::Relaxed)))
    }

    /// Whether the worker has batches and has taken none for long.
    fn is_stuck(&self) -> bool {
        let taken_at = self.shared.taken_at.load(Ordering::Relaxed);
        self.shared.load.load(Ordering::Relaxed) > 0 && now().saturating_sub(taken_at) > STUCK
    }

    /// Takes out what waits for a worker that is stuck, for another one. Batches that must not overtake others stay.
    pub(super) fn take_from_stuck(&self) -> Vec<Batch> {
        if !self.is_stuck() {
            return Vec::new();
        }
        let mut state = self.shared.state.lock();
        let mut waiting = std::mem::take(&mut state.waiting);
        let mut taken = Vec::new();
        while let Some(batch) = waiting.take() {
            if batch.fence.is_none() {
                self.shared.load.fetch_sub(batch.bytes, Ordering::Relaxed);
                taken.push(batch);
            } else {
                state.waiting.entry(batch.share.group).entry(batch.share.sender).push_back(batch);
            }
        }
        taken
    }
}

impl Drop for BatchSender {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.arrived.notify_all();
    }
}

/// The end of a channel where the worker takes batches.
pub struct BatchReceiver {
    shared: Arc<Shared>,
    /// Bytes of the batch that was taken last.
    taken: usize,
}

impl BatchReceiver {
    /// Waits for a batch; `None` when there is none and the other end is gone.
    pub fn take(&mut self) -> Option<Batch> {
        self.note_taken();
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        loop {
            if let Some(batch) = self.take_from(&mut state) {
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            shared.arrived.wait(&mut state);
        }
    }

    /// The same without waiting: `None` if no batch is there.
    pub(super) fn take_waiting(&mut self) -> Option<Batch> {
        self.note_taken();
        let shared = self.shared.clone();
        self.take_from(&mut shared.state.lock())
    }

    /// What was taken last is done.
    fn note_taken(&mut self) {
        let Shared { load, taken_at, pace: recent, .. } = &*self.shared;
        if self.taken > 0 {
            let spent = now().saturating_sub(taken_at.load(Ordering::Relaxed));
            recent.store(pace(recent.load(Ordering::Relaxed), self.taken, spent), Ordering::Relaxed);
        }
        load.fetch_sub(std::mem::take(&mut self.taken), Ordering::Relaxed);
    }

    fn take_from(&mut self, state: &mut State) -> Option<Batch> {
        let mut batch = state.waiting.take()?;
        self.taken = batch.bytes;
        self.shared.taken_at.store(now(), Ordering::Relaxed);
        // Its sender may hand in another one.
        batch.slot = None;
        Some(batch)
    }
}

impl BatchReceiver {
    /// Takes a small batch of another sender than `share`, while a larger one of that sender is processed; `None` if there
    /// is none now.
    pub(super) fn take_small_of_other(&mut self, share: Share) -> Option<Batch> {
        // All that is waiting is of the batch that is processed, as with one sender: no lock.
        if self.shared.load.load(Ordering::Relaxed) <= self.taken {
            return None;
        }
        let waiting = &mut self.shared.state.lock().waiting;
        let mut batch = waiting.take_other(share.group, SLICE).or_else(|| {
            let (own, _) = waiting.waiting.get_mut(&share.group)?;
            // The sender's own batches stay in the group.
            own.take_other(share.sender, SLICE).inspect(|_| waiting.forget(share.group))
        })?;
        self.taken += batch.bytes;
        batch.slot = None;
        Some(batch)
    }
}

impl Drop for BatchReceiver {
    fn drop(&mut self) {
        // The batches are dropped without an answer, outside of the lock.
        drop(self.shared.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: loads of a worker whose batches are quick, one that has worked on its batch for long, and one whose batches
    /// became slow and then quick again.
    /// Guarantees: it is given more only while that waits for a short time; one slow batch ends that at once, and some quick
    /// ones bring it back.
    #[test]
    fn short_waits() {
        let quick = pace(0, 2048, 3_000);
        assert!(is_short_wait(6_000, quick, 0) && !is_short_wait(60_000, quick, 0));
        assert!(!is_short_wait(2048, quick, SHORT_WORK));
        let slow = pace(quick, 2048, 1_000_000);
        assert!(!is_short_wait(2048, slow, 0));
        let mut recent = slow;
        let batches = (1..1000).find(|_| {
            recent = pace(recent, 2048, 3_000);
            is_short_wait(2048, recent, 0)
        });
        assert!(batches.is_some_and(|batches| (10..100).contains(&batches)), "{batches:?}");
        assert!(pace(u64::MAX, 1, u64::MAX) > slow);
    }
}
