//! Which entries are where: the book that is kept between the plugin's queue and the Kafka client.

use std::collections::VecDeque;

use bytes::Bytes;

/// Where an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// To be handed to the client.
    Waiting,
    /// In the client; the first entry of a record says how many entries the record has.
    Sent(usize),
    /// A broker has it.
    Delivered,
    /// It never will be delivered, and why.
    Refused(Refusal),
}

/// Why an entry never will be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal(pub String);

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A broker has it.
    Delivered,
    /// It is to be sent again.
    Again,
    /// Its entries are to be sent again, each in a record and a request of its own: what refused it looks at more
    /// than one entry at once. Where an entry is so already, it is refused for the given reason.
    Apart(String),
    /// No attempt will succeed.
    Refused(String),
}

#[derive(Debug)]
struct Slot {
    entry: Bytes,
    state: State,
    apart: bool,
}

/// Entries that the queue has handed over and that have not settled, oldest first.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    // The number of the oldest; numbers are given once.
    first: u64,
    slots: VecDeque<Slot>,
    // Nothing before this index waits.
    scan: usize,
    // Entries in the client.
    on_way: usize,
    // One past the newest of these.
    newest: u64,
}

/// A run of entries that can be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    /// Number of its first entry.
    pub number: u64,
    /// Whether it must be sent in a record and a request of its own.
    pub apart: bool,
    /// Whether the client has entries that came later: these would be overtaken the wrong way round if it were not
    /// waited for them.
    pub blocked: bool,
}

impl InFlight {
    /// Takes over entries that follow those there are.
    pub(super) fn extend(&mut self, entries: &[Bytes]) {
        let slot = |entry: &Bytes| Slot { entry: entry.clone(), state: State::Waiting, apart: false };
        self.slots.extend(entries.iter().map(slot));
    }

    /// Brings the book in line with what the queue hands over again after an error: `entries` are all it still has.
    /// What it gave up is forgotten, what is on its way or delivered is not sent twice.
    pub(super) fn align(&mut self, entries: &[Bytes]) {
        let same = |slot: &Slot| entries.first().is_some_and(|first| is_same(&slot.entry, first));
        let gone = self.slots.iter().position(same).unwrap_or(self.slots.len());
        self.forget(gone);
        let known = self.slots.iter().zip(entries).take_while(|(slot, entry)| is_same(&slot.entry, entry)).count();
        let torn = self.slots.front().is_some_and(|slot| slot.state == State::Sent(0));
        if known < self.slots.len() || torn {
            // Not the entries that there were, or a part of a record: begin anew, so that none is taken for another.
            self.forget(self.slots.len());
            self.extend(entries);
        } else {
            self.extend(&entries[known..]);
        }
    }

    fn forget(&mut self, count: usize) {
        let sent = self.slots.drain(..count).filter(|slot| matches!(slot.state, State::Sent(_))).count();
        self.on_way -= sent;
        self.first += count as u64;
        self.scan = self.scan.saturating_sub(count);
    }

    /// What is to be sent next.
    pub(super) fn next(&mut self) -> Option<Next> {
        while self.slots.get(self.scan).is_some_and(|slot| slot.state != State::Waiting) {
            self.scan += 1;
        }
        let slot = self.slots.get(self.scan)?;
        let number = self.first + self.scan as u64;
        Some(Next { number, apart: slot.apart, blocked: self.on_way > 0 && number < self.newest })
    }

    /// The entries that wait from `number` on and are not to be sent apart.
    pub(super) fn together(&self, number: u64) -> impl Iterator<Item = &Bytes> {
        let slots = self.slots.iter().skip(self.index(number).unwrap_or(self.slots.len()));
        slots.take_while(|slot| slot.state == State::Waiting && !slot.apart).map(|slot| &slot.entry)
    }

    /// The `count` entries from `number` on.
    pub(super) fn run(&self, number: u64, count: usize) -> impl Iterator<Item = &Bytes> {
        let slots = self.slots.iter().skip(self.index(number).unwrap_or(self.slots.len()));
        slots.take(count).map(|slot| &slot.entry)
    }

    /// Notes that `count` entries from `number` on are in the client, as one record.
    pub(super) fn sent(&mut self, number: u64, count: usize) {
        let Some(index) = self.index(number) else { return };
        if self.on_way == 0 {
            self.newest = 0;
        }
        for slot in self.slots.range_mut(index..index + count) {
            slot.state = State::Sent(0);
        }
        self.slots[index].state = State::Sent(count);
        self.on_way += count;
        self.newest = self.newest.max(number + count as u64);
    }

    /// Notes what became of the record that begins with the entry `number`; nothing if it is not known any more.
    pub(super) fn report(&mut self, number: u64, outcome: &Outcome) {
        let Some(index) = self.index(number) else { return };
        let Some(&Slot { state: State::Sent(count), .. }) = self.slots.get(index) else { return };
        for slot in self.slots.range_mut(index..index + count) {
            slot.state = match outcome {
                Outcome::Delivered => State::Delivered,
                Outcome::Again => State::Waiting,
                Outcome::Apart(why) if slot.apart => State::Refused(Refusal(why.clone())),
                Outcome::Apart(_) => State::Waiting,
                Outcome::Refused(why) => State::Refused(Refusal(why.clone())),
            };
            slot.apart |= matches!(outcome, Outcome::Apart(_));
        }
        self.on_way -= count;
        if matches!(outcome, Outcome::Again | Outcome::Apart(_)) {
            self.scan = self.scan.min(index);
        }
    }

    /// Notes that the entry `number`, which waits, never will be delivered.
    pub(super) fn refuse(&mut self, number: u64, why: String) {
        if let Some(slot) = self.index(number).and_then(|index| self.slots.get_mut(index)) {
            slot.state = State::Refused(Refusal(why));
        }
    }

    /// Notes that the client has lost everything: what it had waits again.
    pub(super) fn recall(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| matches!(slot.state, State::Sent(_))) {
            slot.state = State::Waiting;
        }
        self.on_way = 0;
        self.scan = 0;
    }

    /// Takes the oldest entries out that are delivered, and says how many; with why the one after them is refused, if
    /// it is. That one stays until the queue has given it up.
    pub(super) fn settle(&mut self) -> (usize, Option<&Refusal>) {
        let delivered = self.slots.iter().take_while(|slot| slot.state == State::Delivered).count();
        self.forget(delivered);
        let refusal = self.slots.front().and_then(|slot| match &slot.state {
            State::Refused(refusal) => Some(refusal),
            _ => None,
        });
        (delivered, refusal)
    }

    /// Entries in the client.
    pub(super) fn on_way(&self) -> usize {
        self.on_way
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

/// Whether both are the same entry in memory: two entries of the same content are two.
fn is_same(a: &Bytes, b: &Bytes) -> bool {
    a.as_ptr() == b.as_ptr() && a.len() == b.len()
}
