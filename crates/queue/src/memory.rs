//! The queue in memory: what is in it is lost with the process.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    Bounds, BoxFuture, Budget, Condition, Counters, DropReason, NoRoom, Notice, Overflow, Queue, Reader, Receipt,
    Signals,
};
use crate::metric::{Ages, Moment};

/// A bounded queue in memory.
///
/// A reservation counts as if its entries were in the queue. With [`Overflow::Block`] everything in the queue
/// counts towards its bounds, in flight or not; with [`Overflow::DropOldest`] what is in flight does not, as in
/// Kong, where a batch leaves the queue before it is sent.
pub struct MemoryQueue {
    bounds: Bounds,
    budget: Arc<Budget>,
    signals: Signals,
    readable: Notify,
    noticed: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// With their numbers, in which there are gaps where waiting entries were dropped.
    leased: VecDeque<(u64, Bytes)>,
    waiting: VecDeque<Bytes>,
    /// The number of the first that waits.
    at: u64,
    leased_bytes: usize,
    waiting_bytes: usize,
    reserved: usize,
    reserved_bytes: usize,
    closed: bool,
    // Someone was refused since room last appeared.
    refused: bool,
    // The warning about a nearly full queue stands.
    warned: bool,
    totals: Counters,
    ages: Ages,
    notices: Vec<Notice>,
}

/// Notices that are kept for a reader that does not ask.
const MAX_NOTICES: usize = 16;

impl State {
    fn notice(&mut self, notice: Notice) {
        if self.notices.len() < MAX_NOTICES {
            self.notices.push(notice);
        }
    }

    fn depth(&self) -> usize {
        self.leased.len() + self.waiting.len()
    }

    fn is_idle(&self) -> bool {
        self.depth() == 0 && self.reserved == 0
    }

    /// The number of the first that is not done with.
    fn head(&self) -> u64 {
        self.leased.front().map_or(self.at, |(number, _)| *number)
    }

    /// The number of the next to come.
    fn next(&self) -> u64 {
        self.at + self.waiting.len() as u64
    }

    /// Takes the oldest waiting entry out and returns its size.
    fn drop_oldest(&mut self, reason: DropReason) -> Option<usize> {
        let entry = self.waiting.pop_front()?;
        self.at += 1;
        self.waiting_bytes -= entry.len();
        self.totals.count_dropped(1, reason);
        Some(entry.len())
    }
}

/// What a change calls for once the lock is released.
#[derive(Default)]
struct Wake {
    room: bool,
    idle: bool,
    notices: bool,
}

impl MemoryQueue {
    /// An empty queue within `bounds` and the process's `budget`.
    pub fn new(bounds: Bounds, budget: Arc<Budget>, signals: Signals) -> Self {
        let state = Mutex::new(State::default());
        Self { bounds, budget, signals, readable: Notify::new(), noticed: Notify::new(), state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics half-way through a change.
        self.state.lock()
    }

    fn own_bound_allows(&self, state: &State, entries: usize, bytes: usize) -> bool {
        let total = state.depth().saturating_add(state.reserved).saturating_add(entries);
        let held = state.leased_bytes + state.waiting_bytes + state.reserved_bytes;
        total <= self.bounds.max_entries
            && self.bounds.max_bytes.is_none_or(|max| held.checked_add(bytes).is_some_and(|sum| sum <= max))
    }

    fn can_ever_hold(&self, entries: usize, bytes: usize) -> bool {
        entries <= self.bounds.max_entries
            && bytes <= self.bounds.max_bytes.unwrap_or(usize::MAX).min(self.budget.max_bytes())
    }

    /// Drops the oldest until the bounds hold again; returns how many and how many bytes.
    fn make_room(&self, state: &mut State) -> (usize, usize) {
        let (mut entries, mut bytes) = (0, 0);
        let over = |state: &State, freed: usize| {
            state.waiting.len() > self.bounds.max_entries
                || self.bounds.max_bytes.is_some_and(|max| state.waiting_bytes > max)
                || (self.budget.used().saturating_sub(freed) > self.budget.max_bytes() && state.waiting.len() > 1)
        };
        while over(state, bytes) {
            let Some(size) = state.drop_oldest(DropReason::Overflow) else { break };
            entries += 1;
            bytes += size;
        }
        (entries, bytes)
    }

    /// Gives `bytes` back to the budget and says whom to wake.
    fn freed(&self, state: &mut State, bytes: usize) -> Wake {
        let (head, next) = (state.head(), state.next());
        state.ages.left(head, next);
        let starved = self.budget.give(bytes);
        let refused = std::mem::take(&mut state.refused);
        if state.warned && state.depth() < self.bounds.max_entries / 5 * 3 {
            state.warned = false;
            state.notice(Notice::BackToNormal { depth: state.depth() });
        }
        Wake { room: starved || refused, idle: state.is_idle(), notices: !state.notices.is_empty() }
    }

    fn wake(&self, wake: &Wake) {
        if wake.room {
            self.signals.room.notify_waiters();
        }
        if wake.idle {
            self.signals.idle.notify_waiters();
            // A closed queue whose last reservation went unused has a reader to tell.
            self.readable.notify_waiters();
        }
        if wake.notices {
            self.noticed.notify_waiters();
        }
    }

    /// Kong warns when a queue is 80 % full; so does this, once until it has drained below 60 %.
    fn warn_when_nearly_full(&self, state: &mut State) {
        let depth = state.depth();
        if !state.warned && depth * 5 >= self.bounds.max_entries * 4 {
            state.warned = true;
            state.notice(Notice::NearlyFull { depth });
        }
    }

    /// Takes up to `entries` from the front of what is leased; returns how many, how many bytes, and the first and last
    /// number.
    fn take_leased(state: &mut State, entries: usize) -> (usize, usize, (u64, u64)) {
        debug_assert!(entries <= state.leased.len(), "only leased entries can go");
        let entries = entries.min(state.leased.len());
        let first = state.head();
        let (mut last, mut bytes) = (first, 0);
        for (number, entry) in state.leased.drain(..entries) {
            last = number;
            bytes += entry.len();
        }
        state.leased_bytes -= bytes;
        (entries, bytes, (first, last))
    }

    fn release_as(&self, entries: usize, bytes: usize, unmade: Option<DropReason>) {
        let mut state = self.lock();
        debug_assert!(entries <= state.reserved && bytes <= state.reserved_bytes, "only what is reserved is released");
        if let Some(reason) = unmade {
            state.totals.count_unmade(entries, reason);
        }
        state.reserved -= entries.min(state.reserved);
        let bytes = bytes.min(state.reserved_bytes);
        state.reserved_bytes -= bytes;
        let wake = self.freed(&mut state, bytes);
        drop(state);
        self.wake(&wake);
    }
}

impl Queue for MemoryQueue {
    fn reserve(&self, entries: usize, bytes: usize) -> Result<(), NoRoom> {
        let mut state = self.lock();
        if state.closed {
            return Err(NoRoom::Full);
        }
        let alone = state.is_idle() && entries <= 1;
        if self.bounds.overflow == Overflow::DropOldest || alone {
            self.budget.take(bytes);
        } else if !self.can_ever_hold(entries, bytes) && entries > 1 {
            return Err(NoRoom::Never);
        } else if !self.own_bound_allows(&state, entries, bytes) || !self.budget.try_take(bytes) {
            state.refused = true;
            return Err(NoRoom::Full);
        }
        state.reserved += entries;
        state.reserved_bytes += bytes;
        Ok(())
    }

    fn release(&self, entries: usize, bytes: usize) {
        self.release_as(entries, bytes, None);
    }

    fn forgo(&self, entries: usize, bytes: usize, reason: DropReason) {
        self.release_as(entries, bytes, Some(reason));
    }

    fn append(&self, entries: Vec<Bytes>, reserved: usize, receipt: &Receipt) {
        // In memory an entry is as safe as it gets once it is in: nothing holds on to the receipt.
        let _ = receipt;
        let mut state = self.lock();
        debug_assert!(
            entries.len() <= state.reserved && reserved <= state.reserved_bytes,
            "entries have a reservation"
        );
        state.reserved -= entries.len().min(state.reserved);
        let mut unused = reserved.min(state.reserved_bytes);
        state.reserved_bytes -= unused;
        let (mut oversize, mut largest, next) = (0, 0, state.next());
        for entry in entries {
            state.totals.appended += 1;
            state.totals.appended_bytes += entry.len() as u64;
            // Kong rejects an entry that is larger than max_bytes; without leave to drop it is taken alone.
            let too_large = self.bounds.max_bytes.is_some_and(|max| entry.len() > max);
            if self.bounds.overflow == Overflow::DropOldest && too_large {
                oversize += 1;
                largest = largest.max(entry.len());
                continue;
            }
            match unused.checked_sub(entry.len()) {
                Some(rest) => unused = rest,
                None => self.budget.take(entry.len() - std::mem::take(&mut unused)),
            }
            state.waiting_bytes += entry.len();
            state.waiting.push_back(entry);
        }
        if state.next() > next {
            state.ages.came(next, Moment::now());
        }
        state.totals.count_dropped(oversize, DropReason::Oversize);
        let mut freed = unused;
        let mut dropped = 0;
        if self.bounds.overflow == Overflow::DropOldest {
            let (entries, bytes) = self.make_room(&mut state);
            dropped = entries;
            freed += bytes;
        }
        self.warn_when_nearly_full(&mut state);
        // Said at every power of two: the log grows slowly.
        let total = state.totals.dropped_overflow;
        if dropped > 0 && (total - dropped as u64).checked_ilog2() != total.checked_ilog2() {
            state.notice(Notice::Overflowed { total });
        }
        if oversize > 0 {
            state.notice(Notice::Oversize { entries: oversize, largest });
        }
        let wake = self.freed(&mut state, freed);
        drop(state);
        self.wake(&wake);
        self.readable.notify_waiters();
    }
}

impl Reader for MemoryQueue {
    fn ready(&self, entries: usize) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            loop {
                // Enrolled before looking, so that no wake-up falls between the look and the wait.
                let notified = self.readable.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                {
                    let state = self.lock();
                    if state.waiting.len() >= entries.max(1) {
                        return true;
                    }
                    if state.closed && !(state.waiting.is_empty() && state.reserved > 0) {
                        return !state.waiting.is_empty();
                    }
                }
                notified.await;
            }
        })
    }

    fn lease(&self, entries: usize, bytes: usize) -> BoxFuture<'_, Vec<Bytes>> {
        let mut state = self.lock();
        let mut batch = Vec::new();
        let mut size = 0;
        while batch.len() < entries {
            let Some(next) = state.waiting.front() else { break };
            if !batch.is_empty() && size + next.len() > bytes {
                break;
            }
            size += next.len();
            let Some(entry) = state.waiting.pop_front() else { break };
            batch.push(entry.clone());
            let number = state.at;
            state.leased.push_back((number, entry));
            state.at += 1;
        }
        state.waiting_bytes -= size;
        state.leased_bytes += size;
        drop(state);
        Box::pin(std::future::ready(batch))
    }

    fn commit(&self, entries: usize) {
        if entries == 0 {
            return;
        }
        let mut state = self.lock();
        let (entries, bytes, numbers) = Self::take_leased(&mut state, entries);
        state.ages.delivered(numbers, entries as u64, Moment::now());
        state.totals.delivered += entries as u64;
        state.totals.delivered_bytes += bytes as u64;
        let wake = self.freed(&mut state, bytes);
        drop(state);
        self.wake(&wake);
    }

    fn discard(&self, entries: usize, reason: DropReason) {
        if entries == 0 {
            return;
        }
        let mut state = self.lock();
        let (entries, bytes, _) = Self::take_leased(&mut state, entries);
        state.totals.count_dropped(entries as u64, reason);
        let wake = self.freed(&mut state, bytes);
        drop(state);
        self.wake(&wake);
    }

    fn drop_waiting(&self) -> u64 {
        let mut state = self.lock();
        let (mut entries, mut bytes) = (0, 0);
        while let Some(size) = state.drop_oldest(DropReason::Operator) {
            entries += 1;
            bytes += size;
        }
        let wake = self.freed(&mut state, bytes);
        drop(state);
        self.wake(&wake);
        entries
    }

    fn peek(&self, skip: usize, entries: usize) -> BoxFuture<'_, io::Result<Vec<(u64, Bytes)>>> {
        let state = self.lock();
        let leased = state.leased.iter().map(|(number, entry)| (*number, entry));
        let waiting = (state.at..).zip(&state.waiting);
        let some = leased.chain(waiting).skip(skip).take(entries).map(|(number, entry)| (number, entry.clone()));
        let found = some.collect();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn notices(&self) -> BoxFuture<'_, Vec<Notice>> {
        Box::pin(super::notices(&self.noticed, || std::mem::take(&mut self.lock().notices)))
    }

    fn close(&self) {
        self.lock().closed = true;
        self.readable.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn counters(&self) -> Counters {
        let state = self.lock();
        Counters {
            depth: state.depth(),
            bytes: state.leased_bytes + state.waiting_bytes,
            leased: state.leased.len(),
            reserved: state.reserved,
            ..state.totals
        }
    }

    fn condition(&self) -> Condition {
        let state = self.lock();
        Condition {
            oldest: state.ages.age(state.head(), Moment::now()),
            times: state.ages.times().clone(),
            failing: false,
            max_bytes: self.bounds.max_bytes,
        }
    }
}

impl Drop for MemoryQueue {
    /// What a queue held goes with it; the budget gets its bytes back.
    fn drop(&mut self) {
        let mut state = self.lock();
        let bytes = state.leased_bytes + state.waiting_bytes + state.reserved_bytes;
        let wake = self.freed(&mut state, bytes);
        drop(state);
        self.wake(&wake);
    }
}
