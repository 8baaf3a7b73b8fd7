//! Which offset of a partition may be committed.

use std::collections::VecDeque;

/// The records of one partition that are on their way to the queues, in the order of their offsets.
///
/// A committed offset stands for all records before it. So it may go past a record only when that and every earlier
/// record that was begun are complete. Offsets that no record has (a topic that is compacted, the markers of producers'
/// transactions) are skipped with the next record.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    records: VecDeque<Begun>,
    /// The number of records before the first of `records`.
    gone: u64,
}

#[derive(Debug)]
struct Begun {
    offset: i64,
    bytes: usize,
    complete: bool,
}

/// A record that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// What became safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Safe {
    /// The offset to commit: that after the last safe record.
    pub(super) next: i64,
    /// Bytes of the records that became safe, as they were begun.
    pub(super) bytes: usize,
}

impl Offsets {
    /// Begins a record of `bytes`. Its offset is greater than those of all records before.
    pub(super) fn begin(&mut self, offset: i64, bytes: usize) -> Ticket {
        let ticket = Ticket(self.gone + self.records.len() as u64);
        self.records.push_back(Begun { offset, bytes, complete: false });
        ticket
    }

    /// Completes a record: its entries are safe, or it has none. Returns what became safe by that, if anything did.
    pub(super) fn complete(&mut self, ticket: Ticket) -> Option<Safe> {
        let at = usize::try_from(ticket.0.checked_sub(self.gone)?).ok()?;
        self.records.get_mut(at)?.complete = true;
        let mut safe = None;
        while self.records.front().is_some_and(|first| first.complete)
            && let Some(first) = self.records.pop_front()
        {
            self.gone += 1;
            let bytes = safe.map_or(0, |safe: Safe| safe.bytes) + first.bytes;
            safe = Some(Safe { next: first.offset.saturating_add(1), bytes });
        }
        safe
    }

    /// Whether every record that was begun is complete.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens to a partition.
    #[derive(Debug, Clone)]
    enum Step {
        /// A record, so many offsets after the one before.
        Begin { gap: i64, bytes: usize },
        /// The completion of one of the open records, chosen by a number.
        Complete(usize),
        /// The completion of a record that is complete already.
        Again(usize),
        /// The partition is taken away and comes back at what was safe.
        Revoke,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (prop_oneof![4 => Just(1i64), 1 => 2..1000i64], 0..10_000usize)
                .prop_map(|(gap, bytes)| Step::Begin { gap, bytes }),
            5 => any::<usize>().prop_map(Step::Complete),
            1 => any::<usize>().prop_map(Step::Again),
            1 => Just(Step::Revoke),
        ]
    }

    proptest! {
        /// Scenario: records with gaps between their offsets, completed in any order and twice, and a partition that is
        /// taken away in between and comes back.
        /// Guarantees: the offset to commit never goes back and never passes a record that is not complete; when all are
        /// complete it is that after the last one; the bytes that become safe are those of the records before it.
        #[test]
        fn never_past_an_open_record(steps in prop::collection::vec(step(), 0..200)) {
            let mut offsets = Offsets::default();
            // Offset, bytes, ticket, whether it is complete.
            let mut records: Vec<(i64, usize, Ticket, bool)> = Vec::new();
            let (mut last, mut safe, mut released) = (-1i64, 0i64, 0usize);
            for step in steps {
                let completed = match step {
                    Step::Begin { gap, bytes } => {
                        last += gap;
                        records.push((last, bytes, offsets.begin(last, bytes), false));
                        None
                    }
                    Step::Complete(choice) => {
                        let open: Vec<usize> = (0..records.len()).filter(|at| !records[*at].3).collect();
                        let Some(at) = open.get(choice % open.len().max(1)) else { continue };
                        records[*at].3 = true;
                        offsets.complete(records[*at].2)
                    }
                    Step::Again(choice) => {
                        let done: Vec<usize> = (0..records.len()).filter(|at| records[*at].3).collect();
                        let Some(at) = done.get(choice % done.len().max(1)) else { continue };
                        let again = offsets.complete(records[*at].2);
                        prop_assert_eq!(again, None, "nothing becomes safe twice");
                        continue;
                    }
                    Step::Revoke => {
                        // The next owner begins at what was committed.
                        (offsets, released, last) = (Offsets::default(), 0, safe - 1);
                        records.clear();
                        continue;
                    }
                };
                if let Some(Safe { next, bytes }) = completed {
                    prop_assert!(next > safe, "{next} after {safe}");
                    (safe, released) = (next, released + bytes);
                }
                let open = records.iter().find(|record| !record.3);
                let expected = match open {
                    Some(open) => records.iter().rev().find(|record| record.0 < open.0).map(|record| record.0 + 1),
                    None => records.last().map(|record| record.0 + 1),
                };
                if let Some(expected) = expected {
                    prop_assert_eq!(safe, expected);
                }
                let before: usize = records.iter().take_while(|record| record.3).map(|record| record.1).sum();
                prop_assert_eq!(released, before);
                prop_assert_eq!(offsets.is_empty(), open.is_none());
            }
        }
    }
}
