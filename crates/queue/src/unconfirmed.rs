//! Settled entries that are not confirmed: the destination may still lose them, and then they are sent again.

use std::collections::VecDeque;

use crate::metric::{Ages, Moment};

/// What a queue keeps of an entry: its bytes in memory, or their number.
pub(crate) trait Size {
    /// Bytes of the entry.
    fn size(&self) -> usize;
}

impl Size for usize {
    fn size(&self) -> usize {
        *self
    }
}

impl Size for bytes::Bytes {
    fn size(&self) -> usize {
        self.len()
    }
}

/// The unconfirmed entries of a queue with their numbers, oldest first.
#[derive(Debug)]
pub(crate) struct Unconfirmed<T> {
    entries: VecDeque<(u64, T)>,
    bytes: usize,
    parts: VecDeque<Part>,
}

/// Entries that arrived together and were settled together. Their time in the queue is recorded when they are confirmed,
/// so that each entry is recorded once, also if it is sent again.
#[derive(Debug)]
struct Part {
    entries: u64,
    arrived: Moment,
    settled: Moment,
}

impl<T> Default for Unconfirmed<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, parts: VecDeque::new() }
    }
}

impl<T: Size> Unconfirmed<T> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the oldest entry.
    pub(crate) fn head(&self) -> Option<u64> {
        self.entries.front().map(|(number, _)| *number)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u64, T)> {
        self.entries.iter()
    }

    /// Adds `entries`, which are settled now. `ages` knows when they arrived.
    pub(crate) fn extend(&mut self, entries: impl Iterator<Item = (u64, T)>, ages: &Ages, settled: Moment) {
        let before = self.entries.len();
        for (number, entry) in entries {
            self.bytes += entry.size();
            self.entries.push_back((number, entry));
        }
        let added = self.entries.len() - before;
        if let (Some((first, _)), Some((last, _))) = (self.entries.get(before), self.entries.back()) {
            ages.split((*first, *last), added as u64, settled, |arrived, entries| {
                self.parts.push_back(Part { entries, arrived, settled });
            });
        }
    }

    /// Removes the oldest entries except `keep`, and records their times. Returns how many, and their bytes.
    pub(crate) fn confirm(&mut self, keep: usize, ages: &mut Ages) -> (u64, u64) {
        let entries = self.entries.len().saturating_sub(keep);
        let bytes: usize = self.entries.drain(..entries).map(|(_, entry)| entry.size()).sum();
        self.bytes -= bytes;
        let mut left = entries as u64;
        while let Some(part) = self.parts.front_mut().filter(|_| left > 0) {
            let taken = part.entries.min(left);
            ages.record(part.settled.since(part.arrived), taken);
            part.entries -= taken;
            left -= taken;
            if part.entries == 0 {
                self.parts.pop_front();
            }
        }
        if self.entries.is_empty() {
            // Frees the memory of a large tail.
            (self.entries, self.parts) = Default::default();
        }
        (entries as u64, bytes as u64)
    }

    /// Takes the newest entry back, which waits again.
    pub(crate) fn take_newest(&mut self, ages: &mut Ages) -> Option<(u64, T)> {
        let (number, entry) = self.entries.pop_back()?;
        self.bytes -= entry.size();
        if let Some(part) = self.parts.back_mut() {
            ages.restore(number, part.arrived);
            part.entries -= 1;
            if part.entries == 0 {
                self.parts.pop_back();
            }
        }
        Some((number, entry))
    }
}
