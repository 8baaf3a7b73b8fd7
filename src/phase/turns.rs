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
}

impl<K, W> Default for Turns<K, W> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, W: Waiting> Turns<K, W> {
    /// What waits under `key`, to which the caller adds something.
    fn entry(&mut self, key: K) -> &mut W {
        let order = &mut self.order;
        let (waiting, _) = self.waiting.entry(key).or_insert_with(|| {
            order.push_back(key);
            (W::default(), QUANTUM)
        });
        waiting
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
            self.waiting.remove(&key);
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
                self.waiting.remove(&key);
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
            self.waiting.remove(&key);
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
    /// When a batch was taken last, in milliseconds of [`now`].
    taken_at: AtomicU64,
}

/// A worker that has taken no batch for so long while some wait is given no more, in milliseconds.
const STUCK: u64 = 1000;

/// Milliseconds since the first call.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
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
        self.shared.arrived.notify_one();
        true
    }

    /// Bytes that the worker has before it; more than any others if it is stuck.
    pub(super) fn load(&self) -> usize {
        let load = self.shared.load.load(Ordering::Relaxed);
        if self.is_stuck() { load.saturating_add(usize::MAX / 2) } else { load }
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
        // What was taken last is done.
        self.shared.load.fetch_sub(std::mem::take(&mut self.taken), Ordering::Relaxed);
        let mut state = self.shared.state.lock();
        loop {
            if let Some(mut batch) = state.waiting.take() {
                self.taken = batch.bytes;
                self.shared.taken_at.store(now(), Ordering::Relaxed);
                // Its sender may hand in another one.
                batch.slot = None;
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            self.shared.arrived.wait(&mut state);
        }
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
