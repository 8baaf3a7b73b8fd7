//! The durable queue: its entries survive the end of the process, and a power failure.
//!
//! Appending does no I/O: entries and a clone of the receipt are left to the [`Flusher`], whose threads write and sync all
//! queues of the process. An entry can be leased, and its receipt is dropped, when it is safe. Recent entries are delivered
//! from memory and older ones are read from disk, so that memory does not grow with the queue.

mod again;
mod flusher;
mod read;
mod spill;
mod state;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

pub use self::flusher::Flusher;
use self::flusher::{Shared, Wakeup};
use self::state::State;
use self::write::Writer;
use super::log::{FRAME_BYTES, MAX_PAYLOAD, SegmentReader};
use super::{
    Bound, BoxFuture, Counters, DropReason, Overflow, Queue, QueueEvent, QueueStatus, Reader, Receipt, ReserveError,
};
use crate::metric::Moment;

/// How much a durable queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableBounds {
    /// Entries at most, if there is such a bound.
    pub max_entries: Option<usize>,
    /// Bytes of entries at most (Kong's `queue.max_bytes`).
    pub max_bytes: Option<usize>,
    /// Bytes of undelivered entries on disk at most. The files are larger by the delivered entries of the oldest segment.
    pub max_disk_bytes: usize,
    /// What happens at the bound.
    pub overflow: Overflow,
}

/// The options of a durable queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableOptions {
    /// Its bounds.
    pub bounds: DurableBounds,
    /// When its entries are written.
    pub mode: Mode,
}

/// When the entries of a durable queue are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are synced before they are acknowledged: a power failure loses no acknowledged entry.
    Sync,
    /// They are acknowledged when they are written, and synced at most this long after it: a power failure loses the entries
    /// that were acknowledged since the last sync; the end of the process alone loses nothing.
    Interval(Duration),
    /// They wait in memory, where they are acknowledged and delivered at once, and are written only when they are too many.
    /// The end of the process loses what only memory has, except after [`Flusher::shut_down`].
    Spill,
}

impl DurableOptions {
    /// The largest size of a segment in bytes: 64 MiB, or an eighth of a small queue.
    fn segment_bytes(&self) -> u64 {
        (self.bounds.max_disk_bytes as u64 / 8).clamp(64 << 10, 64 << 20)
    }
}

/// A bounded queue on disk.
///
/// The bounds count reserved entries, and also entries in flight unless [`Overflow::DropOldest`] is set. They do not count the
/// unconfirmed entries; the bound on the data directory does, because their files stay.
pub struct DurableQueue {
    options: DurableOptions,
    shared: Arc<Shared>,
    readable: Notify,
    event_ready: Notify,
    state: Mutex<State>,
    /// Reads entries that are not in memory any more.
    reader: Arc<Mutex<SegmentReader>>,
    /// What the flusher threads use.
    writer: Mutex<Writer>,
    /// Notified when a sync ends.
    synced: Condvar,
    /// It has never needed the flusher: a queue that spills, and has not yet done so.
    is_dormant: AtomicBool,
}

/// Whom to notify after a change, once the lock is released.
#[derive(Default)]
struct Notifications {
    room: bool,
    idle: bool,
    events: bool,
    flusher: Option<Wakeup>,
}

impl DurableQueue {
    /// Whether all appended entries are synced.
    pub fn is_synced(&self) -> bool {
        let state = self.state.lock();
        state.durable == state.next
    }

    /// The bound of the queue that another `entries` entries of `bytes` bytes would exceed.
    fn exceeded_bound(&self, state: &State, entries: usize, bytes: usize) -> Option<Bound> {
        let bounds = &self.options.bounds;
        let total = state.depth().saturating_add(state.reserved).saturating_add(entries);
        let held = (state.bytes + state.reserved_bytes).saturating_add(bytes);
        if bounds.max_entries.is_some_and(|max| total > max) {
            Some(Bound::MaxEntries)
        } else if bounds.max_bytes.is_some_and(|max| held > max) {
            Some(Bound::MaxBytes)
        } else {
            let on_disk = held.saturating_add(total.saturating_mul(FRAME_BYTES));
            (on_disk > bounds.max_disk_bytes).then_some(Bound::MaxDiskBytes)
        }
    }

    fn can_ever_hold(&self, state: &State, entries: usize, bytes: usize) -> bool {
        let bounds = &self.options.bounds;
        let on_disk = bytes.saturating_add(entries.saturating_mul(FRAME_BYTES));
        bounds.max_entries.is_none_or(|max| entries <= max)
            && bytes <= bounds.max_bytes.unwrap_or(usize::MAX).min(state.memory.most())
            && on_disk <= bounds.max_disk_bytes.min(state.data.most())
    }

    /// Acquires `bytes` of memory and `on_disk` bytes of the data directory, or neither: then returns the bound that they
    /// would exceed.
    fn try_acquire(state: &mut State, bytes: usize, on_disk: usize) -> Option<Bound> {
        if !state.memory.try_acquire(bytes) {
            return Some(Bound::MaxMemory);
        }
        if state.data.try_acquire(on_disk) {
            return None;
        }
        // Waiting tasks need no notification: these bytes were never really in use.
        let _ = state.memory.release(bytes);
        Some(Bound::MaxDataBytes)
    }

    /// Whether the queue is past its bounds and has entries to drop.
    fn is_overfull(&self, state: &State) -> bool {
        let bounds = &self.options.bounds;
        let waiting = state.waiting();
        let waiting_bytes = state.bytes.saturating_sub(state.leased_bytes + state.again_bytes);
        bounds.overflow == Overflow::DropOldest
            && waiting > 0
            && (bounds.max_entries.is_some_and(|max| waiting > max)
                || bounds.max_bytes.is_some_and(|max| waiting_bytes > max)
                || waiting_bytes + waiting * FRAME_BYTES > bounds.max_disk_bytes
                || (state.data.is_overdrawn() && waiting > 1))
    }

    /// Whether an entry alone is larger than the queue allows.
    fn is_oversize(&self, len: usize) -> bool {
        let bounds = &self.options.bounds;
        let too_large = bounds.max_bytes.is_some_and(|max| len > max) || len + FRAME_BYTES > bounds.max_disk_bytes;
        len > MAX_PAYLOAD || (bounds.overflow == Overflow::DropOldest && too_large)
    }

    /// Adjusts what the queue has acquired of the shared budgets, and returns whom to notify.
    fn adjust_budgets(&self, state: &mut State) -> Notifications {
        let mut notifications = Notifications { room: false, idle: state.is_idle(), ..Notifications::default() };
        let (in_memory, on_disk) = (state.memory_bytes(), state.disk_bytes());
        let starved = state.memory.set(in_memory) | state.data.set(on_disk);
        self.adjust_pool(state);
        let has_room = state.spills || !state.failing;
        notifications.room = starved || (has_room && std::mem::take(&mut state.refused));
        self.report_level(state);
        notifications.events = !state.events.is_empty();
        notifications
    }

    /// Adjusts what the queue has acquired of the pool of recent entries.
    fn adjust_pool(&self, state: &mut State) {
        let now = state.pool_bytes();
        match now.checked_sub(state.pooled) {
            Some(0) => return,
            Some(more) => self.shared.recent.acquire(more),
            None => self.shared.recent.release(state.pooled - now),
        }
        state.pooled = now;
    }

    /// Reports a queue that is 80 % full, as Kong does, once until it is below 60 %.
    fn report_level(&self, state: &mut State) {
        let depth = state.depth();
        let entries = if state.spills { self.stuck_entries(state) } else { depth };
        let reaches = |percent: usize| {
            let bounds = &self.options.bounds;
            bounds.max_entries.is_some_and(|max| entries * 100 >= max * percent)
                || state.unsettled_disk_bytes() / percent >= bounds.max_disk_bytes / 100
        };
        if !state.warned && reaches(80) && depth > 0 {
            state.warned = true;
            state.events.push(QueueEvent::NearlyFull { depth });
        } else if state.warned && !reaches(60) {
            state.warned = false;
            state.events.push(QueueEvent::BackToNormal { depth });
        }
    }

    fn notify(&self, notifications: Notifications) {
        if notifications.room {
            self.shared.signals.room.notify_waiters();
        }
        if notifications.idle {
            self.shared.signals.idle.notify_waiters();
            // The reader of a closed queue waits for the last reservation to be released.
            self.readable.notify_waiters();
        }
        if notifications.events {
            self.event_ready.notify_waiters();
        }
        if let Some(wakeup) = notifications.flusher {
            self.is_dormant.store(false, Ordering::SeqCst);
            self.shared.wake(wakeup);
        }
    }

    fn release_as(&self, entries: usize, bytes: usize, unmade: Option<DropReason>) {
        let mut state = self.state.lock();
        debug_assert!(entries <= state.reserved && bytes <= state.reserved_bytes, "only what is reserved is released");
        if let Some(reason) = unmade {
            state.totals.count_unmade(entries, reason);
        }
        state.reserved -= entries.min(state.reserved);
        state.reserved_bytes -= bytes.min(state.reserved_bytes);
        let notifications = self.adjust_budgets(&mut state);
        drop(state);
        self.notify(notifications);
    }

    /// Changes the state where entries were removed from the front, and wakes whom that concerns.
    fn remove(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        // The cursor of a queue that has nothing on disk need not be saved.
        let wakes = !state.spills || state.head() < state.logged;
        change(&mut state);
        let flusher = wakes.then_some(Wakeup::Removed);
        let notifications = Notifications { flusher, ..self.adjust_budgets(&mut state) };
        drop(state);
        self.notify(notifications);
    }
}

impl Queue for DurableQueue {
    fn reserve(&self, entries: usize, bytes: usize) -> Result<(), ReserveError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(ReserveError::Closed);
        }
        if state.spills {
            return self.reserve_memory(state, entries, bytes);
        }
        let on_disk = bytes.saturating_add(entries.saturating_mul(FRAME_BYTES));
        let alone = state.is_idle() && entries <= 1;
        if state.failing {
            state.refused = true;
            return Err(ReserveError::Failing);
        } else if self.options.bounds.overflow == Overflow::DropOldest || alone {
            state.memory.acquire(bytes);
            state.data.acquire(on_disk);
        } else if !self.can_ever_hold(&state, entries, bytes) && entries > 1 {
            return Err(ReserveError::TooLarge);
        } else if let Some(bound) =
            self.exceeded_bound(&state, entries, bytes).or_else(|| Self::try_acquire(&mut state, bytes, on_disk))
        {
            state.refused = true;
            return Err(ReserveError::Full(bound));
        }
        state.reserved += entries;
        state.reserved_bytes += bytes;
        Ok(())
    }

    fn release(&self, entries: usize, bytes: usize) {
        self.release_as(entries, bytes, None);
    }

    fn release_dropped(&self, entries: usize, bytes: usize, reason: DropReason) {
        self.release_as(entries, bytes, Some(reason));
    }

    fn count_refusal(&self, error: ReserveError, dropped: usize) {
        let mut state = self.state.lock();
        state.totals.count_refusal(dropped);
        state.events.push_refusal(error, dropped as u64);
        drop(state);
        self.event_ready.notify_waiters();
    }

    fn append(&self, entries: Vec<Bytes>, reserved: usize, receipt: &Receipt) {
        let mut state = self.state.lock();
        debug_assert!(
            entries.len() <= state.reserved && reserved <= state.reserved_bytes,
            "entries have a reservation"
        );
        state.reserved -= entries.len().min(state.reserved);
        state.reserved_bytes -= reserved.min(state.reserved_bytes);
        let (mut oversize, mut largest, next) = (0, 0, state.next);
        for entry in entries {
            state.totals.appended += 1;
            state.totals.appended_bytes += entry.len() as u64;
            if self.is_oversize(entry.len()) {
                oversize += 1;
                largest = largest.max(entry.len());
                continue;
            }
            state.push(entry);
        }
        if state.next > next {
            state.ages.arrived(next, Moment::now());
        }
        state.totals.count_dropped(oversize, DropReason::Oversize);
        if oversize > 0 {
            state.events.push(QueueEvent::Oversize { entries: oversize, largest });
        }
        let is_readable = state.spills;
        if !is_readable {
            state.hold_receipt(receipt.clone());
        }
        let notifications = self.adjust_budgets(&mut state);
        let flusher = self.must_write(&state).then_some(Wakeup::Appended);
        drop(state);
        self.notify(Notifications { flusher, ..notifications });
        if is_readable {
            self.readable.notify_waiters();
        }
    }
}

impl Reader for DurableQueue {
    fn ready(&self, entries: usize) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            loop {
                // Registered before the check, so that no notification between the check and the wait is missed.
                let notified = self.readable.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                {
                    let state = self.state.lock();
                    let waiting = state.readable_entries();
                    if waiting >= entries.max(1) {
                        return true;
                    }
                    let more_comes = state.reserved > 0 || state.next > state.readable;
                    if state.closed && !(waiting == 0 && more_comes) {
                        return waiting > 0;
                    }
                }
                notified.await;
            }
        })
    }

    fn lease(&self, entries: usize, bytes: usize) -> BoxFuture<'_, Vec<Bytes>> {
        Box::pin(async move {
            let again = self.lease_again(entries, bytes).await;
            if again.is_empty() { self.lease_next(entries, bytes).await } else { again }
        })
    }

    fn settle(&self, entries: usize, unconfirmed: usize) {
        self.remove(|state| state.settle(entries, unconfirmed));
    }

    fn revoke(&self, entries: usize) {
        self.remove(|state| state.revoke(entries));
        self.readable.notify_waiters();
    }

    fn discard(&self, entries: usize, reason: DropReason) {
        if entries > 0 {
            self.remove(|state| {
                let (entries, _) = state.take_leased(entries);
                state.totals.count_dropped(entries, reason);
            });
        }
    }

    fn drop_waiting(&self) -> u64 {
        let mut state = self.state.lock();
        let entries = state.drop_readable();
        let notifications = Notifications { flusher: Some(Wakeup::Removed), ..self.adjust_budgets(&mut state) };
        drop(state);
        self.notify(notifications);
        entries
    }

    fn peek(&self, skip: usize, entries: usize) -> BoxFuture<'_, io::Result<Vec<(u64, Bytes)>>> {
        Box::pin(self.peek_at(skip, entries))
    }

    fn events(&self) -> BoxFuture<'_, Vec<QueueEvent>> {
        Box::pin(super::events(&self.event_ready, || self.state.lock().events.take()))
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.readable.notify_waiters();
    }

    fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    fn counters(&self) -> Counters {
        let state = self.state.lock();
        Counters {
            depth: state.unconfirmed.len() + state.depth(),
            bytes: state.unconfirmed.bytes() + state.bytes,
            unconfirmed: state.unconfirmed.len(),
            unconfirmed_bytes: state.unconfirmed.bytes(),
            leased: state.leased.len(),
            reserved: state.reserved,
            ..state.totals
        }
    }

    fn status(&self) -> QueueStatus {
        let DurableBounds { max_bytes, max_disk_bytes, .. } = self.options.bounds;
        let state = self.state.lock();
        let max_bytes = max_bytes.filter(|_| !state.spills);
        QueueStatus {
            oldest: state.ages.age(state.first_unsettled(), Moment::now()),
            times: state.ages.times().clone(),
            unreadable: state.unreadable,
            failing: state.failing && !(state.spills && self.has_room_in_memory(&state)),
            on_disk: !state.spills || state.logged > state.head(),
            lacks_room: state.unconfirmed.len() > 0 && (state.failing || state.refused),
            max_bytes: Some(max_bytes.map_or(max_disk_bytes, |max| max.min(max_disk_bytes))),
        }
    }
}

impl Drop for DurableQueue {
    /// Releases what the queue has acquired of the shared budgets; the files stay.
    fn drop(&mut self) {
        let mut state = self.state.lock();
        // Dropping them would acknowledge entries that are not safe.
        std::mem::take(&mut state.receipts).into_iter().for_each(std::mem::forget);
        let starved = state.memory.close() | state.data.close();
        self.shared.recent.release(std::mem::take(&mut state.pooled));
        drop(state);
        self.notify(Notifications { room: starved, idle: true, ..Notifications::default() });
    }
}
