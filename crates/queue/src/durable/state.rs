//! The state of a durable queue in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::super::log::{Extent, FRAME_BYTES, Log, Recovered};
use super::super::{Counters, DropReason, QueueEvent, Receipt};
use crate::metric::{Ages, Moment};
use crate::unconfirmed::Unconfirmed;

/// Events that are kept for a reader that does not collect them, at most.
const MAX_EVENTS: usize = 16;

/// Entries are known by their sequence numbers: `unconfirmed`, `leased`, `again`, then the waiting ones from `at` up to
/// `next`.
pub(super) struct State {
    /// Settled and not confirmed. Their files stay.
    pub unconfirmed: Unconfirmed<usize>,
    /// In flight: sequence number and bytes.
    pub leased: VecDeque<(u64, usize)>,
    pub leased_bytes: usize,
    /// Revoked, with bytes: they are read from disk and leased again before the others.
    pub again: VecDeque<(u64, usize)>,
    pub again_bytes: usize,
    /// The next to be leased for the first time.
    pub at: u64,
    /// Entries below are acknowledged, and can be leased.
    pub readable: u64,
    /// Entries below are synced.
    pub durable: u64,
    /// Entries below were handed to the log.
    pub logged: u64,
    /// The next to be appended.
    pub next: u64,
    /// The entries from `recent_first` up to `next` in memory; never before `at`.
    pub recent: VecDeque<Bytes>,
    pub recent_first: u64,
    pub recent_bytes: usize,
    /// Bytes of each entry from `durable` to `next`.
    pub unsynced_sizes: VecDeque<usize>,
    pub unsynced_bytes: usize,
    /// Bytes of all entries but the unconfirmed ones; an estimate for those that were found on disk.
    pub bytes: usize,
    pub reserved: usize,
    pub reserved_bytes: usize,
    /// What the queue has acquired of the shared budgets.
    pub memory_held: usize,
    pub data_held: usize,
    /// Each is dropped when every entry below its number is acknowledged.
    pub receipts: VecDeque<(u64, Receipt)>,
    pub extents: Arc<[Extent]>,
    /// Segments that cannot be read.
    pub unreadable: Vec<u64>,
    pub failing: bool,
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
    pub(super) fn new(log: &Log, recovered: &Recovered) -> Self {
        let next = log.next();
        let mut ages = Ages::default();
        recovered.written.iter().for_each(|(first, time)| ages.arrived(*first, Moment::of(*time)));
        ages.remove_below(recovered.from, next);
        Self {
            unconfirmed: Unconfirmed::default(),
            leased: VecDeque::new(),
            leased_bytes: 0,
            again: VecDeque::new(),
            again_bytes: 0,
            at: recovered.from,
            readable: next,
            durable: next,
            logged: next,
            next,
            recent: VecDeque::new(),
            recent_first: next,
            recent_bytes: 0,
            unsynced_sizes: VecDeque::new(),
            unsynced_bytes: 0,
            bytes: usize::try_from(recovered.bytes).unwrap_or(usize::MAX),
            reserved: 0,
            reserved_bytes: 0,
            memory_held: 0,
            data_held: 0,
            receipts: VecDeque::new(),
            extents: log.extents().into(),
            unreadable: Vec::new(),
            failing: false,
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

    /// Entries that were never leased.
    pub(super) fn waiting(&self) -> usize {
        usize::try_from(self.next - self.at).unwrap_or(usize::MAX)
    }

    /// Entries that can be leased.
    pub(super) fn readable_entries(&self) -> usize {
        self.again.len() + usize::try_from(self.readable.saturating_sub(self.at)).unwrap_or(usize::MAX)
    }

    /// Entries that are not settled.
    pub(super) fn depth(&self) -> usize {
        self.leased.len() + self.again.len() + self.waiting()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.depth() == 0 && self.reserved == 0
    }

    /// What the entries take on disk, the reserved ones included, and the unconfirmed ones not.
    pub(super) fn unsettled_disk_bytes(&self) -> usize {
        self.bytes + self.reserved_bytes + (self.depth() + self.reserved) * FRAME_BYTES
    }

    /// What the entries take on disk, the reserved ones included.
    pub(super) fn disk_bytes(&self) -> usize {
        self.unsettled_disk_bytes() + self.unconfirmed.bytes() + self.unconfirmed.len() * FRAME_BYTES
    }

    /// The first that is not done with.
    pub(super) fn head(&self) -> u64 {
        self.unconfirmed.head().unwrap_or_else(|| self.first_unsettled())
    }

    /// The first that is not settled.
    pub(super) fn first_unsettled(&self) -> u64 {
        self.leased.front().or_else(|| self.again.front()).map_or(self.at, |&(seq, _)| seq)
    }

    pub(super) fn push(&mut self, entry: Bytes) {
        self.bytes += entry.len();
        self.recent_bytes += entry.len();
        self.unsynced_bytes += entry.len();
        self.unsynced_sizes.push_back(entry.len());
        self.recent.push_back(entry);
        self.next += 1;
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
            self.unsynced_bytes -= self.unsynced_sizes.pop_front().unwrap_or_default();
            self.durable += 1;
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
        self.bytes = self.bytes.max(self.known_bytes());
        self.at = seq + 1;
    }

    /// Drops an entry that was just read.
    pub(super) fn drop_entry(&mut self, seq: u64, len: usize) {
        self.skip_to(seq);
        self.at = seq + 1;
        self.remove_bytes(len);
        self.totals.count_dropped(1, DropReason::Overflow);
    }

    /// Drops the entries that can be leased; returns how many, and how many of their bytes were in memory.
    pub(super) fn drop_readable(&mut self) -> (u64, usize) {
        let (again, before) = (self.again.len() as u64, self.recent_bytes);
        let entries = again + self.readable.saturating_sub(self.at);
        self.again.clear();
        self.again_bytes = 0;
        while self.recent_first < self.readable && self.pop_recent().is_some() {}
        self.at = self.at.max(self.readable);
        self.totals.count_dropped(entries, DropReason::Operator);
        self.remove_bytes(0);
        (entries, before - self.recent_bytes)
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
        self.remove_bytes(bytes);
        (entries as u64, bytes as u64)
    }

    /// Settles the first `entries` leased entries; all but the newest `unconfirmed` settled entries are delivered.
    pub(super) fn settle(&mut self, entries: usize, unconfirmed: usize) {
        let now = Moment::now();
        if unconfirmed == 0 && self.unconfirmed.len() == 0 {
            // Before they are removed, because their marks are removed with them.
            if let Some((numbers, entries)) = self.leased_numbers(entries) {
                self.ages.delivered(numbers, entries, now);
            }
            let (entries, bytes) = self.take_leased(entries);
            self.totals.delivered += entries;
            self.totals.delivered_bytes += bytes;
            return;
        }
        let (entries, before) = (entries.min(self.leased.len()), self.unconfirmed.bytes());
        self.unconfirmed.extend(self.leased.drain(..entries), &self.ages, now);
        let settled = self.unconfirmed.bytes() - before;
        self.leased_bytes -= settled;
        let (delivered, bytes) = self.unconfirmed.confirm(unconfirmed, &mut self.ages);
        self.totals.delivered += delivered;
        self.totals.delivered_bytes += bytes;
        self.remove_bytes(settled);
    }

    /// Makes the newest `entries` unconfirmed entries wait again, and after them all leased entries.
    pub(super) fn revoke(&mut self, entries: usize) {
        while let Some(entry) = self.leased.pop_back() {
            self.again.push_front(entry);
        }
        self.again_bytes += std::mem::take(&mut self.leased_bytes);
        for _ in 0..entries {
            let Some(entry) = self.unconfirmed.take_newest(&mut self.ages) else { break };
            self.again_bytes += entry.1;
            self.bytes += entry.1;
            self.again.push_front(entry);
        }
    }

    /// Leases the first revoked entry if it is `seq`.
    pub(super) fn lease_again(&mut self, seq: u64) -> bool {
        let Some(&(_, len)) = self.again.front().filter(|(first, _)| *first == seq) else { return false };
        self.again.pop_front();
        self.again_bytes -= len;
        self.leased_bytes += len;
        self.leased.push_back((seq, len));
        true
    }

    /// Skips the revoked entries before `seq`: they are damaged.
    pub(super) fn skip_again(&mut self, seq: u64) {
        let mut entries = 0;
        while let Some(&(_, len)) = self.again.front().filter(|(first, _)| *first < seq) {
            self.again.pop_front();
            self.again_bytes -= len;
            entries += 1;
            self.remove_bytes(len);
        }
        if entries > 0 {
            self.totals.corrupt += entries;
            self.push_event(QueueEvent::Corrupt { entries });
        }
    }

    /// Bytes in flight and in memory, or known from before. Those of the other entries are estimated.
    fn known_bytes(&self) -> usize {
        self.leased_bytes + self.again_bytes + self.recent_bytes
    }

    fn remove_bytes(&mut self, bytes: usize) {
        let (head, next) = (self.first_unsettled(), self.next);
        self.ages.remove_below(head, next);
        let known = self.known_bytes();
        self.bytes = self.bytes.saturating_sub(bytes).max(known);
        if self.at >= self.recent_first {
            self.bytes = known;
        }
    }
}
