//! Spilling: a queue in memory writes its entries to disk before it blocks ([`super::Mode::Spill`]).
//!
//! Entries that are not written are in memory. When they are more than half of the queue's bound on entries or bytes, or use
//! the shared half of a memory budget that runs short, all of them are written and synced, oldest first, those in flight
//! included. From then on they are as in any durable queue: they leave the memory budget, and the oldest are delivered from
//! disk. Entries that were delivered before they were written leave a gap in the numbers, which the log skips.
//!
//! What refuses is the disk: its bounds, or a disk that cannot be written. Until then the bounds on entries and bytes refuse
//! nothing; after that they bound what waits in memory.

use parking_lot::MutexGuard;

use super::super::log::{FRAME_BYTES, Log};
use super::super::{Bound, ReserveError};
use super::flusher::Wakeup;
use super::state::State;
use super::{DurableQueue, Notifications};

impl DurableQueue {
    /// Whether entries are to be written now.
    pub(super) fn must_write(&self, state: &State) -> bool {
        if !state.spills {
            return true;
        }
        let ((entries, bytes), bounds) = (state.unlogged_unsettled(), &self.options.bounds);
        entries > 0
            && (bounds.max_entries.is_some_and(|max| entries > max / 2)
                || bounds.max_bytes.is_some_and(|max| bytes > max / 2)
                || state.memory.is_pressing())
    }

    /// Hands the appended entries to the log, if they are to be written now; with `at_once` in any case.
    pub(super) fn hand_over(&self, log: &mut Log, at_once: bool) {
        let mut state = self.state.lock();
        if state.spills {
            let head = state.head();
            let is_due = at_once || self.must_write(&state);
            let has_something = log.durable() < log.next() || (is_due && state.unlogged() > 0);
            if head > state.logged && has_something {
                // Everything that the log has is delivered, perhaps before it was written.
                log.skip_to(head);
                state.logged = head;
            }
            if !is_due {
                return;
            }
        }
        let entries = if state.spills && !at_once { self.acquire_disk(&mut state) } else { state.unlogged() };
        let mut bytes = 0;
        for entry in state.unlogged_entries().take(entries) {
            bytes += entry.len();
            log.push(entry.clone());
        }
        state.set_logged(entries, bytes);
        debug_assert_eq!(log.next(), state.logged, "the log has what was handed to it");
    }

    /// Acquires room on disk for the entries that are to be written; returns for how many, from the oldest on.
    fn acquire_disk(&self, state: &mut State) -> usize {
        let (all, used) = (state.unlogged(), state.disk_bytes());
        let left = self.options.bounds.max_disk_bytes.saturating_sub(used);
        let size = state.unlogged_bytes + all * FRAME_BYTES;
        state.blocked = None;
        if size <= left && state.data.try_acquire(size) {
            return all;
        }
        let (mut entries, mut taken) = (0, 0);
        let sizes: Vec<usize> = state.unlogged_entries().map(|entry| entry.len() + FRAME_BYTES).collect();
        for size in sizes {
            if taken + size > left {
                state.blocked = Some(Bound::MaxDiskBytes);
            } else if !state.data.try_acquire(size) {
                state.blocked = Some(Bound::MaxDataBytes);
            }
            if state.blocked.is_some() {
                break;
            }
            taken += size;
            entries += 1;
        }
        entries
    }

    /// Entries in memory that cannot be written now: the disk fails, or has no room.
    pub(super) fn stuck_entries(&self, state: &State) -> usize {
        if state.failing || state.blocked.is_some() { state.unsynced_sizes.len() } else { 0 }
    }

    /// Whether the bounds of the queue allow another entry in memory that cannot be written.
    pub(super) fn has_room_in_memory(&self, state: &State) -> bool {
        !self.exceeds_memory(state, 1, 0)
    }

    fn exceeds_memory(&self, state: &State, entries: usize, bytes: usize) -> bool {
        let bounds = &self.options.bounds;
        let unsynced = state.unsynced_sizes.len().saturating_sub(state.kept_unconfirmed().0);
        let entries = unsynced + state.reserved + entries;
        let bytes = state.memory_bytes().saturating_add(bytes);
        bounds.max_entries.is_some_and(|max| entries > max) || bounds.max_bytes.is_some_and(|max| bytes > max)
    }

    /// Reserves memory, for [`super::Queue::reserve`].
    pub(super) fn reserve_memory(
        &self,
        mut state: MutexGuard<'_, State>,
        entries: usize,
        bytes: usize,
    ) -> Result<(), ReserveError> {
        let is_stuck = state.failing || state.blocked.is_some();
        if state.is_idle() && entries <= 1 {
            state.memory.acquire(bytes);
        } else if entries > 1 && bytes > state.memory.most() {
            return Err(ReserveError::TooLarge);
        } else if (is_stuck && self.exceeds_memory(&state, entries, bytes)) || !state.memory.try_acquire(bytes) {
            state.refused = true;
            let error = match state.blocked {
                _ if state.failing => ReserveError::Failing,
                bound => ReserveError::Full(bound.unwrap_or(Bound::MaxMemory)),
            };
            // There may be room on disk now; a disk that fails is tried again at intervals.
            let flusher = (!state.failing).then_some(Wakeup::Appended);
            drop(state);
            self.notify(Notifications { flusher, ..Notifications::default() });
            return Err(error);
        }
        state.reserved += entries;
        state.reserved_bytes += bytes;
        Ok(())
    }
}
