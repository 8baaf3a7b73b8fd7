//! The durable queue: what is in it outlives the process, and a power cut.
//!
//! Those who append do no I/O: they leave entries and a clone of the receipt with the [`Flusher`], the one thread that
//! writes and syncs for all queues of the process. An entry can be read, and its receipt is let go, when it is safe.
//! What was appended lately is delivered from memory, what is older is read from disk, so that memory does not grow with
//! what waits.

mod flusher;
mod read;
mod state;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;

pub use self::flusher::Flusher;
use self::flusher::{Bell, Shared};
use self::state::State;
use self::write::Writer;
use super::log::{FRAME_BYTES, MAX_PAYLOAD, SegmentReader};
use super::{BoxFuture, Condition, Counters, DropReason, NoRoom, Notice, Overflow, Queue, Reader, Receipt};
use crate::metric::Moment;

/// How much a durable queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableBounds {
    /// Entries at most, where that is asked for.
    pub max_entries: Option<usize>,
    /// Bytes of entries at most (Kong's `queue.max_bytes`).
    pub max_bytes: Option<usize>,
    /// Bytes on disk at most that are not delivered. The files are larger by what was delivered of the oldest segment.
    pub max_disk_bytes: usize,
    /// What happens at the bound.
    pub overflow: Overflow,
}

/// How a durable queue is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableOptions {
    /// How much it holds.
    pub bounds: DurableBounds,
    /// Without an interval, entries are synced before they are answered: a power cut loses nothing that was answered.
    /// With one, they are answered when they are written, and synced this long after it at the latest: a power cut loses
    /// what was answered since the last sync; the end of the process alone loses nothing.
    pub sync_interval: Option<Duration>,
}

impl DurableOptions {
    /// The largest size of a file, in bytes: 64 MiB, or a small part of a small queue.
    fn segment_bytes(&self) -> u64 {
        (self.bounds.max_disk_bytes as u64 / 8).clamp(64 << 10, 64 << 20)
    }
}

/// A bounded queue on disk.
///
/// A reservation counts as if its entries were in the queue; so does what is in flight, but not with
/// [`Overflow::DropOldest`].
pub struct DurableQueue {
    options: DurableOptions,
    shared: Arc<Shared>,
    readable: Notify,
    noticed: Notify,
    state: Mutex<State>,
    /// Reads what is not in memory any more.
    reader: Arc<Mutex<SegmentReader>>,
    /// The flusher's part.
    writer: Mutex<Writer>,
    /// Notified when a sync has ended.
    synced: Condvar,
}

/// What a change calls for once the lock is released.
#[derive(Default)]
struct Wake {
    room: bool,
    idle: bool,
    notices: bool,
    bell: Option<Bell>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code under the locks panics half-way through a change.
    mutex.lock()
}

impl DurableQueue {
    /// Whether everything that was appended is on disk.
    pub fn is_safe(&self) -> bool {
        let state = self.lock();
        state.durable == state.next
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn own_bounds_allow(&self, state: &State, entries: usize, bytes: usize) -> bool {
        let bounds = &self.options.bounds;
        let total = state.depth().saturating_add(state.reserved).saturating_add(entries);
        let held = (state.bytes + state.reserved_bytes).saturating_add(bytes);
        bounds.max_entries.is_none_or(|max| total <= max)
            && bounds.max_bytes.is_none_or(|max| held <= max)
            && held.saturating_add(total.saturating_mul(FRAME_BYTES)) <= bounds.max_disk_bytes
    }

    fn can_ever_hold(&self, entries: usize, bytes: usize) -> bool {
        let bounds = &self.options.bounds;
        let on_disk = bytes.saturating_add(entries.saturating_mul(FRAME_BYTES));
        bounds.max_entries.is_none_or(|max| entries <= max)
            && bytes <= bounds.max_bytes.unwrap_or(usize::MAX).min(self.shared.memory.max_bytes())
            && on_disk <= bounds.max_disk_bytes.min(self.shared.data.max_bytes())
    }

    /// Takes `bytes` of memory and `on_disk` bytes of the data directory, or neither.
    fn try_take(&self, bytes: usize, on_disk: usize) -> bool {
        if !self.shared.memory.try_take(bytes) {
            return false;
        }
        if self.shared.data.try_take(on_disk) {
            return true;
        }
        // Whoever waits for memory is woken by others: this much was never really in use.
        let _ = self.shared.memory.give(bytes);
        false
    }

    /// Whether the queue holds more than it may, and has something to drop.
    fn is_over(&self, state: &State) -> bool {
        let bounds = &self.options.bounds;
        let waiting = state.waiting();
        let waiting_bytes = state.bytes - state.leased_bytes;
        bounds.overflow == Overflow::DropOldest
            && waiting > 0
            && (bounds.max_entries.is_some_and(|max| waiting > max)
                || bounds.max_bytes.is_some_and(|max| waiting_bytes > max)
                || waiting_bytes + waiting * FRAME_BYTES > bounds.max_disk_bytes
                || (self.shared.data.used() > self.shared.data.max_bytes() && waiting > 1))
    }

    /// Whether an entry alone is more than the queue may hold.
    fn is_oversize(&self, len: usize) -> bool {
        let bounds = &self.options.bounds;
        let too_large = bounds.max_bytes.is_some_and(|max| len > max) || len + FRAME_BYTES > bounds.max_disk_bytes;
        len > MAX_PAYLOAD || (bounds.overflow == Overflow::DropOldest && too_large)
    }

    /// Brings the shared bounds in line with what the queue holds and says whom to wake.
    fn settle(&self, state: &mut State) -> Wake {
        let mut wake = Wake { room: false, idle: state.is_idle(), ..Wake::default() };
        let adjust = |budget: &super::Budget, held: &mut usize, now: usize| {
            let mut starved = false;
            if now > *held {
                budget.take(now - *held);
            } else {
                starved = budget.give(*held - now);
            }
            *held = now;
            starved
        };
        let (in_memory, on_disk) = (state.unsafe_bytes + state.reserved_bytes, state.disk_bytes());
        let starved = adjust(&self.shared.memory, &mut state.memory_held, in_memory)
            | adjust(&self.shared.data, &mut state.data_held, on_disk);
        wake.room = starved || (!state.failing && std::mem::take(&mut state.refused));
        self.watch_level(state);
        wake.notices = !state.notices.is_empty();
        wake
    }

    /// Kong warns when a queue is 80 % full; so does this, once until it has drained below 60 %.
    fn watch_level(&self, state: &mut State) {
        let depth = state.depth();
        let reaches = |percent: usize| {
            let bounds = &self.options.bounds;
            bounds.max_entries.is_some_and(|max| depth * 100 >= max * percent)
                || state.disk_bytes() / percent >= bounds.max_disk_bytes / 100
        };
        if !state.warned && reaches(80) && depth > 0 {
            state.warned = true;
            state.notice(Notice::NearlyFull { depth });
        } else if state.warned && !reaches(60) {
            state.warned = false;
            state.notice(Notice::BackToNormal { depth });
        }
    }

    fn wake(&self, wake: Wake) {
        if wake.room {
            self.shared.signals.room.notify_waiters();
        }
        if wake.idle {
            self.shared.signals.idle.notify_waiters();
            // A closed queue whose last reservation went unused has a reader to tell.
            self.readable.notify_waiters();
        }
        if wake.notices {
            self.noticed.notify_waiters();
        }
        if let Some(bell) = wake.bell {
            self.shared.ring(bell);
        }
    }

    fn release_as(&self, entries: usize, bytes: usize, unmade: Option<DropReason>) {
        let mut state = self.lock();
        debug_assert!(entries <= state.reserved && bytes <= state.reserved_bytes, "only what is reserved is released");
        if let Some(reason) = unmade {
            state.totals.count_unmade(entries, reason);
        }
        state.reserved -= entries.min(state.reserved);
        state.reserved_bytes -= bytes.min(state.reserved_bytes);
        let wake = self.settle(&mut state);
        drop(state);
        self.wake(wake);
    }

    /// The first `entries` leased ones are done with.
    fn resolve(&self, entries: usize, dropped: Option<DropReason>) {
        if entries == 0 {
            return;
        }
        let mut state = self.lock();
        // Before they are taken: the marks go with the entries.
        let delivered = state.leased_numbers(entries).filter(|_| dropped.is_none());
        if let Some((numbers, entries)) = delivered {
            state.ages.delivered(numbers, entries, Moment::now());
        }
        let (entries, bytes) = state.take_leased(entries);
        match dropped {
            Some(reason) => state.totals.count_dropped(entries, reason),
            None => {
                state.totals.delivered += entries;
                state.totals.delivered_bytes += bytes;
            }
        }
        let wake = Wake { bell: Some(Bell::Moved), ..self.settle(&mut state) };
        drop(state);
        self.wake(wake);
    }
}

impl Queue for DurableQueue {
    fn reserve(&self, entries: usize, bytes: usize) -> Result<(), NoRoom> {
        let mut state = self.lock();
        if state.closed {
            return Err(NoRoom::Full);
        }
        let on_disk = bytes.saturating_add(entries.saturating_mul(FRAME_BYTES));
        let alone = state.is_idle() && entries <= 1;
        if state.failing {
            state.refused = true;
            return Err(NoRoom::Failing);
        } else if self.options.bounds.overflow == Overflow::DropOldest || alone {
            self.shared.memory.take(bytes);
            self.shared.data.take(on_disk);
        } else if !self.can_ever_hold(entries, bytes) && entries > 1 {
            return Err(NoRoom::Never);
        } else if !self.own_bounds_allow(&state, entries, bytes) || !self.try_take(bytes, on_disk) {
            state.refused = true;
            return Err(NoRoom::Full);
        }
        state.reserved += entries;
        state.reserved_bytes += bytes;
        state.memory_held += bytes;
        state.data_held += on_disk;
        Ok(())
    }

    fn release(&self, entries: usize, bytes: usize) {
        self.release_as(entries, bytes, None);
    }

    fn forgo(&self, entries: usize, bytes: usize, reason: DropReason) {
        self.release_as(entries, bytes, Some(reason));
    }

    fn append(&self, entries: Vec<Bytes>, reserved: usize, receipt: &Receipt) {
        let mut state = self.lock();
        debug_assert!(
            entries.len() <= state.reserved && reserved <= state.reserved_bytes,
            "entries have a reservation"
        );
        state.reserved -= entries.len().min(state.reserved);
        state.reserved_bytes -= reserved.min(state.reserved_bytes);
        let (mut oversize, mut largest, before, next) = (0, 0, state.recent_bytes, state.next);
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
            state.ages.came(next, Moment::now());
        }
        self.shared.recent.take(state.recent_bytes - before);
        state.totals.count_dropped(oversize, DropReason::Oversize);
        if oversize > 0 {
            state.notice(Notice::Oversize { entries: oversize, largest });
        }
        state.await_safety(receipt.clone());
        let wake = Wake { bell: Some(Bell::Appended), ..self.settle(&mut state) };
        drop(state);
        self.wake(wake);
    }
}

impl Reader for DurableQueue {
    fn ready(&self, entries: usize) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            loop {
                // Enrolled before looking, so that no wake-up falls between the look and the wait.
                let notified = self.readable.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                {
                    let state = self.lock();
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
        Box::pin(self.lease_next(entries, bytes))
    }

    fn commit(&self, entries: usize) {
        self.resolve(entries, None);
    }

    fn discard(&self, entries: usize, reason: DropReason) {
        self.resolve(entries, Some(reason));
    }

    fn drop_waiting(&self) -> u64 {
        let mut state = self.lock();
        let (entries, bytes) = state.drop_readable();
        let wake = Wake { bell: Some(Bell::Moved), ..self.settle(&mut state) };
        drop(state);
        self.shared.recent.give(bytes);
        self.wake(wake);
        entries
    }

    fn peek(&self, skip: usize, entries: usize) -> BoxFuture<'_, io::Result<Vec<(u64, Bytes)>>> {
        Box::pin(self.peek_at(skip, entries))
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
            bytes: state.bytes,
            leased: state.leased.len(),
            reserved: state.reserved,
            ..state.totals
        }
    }

    fn condition(&self) -> Condition {
        let DurableBounds { max_bytes, max_disk_bytes, .. } = self.options.bounds;
        let state = self.lock();
        Condition {
            oldest: state.ages.age(state.head(), Moment::now()),
            times: state.ages.times().clone(),
            failing: state.failing,
            max_bytes: Some(max_bytes.map_or(max_disk_bytes, |max| max.min(max_disk_bytes))),
        }
    }
}

impl Drop for DurableQueue {
    /// The shared bounds get back what the queue held; what is on disk stays there.
    fn drop(&mut self) {
        let mut state = self.lock();
        // Letting them go would answer for what is not safe.
        std::mem::take(&mut state.receipts).into_iter().for_each(std::mem::forget);
        let starved = self.shared.memory.give(std::mem::take(&mut state.memory_held))
            | self.shared.data.give(std::mem::take(&mut state.data_held));
        self.shared.recent.give(std::mem::take(&mut state.recent_bytes));
        drop(state);
        self.wake(Wake { room: starved, idle: true, ..Wake::default() });
    }
}
