//! The state of a durable queue in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::super::budget::Account;
use super::super::log::{Extent, FRAME_BYTES, Log, Recovered};
use super::super::{Bound, Counters, DropReason, QueueEvent, Receipt};
use super::Mode;
use crate::events::Events;
#[cfg(debug_assertions)]
use crate::failpoint::{self, Point};
use crate::metric::{Ages, Moment};
use crate::unconfirmed::Unconfirmed;

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
    /// Bytes of all entries but the unconfirmed ones; an estimate for those that were found on disk.
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
    pub events: Events,
}

impl State {
    pub(super) fn new(log: &Log, recovered: &Recovered, mode: Mode, (memory, data): (Account, Account)) -> Self {
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
            events: Events::default(),
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
        if self.spills {
            return self.disk_bytes();
        }
        self.bytes + self.reserved_bytes + (self.depth() + self.reserved) * FRAME_BYTES
    }

    /// What the entries take on disk, the reserved ones included; with [`Mode::Spill`] those that were handed to the log.
    pub(super) fn disk_bytes(&self) -> usize {
        if self.spills {
            let entries = usize::try_from(self.logged.saturating_sub(self.head())).unwrap_or(usize::MAX);
            let bytes = self.bytes + self.unconfirmed.bytes();
            return bytes.saturating_sub(self.unlogged_bytes) + entries * FRAME_BYTES;
        }
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
        // Does what must never be done, so that a test can check that the crash tests notice it.
        #[cfg(debug_assertions)]
        if failpoint::is_enabled(Point::AnswerBeforeWrite) {
            return;
        }
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

    /// What the entries take of the memory budget, the reserved ones included. Unconfirmed ones have a bound of their own, that
    /// of the sink which would send them again.
    pub(super) fn memory_bytes(&self) -> usize {
        self.unsynced_bytes.saturating_sub(self.kept_unconfirmed().1) + self.reserved_bytes
    }

    /// With [`Mode::Spill`]: the number and the bytes of the unconfirmed entries that were not handed to the log; or fewer,
    /// while some of them were.
    pub(super) fn kept_unconfirmed(&self) -> (usize, usize) {
        let is_kept = self.spills && self.unconfirmed.head().is_some_and(|head| head >= self.logged);
        if is_kept { (self.unconfirmed.len(), self.unconfirmed.bytes()) } else { (0, 0) }
    }

    /// The number and the bytes of the entries that were not handed to the log, without the unconfirmed ones.
    pub(super) fn unlogged_unsettled(&self) -> (usize, usize) {
        let (entries, bytes) = self.kept_unconfirmed();
        (self.unlogged().saturating_sub(entries), self.unlogged_bytes.saturating_sub(bytes))
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

    /// Drops the entries that can be leased; returns how many.
    pub(super) fn drop_readable(&mut self) -> u64 {
        let at = self.at;
        let entries = self.again.len() as u64 + self.readable.saturating_sub(at);
        self.again.clear();
        self.again_bytes = 0;
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
            self.events.push(QueueEvent::Corrupt { entries });
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
        self.forget_removed();
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
            self.events.push(QueueEvent::Corrupt { entries });
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
