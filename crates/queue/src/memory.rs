//! The queue in memory: its entries are lost when the process ends.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;

use super::budget::Account;
use super::{
    Bound, Bounds, BoxFuture, Budget, Counters, DropReason, Overflow, Queue, QueueEvent, QueueStatus, Reader, Receipt,
    ReserveError, Signals,
};
use crate::events::Events;
use crate::metric::{Ages, Moment};
use crate::unconfirmed::Unconfirmed;

/// A bounded queue in memory.
///
/// The bounds count reserved entries, and not the unconfirmed ones, whose bytes their sink bounds. With [`Overflow::Block`] they also count entries in flight; with
/// [`Overflow::DropOldest`] they do not, as in Kong, where a batch leaves the queue before it is sent.
pub struct MemoryQueue {
    bounds: Bounds,
    signals: Signals,
    readable: Notify,
    event_ready: Notify,
    state: Mutex<State>,
}

struct State {
    unconfirmed: Unconfirmed<Bytes>,
    /// With their numbers, which have gaps where waiting entries were dropped.
    leased: VecDeque<(u64, Bytes)>,
    /// Entries that were revoked: they are leased again before the waiting ones.
    again: VecDeque<(u64, Bytes)>,
    again_bytes: usize,
    waiting: VecDeque<Bytes>,
    /// The number of the first waiting entry.
    at: u64,
    leased_bytes: usize,
    waiting_bytes: usize,
    reserved: usize,
    reserved_bytes: usize,
    /// All of these bytes.
    account: Account,
    closed: bool,
    // A reservation has failed since there was last room.
    refused: bool,
    // The queue was reported as nearly full.
    warned: bool,
    totals: Counters,
    ages: Ages,
    events: Events,
}

impl State {
    fn new(account: Account) -> Self {
        Self {
            unconfirmed: Unconfirmed::default(),
            leased: VecDeque::new(),
            again: VecDeque::new(),
            again_bytes: 0,
            waiting: VecDeque::new(),
            at: 0,
            leased_bytes: 0,
            waiting_bytes: 0,
            reserved: 0,
            reserved_bytes: 0,
            account,
            closed: false,
            refused: false,
            warned: false,
            totals: Counters::default(),
            ages: Ages::default(),
            events: Events::default(),
        }
    }

    /// Entries that are not settled.
    fn depth(&self) -> usize {
        self.leased.len() + self.readable()
    }

    /// Entries that can be leased.
    fn readable(&self) -> usize {
        self.again.len() + self.waiting.len()
    }

    /// Bytes of the entries that are not settled.
    fn bytes(&self) -> usize {
        self.leased_bytes + self.again_bytes + self.waiting_bytes
    }

    fn is_idle(&self) -> bool {
        self.depth() == 0 && self.reserved == 0
    }

    /// The number of the oldest entry that is not settled.
    fn head(&self) -> u64 {
        self.leased.front().or_else(|| self.again.front()).map_or(self.at, |(number, _)| *number)
    }

    /// The number of the next entry to be appended.
    fn next(&self) -> u64 {
        self.at + self.waiting.len() as u64
    }

    /// Drops the oldest waiting entry and returns its size.
    fn drop_oldest(&mut self, reason: DropReason) -> Option<usize> {
        let entry = self.waiting.pop_front()?;
        self.at += 1;
        self.waiting_bytes -= entry.len();
        self.totals.count_dropped(1, reason);
        Some(entry.len())
    }
}

/// Whom to notify after a change, once the lock is released.
#[derive(Default)]
struct Notifications {
    room: bool,
    idle: bool,
    events: bool,
}

impl MemoryQueue {
    /// An empty queue within `bounds` and the process's `budget`.
    pub fn new(bounds: Bounds, budget: Arc<Budget>, signals: Signals) -> Self {
        let state = Mutex::new(State::new(budget.open()));
        Self { bounds, signals, readable: Notify::new(), event_ready: Notify::new(), state }
    }

    /// The bound that another `entries` entries of `bytes` bytes would exceed. If there is none, acquires the bytes.
    fn try_acquire(&self, state: &mut State, entries: usize, bytes: usize) -> Option<Bound> {
        let total = state.depth().saturating_add(state.reserved).saturating_add(entries);
        let held = state.bytes() + state.reserved_bytes;
        if total > self.bounds.max_entries {
            Some(Bound::MaxEntries)
        } else if self.bounds.max_bytes.is_some_and(|max| held.saturating_add(bytes) > max) {
            Some(Bound::MaxBytes)
        } else {
            (!state.account.try_acquire(bytes)).then_some(Bound::MaxMemory)
        }
    }

    fn can_ever_hold(&self, state: &State, entries: usize, bytes: usize) -> bool {
        entries <= self.bounds.max_entries
            && bytes <= self.bounds.max_bytes.unwrap_or(usize::MAX).min(state.account.most())
    }

    /// Drops the oldest entries until the bounds hold. Returns how many, and whether a task waits for their bytes.
    fn make_room(&self, state: &mut State) -> (usize, bool) {
        let (mut entries, mut starved) = (0, false);
        let over = |state: &State| {
            state.waiting.len() > self.bounds.max_entries
                || self.bounds.max_bytes.is_some_and(|max| state.waiting_bytes > max)
                || (state.account.is_overdrawn() && state.waiting.len() > 1)
        };
        while over(state) {
            let Some(size) = state.drop_oldest(DropReason::Overflow) else { break };
            entries += 1;
            starved |= state.account.release(size);
        }
        (entries, starved)
    }

    /// Releases `bytes` of the budget, and returns whom to notify.
    fn release_bytes(&self, state: &mut State, bytes: usize) -> Notifications {
        let (head, next) = (state.head(), state.next());
        state.ages.remove_below(head, next);
        let starved = state.account.release(bytes);
        let refused = std::mem::take(&mut state.refused);
        if state.warned && state.depth() < self.bounds.max_entries / 5 * 3 {
            state.warned = false;
            state.events.push(QueueEvent::BackToNormal { depth: state.depth() });
        }
        Notifications { room: starved || refused, idle: state.is_idle(), events: !state.events.is_empty() }
    }

    fn notify(&self, notifications: &Notifications) {
        if notifications.room {
            self.signals.room.notify_waiters();
        }
        if notifications.idle {
            self.signals.idle.notify_waiters();
            // The reader of a closed queue waits for the last reservation to be released.
            self.readable.notify_waiters();
        }
        if notifications.events {
            self.event_ready.notify_waiters();
        }
    }

    /// Reports a queue that is 80 % full, as Kong does, once until it is below 60 %.
    fn report_nearly_full(&self, state: &mut State) {
        let depth = state.depth();
        if !state.warned && depth * 5 >= self.bounds.max_entries * 4 {
            state.warned = true;
            state.events.push(QueueEvent::NearlyFull { depth });
        }
    }

    /// Removes up to `entries` leased entries from the front; returns how many, their bytes, and the first and the last
    /// number.
    fn take_leased(state: &mut State, entries: usize) -> (usize, usize, (u64, u64)) {
        debug_assert!(entries <= state.leased.len(), "only leased entries can be removed");
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
        let mut state = self.state.lock();
        debug_assert!(entries <= state.reserved && bytes <= state.reserved_bytes, "only what is reserved is released");
        if let Some(reason) = unmade {
            state.totals.count_unmade(entries, reason);
        }
        state.reserved -= entries.min(state.reserved);
        let bytes = bytes.min(state.reserved_bytes);
        state.reserved_bytes -= bytes;
        let notifications = self.release_bytes(&mut state, bytes);
        drop(state);
        self.notify(&notifications);
    }
}

impl Queue for MemoryQueue {
    fn reserve(&self, entries: usize, bytes: usize) -> Result<(), ReserveError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(ReserveError::Closed);
        }
        let alone = state.is_idle() && entries <= 1;
        if self.bounds.overflow == Overflow::DropOldest || alone {
            state.account.acquire(bytes);
        } else if !self.can_ever_hold(&state, entries, bytes) && entries > 1 {
            return Err(ReserveError::TooLarge);
        } else if let Some(bound) = self.try_acquire(&mut state, entries, bytes) {
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
        // An entry in memory is as safe as it gets: nothing holds the receipt.
        let _ = receipt;
        let mut state = self.state.lock();
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
            // Kong drops an entry that is larger than max_bytes. With `Overflow::Block` it is accepted.
            let too_large = self.bounds.max_bytes.is_some_and(|max| entry.len() > max);
            if self.bounds.overflow == Overflow::DropOldest && too_large {
                oversize += 1;
                largest = largest.max(entry.len());
                continue;
            }
            match unused.checked_sub(entry.len()) {
                Some(rest) => unused = rest,
                None => state.account.acquire(entry.len() - std::mem::take(&mut unused)),
            }
            state.waiting_bytes += entry.len();
            state.waiting.push_back(entry);
        }
        if state.next() > next {
            state.ages.arrived(next, Moment::now());
        }
        state.totals.count_dropped(oversize, DropReason::Oversize);
        let mut starved = state.account.release(unused);
        let mut dropped = 0;
        if self.bounds.overflow == Overflow::DropOldest {
            let made = self.make_room(&mut state);
            dropped = made.0;
            starved |= made.1;
        }
        self.report_nearly_full(&mut state);
        let total = state.totals.dropped_overflow;
        if dropped > 0 && (total - dropped as u64).checked_ilog2() != total.checked_ilog2() {
            state.events.push(QueueEvent::Overflowed { total });
        }
        if oversize > 0 {
            state.events.push(QueueEvent::Oversize { entries: oversize, largest });
        }
        let mut notifications = self.release_bytes(&mut state, 0);
        notifications.room |= starved;
        drop(state);
        self.notify(&notifications);
        self.readable.notify_waiters();
    }
}

impl Reader for MemoryQueue {
    fn ready(&self, entries: usize) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            loop {
                // Registered before the check, so that no notification between the check and the wait is missed.
                let notified = self.readable.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                {
                    let state = self.state.lock();
                    let readable = state.readable();
                    if readable >= entries.max(1) {
                        return true;
                    }
                    if state.closed && !(readable == 0 && state.reserved > 0) {
                        return readable > 0;
                    }
                }
                notified.await;
            }
        })
    }

    fn lease(&self, entries: usize, bytes: usize) -> BoxFuture<'_, Vec<Bytes>> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut batch = Vec::new();
        let mut size = 0;
        while batch.len() < entries {
            let again = state.again.front().map(|(_, entry)| entry.len());
            let Some(next) = again.or_else(|| state.waiting.front().map(Bytes::len)) else { break };
            if !batch.is_empty() && size + next > bytes {
                break;
            }
            size += next;
            let (number, entry) = if let Some(entry) = state.again.pop_front() {
                state.again_bytes -= next;
                entry
            } else {
                let Some(entry) = state.waiting.pop_front() else { break };
                state.waiting_bytes -= next;
                state.at += 1;
                (state.at - 1, entry)
            };
            batch.push(entry.clone());
            state.leased.push_back((number, entry));
        }
        state.leased_bytes += size;
        Box::pin(std::future::ready(batch))
    }

    fn settle(&self, entries: usize, unconfirmed: usize) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let (now, entries) = (Moment::now(), entries.min(state.leased.len()));
        let bytes = if unconfirmed == 0 && state.unconfirmed.len() == 0 {
            if entries == 0 {
                return;
            }
            let (entries, bytes, numbers) = Self::take_leased(state, entries);
            state.ages.delivered(numbers, entries as u64, now);
            state.totals.delivered += entries as u64;
            state.totals.delivered_bytes += bytes as u64;
            bytes
        } else {
            let before = state.unconfirmed.bytes();
            state.unconfirmed.extend(state.leased.drain(..entries), &state.ages, now);
            let bytes = state.unconfirmed.bytes() - before;
            state.leased_bytes -= bytes;
            let (delivered, delivered_bytes) = state.unconfirmed.confirm(unconfirmed, &mut state.ages);
            state.totals.delivered += delivered;
            state.totals.delivered_bytes += delivered_bytes;
            bytes
        };
        let notifications = self.release_bytes(state, bytes);
        drop(guard);
        self.notify(&notifications);
    }

    fn revoke(&self, entries: usize) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        while let Some(entry) = state.leased.pop_back() {
            state.again.push_front(entry);
        }
        state.again_bytes += std::mem::take(&mut state.leased_bytes);
        let mut bytes = 0;
        for _ in 0..entries {
            let Some(entry) = state.unconfirmed.take_newest(&mut state.ages) else { break };
            bytes += entry.1.len();
            state.again.push_front(entry);
        }
        state.again_bytes += bytes;
        state.account.acquire(bytes);
        drop(guard);
        self.readable.notify_waiters();
    }

    fn discard(&self, entries: usize, reason: DropReason) {
        if entries == 0 {
            return;
        }
        let mut state = self.state.lock();
        let (entries, bytes, _) = Self::take_leased(&mut state, entries);
        state.totals.count_dropped(entries as u64, reason);
        let notifications = self.release_bytes(&mut state, bytes);
        drop(state);
        self.notify(&notifications);
    }

    fn drop_waiting(&self) -> u64 {
        let mut state = self.state.lock();
        let (mut entries, mut bytes) = (0, 0);
        entries += state.again.len() as u64;
        bytes += std::mem::take(&mut state.again_bytes);
        state.again.clear();
        state.totals.count_dropped(entries, DropReason::Operator);
        while let Some(size) = state.drop_oldest(DropReason::Operator) {
            entries += 1;
            bytes += size;
        }
        let notifications = self.release_bytes(&mut state, bytes);
        drop(state);
        self.notify(&notifications);
        entries
    }

    fn peek(&self, skip: usize, entries: usize) -> BoxFuture<'_, io::Result<Vec<(u64, Bytes)>>> {
        let state = self.state.lock();
        let numbered = state.unconfirmed.iter().chain(&state.leased).chain(&state.again);
        let numbered = numbered.map(|(number, entry)| (*number, entry));
        let waiting = (state.at..).zip(&state.waiting);
        let some = numbered.chain(waiting).skip(skip).take(entries).map(|(number, entry)| (number, entry.clone()));
        let found = some.collect();
        Box::pin(std::future::ready(Ok(found)))
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
            bytes: state.unconfirmed.bytes() + state.bytes(),
            unconfirmed: state.unconfirmed.len(),
            unconfirmed_bytes: state.unconfirmed.bytes(),
            leased: state.leased.len(),
            reserved: state.reserved,
            ..state.totals
        }
    }

    fn status(&self) -> QueueStatus {
        let state = self.state.lock();
        QueueStatus {
            oldest: state.ages.age(state.head(), Moment::now()),
            times: state.ages.times().clone(),
            failing: false,
            unreadable: false,
            on_disk: false,
            lacks_room: false,
            max_bytes: self.bounds.max_bytes,
        }
    }
}

impl Drop for MemoryQueue {
    /// Releases the bytes of its entries.
    fn drop(&mut self) {
        let mut state = self.state.lock();
        let starved = state.account.close();
        drop(state);
        self.notify(&Notifications { room: starved, idle: true, ..Notifications::default() });
    }
}
