//! The state of every outstanding entry, between the plugin's queue and the Kafka producer.

use std::collections::VecDeque;

use bytes::Bytes;

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not given to the producer yet, or to be sent again.
    Waiting,
    /// In the producer. The first entry of a record holds the record's number of entries; the others hold 0.
    Sent(usize),
    /// Acknowledged.
    Delivered,
    /// Permanently rejected.
    Rejected(Rejection),
}

/// Why an entry is permanently rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection(pub String);

/// What a delivery report means for the entries of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The record is acknowledged.
    Delivered,
    /// The record must be sent again.
    Resend,
    /// Each entry must be sent again in a record and a request of its own, because the error may concern another entry
    /// of the request. An entry that was sent alone already is rejected with this reason.
    SendAlone(String),
    /// No attempt will succeed, for this reason.
    Rejected(String),
}

#[derive(Debug)]
struct Slot {
    entry: Bytes,
    state: State,
    send_alone: bool,
}

/// Entries that the queue has sent and that have not settled, oldest first.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    // Number of the oldest entry. Numbers are never reused.
    first: u64,
    slots: VecDeque<Slot>,
    // No slot before this index is `Waiting`.
    scan: usize,
    // Number of entries in the producer.
    unacknowledged: usize,
    // One past the number of the newest entry in the producer.
    sent_end: u64,
}

/// The next entries to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    /// Number of the first entry.
    pub number: u64,
    /// Whether the entry must be sent in a record and a request of its own.
    pub send_alone: bool,
    /// Whether the producer holds newer entries: sending must wait for their reports to keep the order.
    pub blocked: bool,
}

impl InFlight {
    /// Appends entries.
    pub(super) fn extend(&mut self, entries: &[Bytes]) {
        let slot = |entry: &Bytes| Slot { entry: entry.clone(), state: State::Waiting, send_alone: false };
        self.slots.extend(entries.iter().map(slot));
    }

    /// Synchronizes with the queue after an error; `entries` are all that the queue still has. Entries that the queue gave
    /// up are dropped, and entries that are in the producer or delivered are not sent twice.
    pub(super) fn resync(&mut self, entries: &[Bytes]) {
        let same = |slot: &Slot| entries.first().is_some_and(|first| is_same(&slot.entry, first));
        let given_up = self.slots.iter().position(same).unwrap_or(self.slots.len());
        self.drop_front(given_up);
        let known = self.slots.iter().zip(entries).take_while(|(slot, entry)| is_same(&slot.entry, entry)).count();
        let splits_record = self.slots.front().is_some_and(|slot| slot.state == State::Sent(0));
        if known < self.slots.len() || splits_record {
            // The entries differ, or the oldest is in the middle of a record. Reset, so that no report is applied to
            // the wrong entry.
            self.drop_front(self.slots.len());
            self.extend(entries);
        } else {
            self.extend(&entries[known..]);
        }
    }

    fn drop_front(&mut self, count: usize) {
        let sent = self.slots.drain(..count).filter(|slot| matches!(slot.state, State::Sent(_))).count();
        self.unacknowledged -= sent;
        self.first += count as u64;
        self.scan = self.scan.saturating_sub(count);
    }

    /// Returns the oldest entry to send.
    pub(super) fn next(&mut self) -> Option<Next> {
        while self.slots.get(self.scan).is_some_and(|slot| slot.state != State::Waiting) {
            self.scan += 1;
        }
        let slot = self.slots.get(self.scan)?;
        let number = self.first + self.scan as u64;
        Some(Next { number, send_alone: slot.send_alone, blocked: self.unacknowledged > 0 && number < self.sent_end })
    }

    /// The waiting entries from `number` on that may share a record.
    pub(super) fn batchable(&self, number: u64) -> impl Iterator<Item = &Bytes> {
        let slots = self.slots.iter().skip(self.index(number).unwrap_or(self.slots.len()));
        slots.take_while(|slot| slot.state == State::Waiting && !slot.send_alone).map(|slot| &slot.entry)
    }

    /// The `count` entries from `number` on.
    pub(super) fn entries(&self, number: u64, count: usize) -> impl Iterator<Item = &Bytes> {
        let slots = self.slots.iter().skip(self.index(number).unwrap_or(self.slots.len()));
        slots.take(count).map(|slot| &slot.entry)
    }

    /// Marks `count` entries from `number` on as sent in one record.
    pub(super) fn mark_sent(&mut self, number: u64, count: usize) {
        let Some(index) = self.index(number) else { return };
        if self.unacknowledged == 0 {
            self.sent_end = 0;
        }
        for slot in self.slots.range_mut(index..index + count) {
            slot.state = State::Sent(0);
        }
        self.slots[index].state = State::Sent(count);
        self.unacknowledged += count;
        self.sent_end = self.sent_end.max(number + count as u64);
    }

    /// Applies the outcome of the record that begins with the entry `number`. Ignores records that are not known anymore.
    pub(super) fn apply_report(&mut self, number: u64, outcome: &Outcome) {
        let Some(index) = self.index(number) else { return };
        let Some(&Slot { state: State::Sent(count), .. }) = self.slots.get(index) else { return };
        for slot in self.slots.range_mut(index..index + count) {
            slot.state = match outcome {
                Outcome::Delivered => State::Delivered,
                Outcome::Resend => State::Waiting,
                Outcome::SendAlone(why) if slot.send_alone => State::Rejected(Rejection(why.clone())),
                Outcome::SendAlone(_) => State::Waiting,
                Outcome::Rejected(why) => State::Rejected(Rejection(why.clone())),
            };
            slot.send_alone |= matches!(outcome, Outcome::SendAlone(_));
        }
        self.unacknowledged -= count;
        if matches!(outcome, Outcome::Resend | Outcome::SendAlone(_)) {
            self.scan = self.scan.min(index);
        }
    }

    /// Rejects the waiting entry `number` permanently.
    pub(super) fn reject(&mut self, number: u64, why: String) {
        if let Some(slot) = self.index(number).and_then(|index| self.slots.get_mut(index)) {
            slot.state = State::Rejected(Rejection(why));
        }
    }

    /// Moves all sent entries back to waiting: the producer is gone.
    pub(super) fn requeue_sent(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| matches!(slot.state, State::Sent(_))) {
            slot.state = State::Waiting;
        }
        self.unacknowledged = 0;
        self.scan = 0;
    }

    /// Removes the delivered entries at the front. Returns how many they were, and the rejection of the entry after them,
    /// if it is rejected; this entry stays until the queue gives it up.
    pub(super) fn settle(&mut self) -> (usize, Option<&Rejection>) {
        let delivered = self.slots.iter().take_while(|slot| slot.state == State::Delivered).count();
        self.drop_front(delivered);
        let rejection = self.slots.front().and_then(|slot| match &slot.state {
            State::Rejected(rejection) => Some(rejection),
            _ => None,
        });
        (delivered, rejection)
    }

    /// The number of entries in the producer.
    pub(super) fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    /// Whether nothing is outstanding.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn index(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (index < self.slots.len()).then_some(index)
    }
}

/// Whether both are the same allocation: entries with equal content are different entries.
fn is_same(a: &Bytes, b: &Bytes) -> bool {
    a.as_ptr() == b.as_ptr() && a.len() == b.len()
}
