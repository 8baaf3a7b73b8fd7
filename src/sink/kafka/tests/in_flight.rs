//! The state of outstanding entries.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use super::super::in_flight::{InFlight, Outcome, Rejection};

/// How the cluster treats an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delivered,
    /// Delivered after this many transient failures.
    Later(u8),
    Rejected,
    /// Rejected in a batch, delivered alone.
    AloneDelivered,
    /// Rejected in a batch and alone.
    AloneRejected,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Delivered),
        1 => (1u8..3).prop_map(Fate::Later),
        1 => Just(Fate::Rejected),
        1 => Just(Fate::AloneDelivered),
        1 => Just(Fate::AloneRejected),
    ]
}

/// A model of the queue and of the producer, with the entries in flight between them.
struct Model {
    fates: Vec<Fate>,
    in_flight: InFlight,
    // Records: number of the first entry, the entries, and whether the record is sent alone.
    producer: VecDeque<(u64, Vec<usize>, bool)>,
    outstanding: VecDeque<Bytes>,
    delivered: BTreeMap<usize, u32>,
    settled: Vec<usize>,
    rejected: Vec<usize>,
}

fn index(entry: &Bytes) -> usize {
    std::str::from_utf8(entry).expect("text").parse().expect("a number")
}

impl Model {
    fn fill_producer(&mut self, group: usize) {
        while let Some(next) = self.in_flight.next() {
            let mixed = self.producer.iter().any(|(.., send_alone)| *send_alone != next.send_alone);
            if next.blocked || mixed {
                return;
            }
            let count = if next.send_alone { 1 } else { self.in_flight.batchable(next.number).take(group).count() };
            let entries = self.in_flight.entries(next.number, count).map(index).collect();
            self.in_flight.mark_sent(next.number, count);
            self.producer.push_back((next.number, entries, next.send_alone));
        }
    }

    /// Reports the outcome of one record.
    fn report(&mut self, which: usize) {
        let Some((number, entries, send_alone)) = self.producer.remove(which % self.producer.len().max(1)) else {
            return;
        };
        let worst = entries.iter().copied().find(|&entry| self.fates[entry] != Fate::Delivered);
        let outcome = match worst.map(|entry| self.fates[entry]) {
            _ if entries.len() > 1 && worst.is_some() => Outcome::SendAlone("too many".into()),
            None => Outcome::Delivered,
            Some(Fate::Later(left)) => {
                self.fates[entries[0]] = if left > 1 { Fate::Later(left - 1) } else { Fate::Delivered };
                Outcome::Resend
            }
            Some(Fate::Rejected) => Outcome::Rejected("no".into()),
            Some(Fate::AloneDelivered) if send_alone => Outcome::Delivered,
            Some(_) => Outcome::SendAlone("too large".into()),
        };
        if outcome == Outcome::Delivered {
            entries.iter().for_each(|entry| *self.delivered.entry(*entry).or_default() += 1);
        }
        self.in_flight.apply_report(number, &outcome);
    }

    /// Settles. On a rejection the queue gives the entry up, or keeps it if `keeps` (its dead-letter write failed).
    fn settle(&mut self, keeps: bool) {
        let (settled, rejection) = self.in_flight.settle();
        let rejected = matches!(rejection, Some(Rejection(_)));
        self.settled.extend(self.outstanding.drain(..settled).map(|entry| index(&entry)));
        if rejected {
            if !keeps {
                self.rejected.extend(self.outstanding.pop_front().map(|entry| index(&entry)));
            }
            self.in_flight.resync(self.outstanding.make_contiguous());
        }
    }
}

proptest! {
    /// Scenario: entries with any outcomes, sent in any batches and groups and reported in any order; the queue sometimes
    /// keeps a rejected entry for another attempt.
    /// Guarantees: each entry is delivered exactly once and settled, or reported as rejected exactly once, in order.
    #[test]
    fn each_entry_ends_once(
        fates in prop::collection::vec(fate(), 1..60),
        group in 1usize..5,
        steps in prop::collection::vec((0u8..4, any::<usize>(), any::<bool>()), 0..300),
    ) {
        let count = fates.len();
        let mut model = Model {
            fates: fates.clone(), in_flight: InFlight::default(), producer: VecDeque::new(), outstanding: VecDeque::new(),
            delivered: BTreeMap::new(), settled: Vec::new(), rejected: Vec::new(),
        };
        let mut handed = 0;
        let endless = (0..).map(|step| ((step % 4) as u8, step, false));
        for (kind, number, flag) in steps.into_iter().chain(endless.take(20_000)) {
            match kind {
                0 => {
                    let batch: Vec<_> = (handed..count.min(handed + number % 7)).map(|n| Bytes::from(n.to_string())).collect();
                    handed += batch.len();
                    model.in_flight.extend(&batch);
                    model.outstanding.extend(batch);
                }
                1 => model.fill_producer(group),
                2 => model.report(number),
                _ => model.settle(flag),
            }
            if handed == count && model.outstanding.is_empty() {
                break;
            }
        }
        prop_assert!(model.outstanding.is_empty(), "left: {:?}", model.outstanding);
        prop_assert!(model.in_flight.is_empty() && model.in_flight.unacknowledged() == 0);
        let ends_rejected = |fate: Fate| matches!(fate, Fate::Rejected | Fate::AloneRejected);
        let expect = |rejected: bool| (0..count).filter(|&n| ends_rejected(fates[n]) == rejected).collect::<Vec<_>>();
        prop_assert_eq!(&model.settled, &expect(false));
        prop_assert_eq!(&model.rejected, &expect(true));
        let once: BTreeMap<_, _> = expect(false).into_iter().map(|entry| (entry, 1)).collect();
        prop_assert_eq!(model.delivered, once);
    }

    /// Scenario: the queue gives up all entries while they are in flight, and sends new ones.
    /// Guarantees: late reports of the old entries do not change the new ones.
    #[test]
    fn late_reports_are_ignored(old in 1usize..20, new in 1usize..20) {
        let mut in_flight = InFlight::default();
        let texts = |count: usize| (0..count).map(|n| Bytes::from(n.to_string())).collect::<Vec<_>>();
        in_flight.extend(&texts(old));
        for number in 0..old as u64 {
            in_flight.mark_sent(number, 1);
        }
        in_flight.resync(&[]);
        prop_assert!(in_flight.is_empty() && in_flight.unacknowledged() == 0);
        in_flight.extend(&texts(new));
        let first = in_flight.next().expect("waits").number;
        for number in 0..new as u64 {
            in_flight.mark_sent(first + number, 1);
        }
        for number in 0..old as u64 {
            in_flight.apply_report(number, &Outcome::Delivered);
        }
        prop_assert_eq!(in_flight.settle(), (0, None));
    }
}

/// Scenario: two entries with equal content; the first is rejected. Guarantees: the second is settled on its own.
#[test]
fn equal_entries_are_distinct() {
    let entries = [Bytes::from(b"same".to_vec()), Bytes::from(b"same".to_vec())];
    let mut in_flight = InFlight::default();
    in_flight.extend(&entries);
    in_flight.mark_sent(0, 1);
    in_flight.mark_sent(1, 1);
    in_flight.apply_report(0, &Outcome::Rejected("no".into()));
    assert_eq!(in_flight.settle(), (0, Some(&Rejection("no".into()))));
    in_flight.resync(&entries[1..]);
    assert_eq!(in_flight.settle(), (0, None));
    in_flight.apply_report(1, &Outcome::Delivered);
    assert_eq!(in_flight.settle(), (1, None));
}
