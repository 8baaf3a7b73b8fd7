//! The state of a durable queue in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::super::budget::Account;
use super::super::log::{Extent, FRAME_BYTES, Log, Recovered};
use super::super::{Bound, Counters, DropReason, QueueEvent, Receipt};
use super::Mode;
use crate::metric::{Ages, Moment};

/// Events that are kept for a reader that does not collect them, at most.
const MAX_EVENTS: usize = 16;

/// Entries are known by their sequence numbers: `leased`, then the waiting ones from `at` up to `next`.
pub(super) struct State {
    /// In flight: sequence number and bytes.
    pub leased: VecDeque<(u64, usize)>,
    pub leased_bytes: usize,
    /// The next to be leased.
    pub at: u64,
    /// Entries below are acknowledged, and can be leased.
    pub readable: u64,
    /// Entries below are synced, or with [`Mode::Spill`] delivered and need not be.
    pub durable: u64,
    /// Entries below were handed to the log.
    pub logged: u64,
    /// The next to be appended.
    pub next: u64,
    /// The entries from `recent_first` up to `next` in memory; never before `at`.
    pub recent: VecDeque<Bytes>,
    pub recent_first: u64,
    pub recent_bytes: usize,
    /// With [`Mode::Spill`]: the entries in flight that are not on disk, with their numbers.
    pub kept: VecDeque<(u64, Bytes)>,
    /// What the queue has acquired of the pool of recent entries.
    pub pooled: usize,
    /// Bytes of each entry from `durable` to `next`.
    pub unsynced_sizes: VecDeque<usize>,
    pub unsynced_bytes: usize,
    /// Those of them that were not handed to the log.
    pub unlogged_bytes: usize,
    /// Bytes of all entries; an estimate for those that were found on disk.
    pub bytes: usize,
    pub reserved: usize,
    pub reserved_bytes: usize,
    /// What the queue has acquired of the shared budgets.
    pub memory: Account,
    pub data: Account,
    /// Each is dropped when every entry below its number is acknowledged.
    pub receipts: VecDeque<(u64, Receipt)>,
    pub extents: Arc<[Extent]>,
    /// The last read of entries on disk has failed.
    pub unreadable: bool,
    pub failing: bool,
    /// [`Mode::Spill`].
    pub spills: bool,
    /// With [`Mode::Spill`]: the bound on the disk that keeps entries from being written.
    pub blocked: Option<Bound>,
    pub closed: bool,
    // A reservation has failed since there was last room.
    pub refused: bool,
    // The queue was reported as nearly full.
    pub warned: bool,
    pub totals: Counters,
    pub ages: Ages,
    pub events: Vec<QueueEvent>,
}

impl State {
    pub(super) fn new(log: &Log, recovered: &Recovered, mode: Mode, (memory, data): (Account, Account)) -> Self {
        let next = log.next();
        let mut ages = Ages::default();
        recovered.written.iter().for_each(|(first, time)| ages.arrived(*first, Moment::of(*time)));
        ages.remove_below(recovered.from, next);
        Self {
            leased: VecDeque::new(),
            leased_bytes: 0,
            at: recovered.from,
            readable: next,
            durable: next,
            logged: next,
            next,
            recent: VecDeque::new(),
            recent_first: next,
            recent_bytes: 0,
            kept: VecDeque::new(),
            pooled: 0,
            unsynced_sizes: VecDeque::new(),
            unsynced_bytes: 0,
            unlogged_bytes: 0,
            bytes: usize::try_from(recovered.bytes).unwrap_or(usize::MAX),
            reserved: 0,
            reserved_bytes: 0,
            memory,
            data,
            receipts: VecDeque::new(),
            extents: log.extents().into(),
            unreadable: false,
            failing: false,
            spills: mode == Mode::Spill,
            blocked: None,
            closed: false,
            refused: false,
            warned: false,
            ages,
            totals: Counters { recovered: recovered.records, ..Counters::default() },
            events: Vec::new(),
        }
    }

    pub(super) fn push_event(&mut self, event: QueueEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push(event);
        }
    }

    /// Entries that are not leased.
    pub(super) fn waiting(&self) -> usize {
        usize::try_from(self.next - self.at).unwrap_or(usize::MAX)
    }

    /// Waiting entries that can be leased.
    pub(super) fn readable_entries(&self) -> usize {
        usize::try_from(self.readable.saturating_sub(self.at)).unwrap_or(usize::MAX)
    }

    pub(super) fn depth(&self) -> usize {
        self.leased.len() + self.waiting()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.depth() == 0 && self.reserved == 0
    }

    /// What the entries take on disk, the reserved ones included; with [`Mode::Spill`] those that were handed to the log.
    pub(super) fn disk_bytes(&self) -> usize {
        if self.spills {
            let entries = usize::try_from(self.logged.saturating_sub(self.head())).unwrap_or(usize::MAX);
            return self.bytes.saturating_sub(self.unlogged_bytes) + entries * FRAME_BYTES;
        }
        self.bytes + self.reserved_bytes + (self.depth() + self.reserved) * FRAME_BYTES
    }

    /// The first that is not done with.
    pub(super) fn head(&self) -> u64 {
        self.leased.front().map_or(self.at, |&(seq, _)| seq)
    }

    pub(super) fn push(&mut self, entry: Bytes) {
        self.bytes += entry.len();
        self.recent_bytes += entry.len();
        self.unsynced_bytes += entry.len();
        self.unlogged_bytes += entry.len();
        self.unsynced_sizes.push_back(entry.len());
        self.recent.push_back(entry);
        self.next += 1;
        if self.spills {
            self.readable = self.next;
        }
    }

    /// Holds `receipt` until everything that was appended so far is acknowledged.
    pub(super) fn hold_receipt(&mut self, receipt: Receipt) {
        if self.next > self.readable {
            self.receipts.push_back((self.next, receipt));
        }
    }

    /// Records that everything below `durable` is synced.
    pub(super) fn set_durable(&mut self, durable: u64) {
        while self.durable < durable {
            let size = self.unsynced_sizes.pop_front().unwrap_or_default();
            self.unsynced_bytes -= size;
            if self.durable >= self.logged {
                self.unlogged_bytes -= size;
            }
            self.durable += 1;
        }
        while self.kept.front().is_some_and(|(seq, _)| *seq < durable) {
            self.kept.pop_front();
        }
    }

    /// Bytes of the entries that are in memory although they are on disk.
    pub(super) fn pool_bytes(&self) -> usize {
        // Otherwise all entries in memory, and some in flight, are not synced.
        if self.recent_first <= self.durable { self.recent_bytes.saturating_sub(self.unsynced_bytes) } else { 0 }
    }

    /// The number of entries that were not handed to the log and still are in the queue.
    pub(super) fn unlogged(&self) -> usize {
        usize::try_from(self.next - self.logged.max(self.head())).unwrap_or(usize::MAX)
    }

    /// These entries, if none before them was removed.
    pub(super) fn unlogged_entries(&self) -> impl Iterator<Item = &Bytes> {
        let kept = self.kept.iter().filter(|(seq, _)| *seq >= self.logged).map(|(_, entry)| entry);
        let written = usize::try_from(self.logged.saturating_sub(self.recent_first)).unwrap_or(usize::MAX);
        kept.chain(self.recent.iter().skip(written))
    }

    /// Records that the first `entries` entries of those, of `bytes` bytes, were handed to the log.
    pub(super) fn set_logged(&mut self, entries: usize, bytes: usize) {
        self.logged += entries as u64;
        self.unlogged_bytes -= bytes;
    }

    /// With [`Mode::Spill`]: keeps an entry in flight, unless it is on disk.
    pub(super) fn keep(&mut self, seq: u64, entry: &Bytes) {
        if self.spills && seq >= self.durable {
            self.kept.push_back((seq, entry.clone()));
        }
    }

    /// With [`Mode::Spill`]: entries that were removed need not be written any more.
    fn forget_removed(&mut self) {
        if self.spills {
            self.set_durable(self.head());
        }
    }

    /// Removes the oldest entry from memory.
    pub(super) fn pop_recent(&mut self) -> Option<Bytes> {
        let entry = self.recent.pop_front()?;
        self.recent_first += 1;
        self.recent_bytes -= entry.len();
        Some(entry)
    }

    /// Leases an entry that was just read.
    pub(super) fn lease(&mut self, seq: u64, entry: &Bytes) {
        self.skip_to(seq);
        self.leased.push_back((seq, entry.len()));
        self.leased_bytes += entry.len();
        self.bytes = self.bytes.max(self.leased_bytes + self.recent_bytes);
        self.at = seq + 1;
    }

    /// Drops an entry that was just read.
    pub(super) fn drop_entry(&mut self, seq: u64, len: usize) {
        self.skip_to(seq);
        self.at = seq + 1;
        self.remove_bytes(len);
        self.totals.count_dropped(1, DropReason::Overflow);
    }

    /// Drops the waiting entries that can be leased; returns how many.
    pub(super) fn drop_readable(&mut self) -> u64 {
        let (entries, at) = (self.readable.saturating_sub(self.at), self.at);
        while self.recent_first < self.readable && self.pop_recent().is_some() {}
        self.at = self.at.max(self.readable);
        if self.spills {
            self.take_back_numbers(at.max(self.logged));
        }
        self.totals.count_dropped(entries, DropReason::Operator);
        self.forget_removed();
        self.remove_bytes(0);
        entries
    }

    /// Makes `next` the number of the next entry: those from it on were dropped before the log had them. Entries in flight
    /// before them may yet be written, and the log has no gaps.
    fn take_back_numbers(&mut self, next: u64) {
        while self.next > next {
            let size = self.unsynced_sizes.pop_back().unwrap_or_default();
            self.unsynced_bytes -= size;
            self.unlogged_bytes -= size;
            self.next -= 1;
        }
        (self.at, self.readable, self.recent_first) = (next, next, next);
        self.ages.remove_from(next);
    }

    /// Skips the damaged entries before `seq`.
    pub(super) fn skip_to(&mut self, seq: u64) {
        if seq > self.at {
            let entries = seq - self.at;
            self.at = seq;
            self.totals.corrupt += entries;
            self.push_event(QueueEvent::Corrupt { entries });
            self.remove_bytes(0);
        }
    }

    /// The first and the last number of the first `entries` leased entries, and how many they are.
    pub(super) fn leased_numbers(&self, entries: usize) -> Option<((u64, u64), u64)> {
        let entries = entries.min(self.leased.len());
        let last = self.leased.get(entries.checked_sub(1)?)?;
        Some(((self.leased.front()?.0, last.0), entries as u64))
    }

    /// Removes up to `entries` leased entries from the front; returns how many, and their bytes.
    pub(super) fn take_leased(&mut self, entries: usize) -> (u64, u64) {
        debug_assert!(entries <= self.leased.len(), "only leased entries can be removed");
        let entries = entries.min(self.leased.len());
        let bytes: usize = self.leased.drain(..entries).map(|(_, len)| len).sum();
        self.leased_bytes -= bytes;
        self.forget_removed();
        self.remove_bytes(bytes);
        (entries as u64, bytes as u64)
    }

    fn remove_bytes(&mut self, bytes: usize) {
        let (head, next) = (self.head(), self.next);
        self.ages.remove_below(head, next);
        // The bytes in flight and in memory are known; the others are estimated.
        let known = self.leased_bytes + self.recent_bytes;
        self.bytes = self.bytes.saturating_sub(bytes).max(known);
        if self.at >= self.recent_first {
            self.bytes = known;
        }
    }
}
