//! The book of what is where.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use super::super::in_flight::{InFlight, Outcome, Refusal};

/// What is to become of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delivered,
    /// After so many failures that pass.
    Later(u8),
    Refused,
    /// Refused with others, delivered alone.
    Apart,
    /// Refused with others and alone.
    ApartRefused,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Delivered),
        1 => (1u8..3).prop_map(Fate::Later),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Apart),
        1 => Just(Fate::ApartRefused),
    ]
}

/// The queue's side, the client's side, and the book between them.
struct World {
    fates: Vec<Fate>,
    book: InFlight,
    // Sent: number of the first, the entries, and whether it is apart.
    client: VecDeque<(u64, Vec<usize>, bool)>,
    outstanding: VecDeque<Bytes>,
    delivered: BTreeMap<usize, u32>,
    settled: Vec<usize>,
    refused: Vec<usize>,
}

fn index(entry: &Bytes) -> usize {
    std::str::from_utf8(entry).expect("text").parse().expect("a number")
}

impl World {
    fn pump(&mut self, group: usize) {
        while let Some(next) = self.book.next() {
            let mixed = self.client.iter().any(|(.., apart)| *apart != next.apart);
            if next.blocked || mixed {
                return;
            }
            let count = if next.apart { 1 } else { self.book.together(next.number).take(group).count() };
            let entries = self.book.run(next.number, count).map(index).collect();
            self.book.sent(next.number, count);
            self.client.push_back((next.number, entries, next.apart));
        }
    }

    /// Reports what became of one record.
    fn report(&mut self, which: usize) {
        let Some((number, entries, apart)) = self.client.remove(which % self.client.len().max(1)) else { return };
        let worst = entries.iter().copied().find(|&entry| self.fates[entry] != Fate::Delivered);
        let outcome = match worst.map(|entry| self.fates[entry]) {
            _ if entries.len() > 1 && worst.is_some() => Outcome::Apart("too many".into()),
            None => Outcome::Delivered,
            Some(Fate::Later(left)) => {
                self.fates[entries[0]] = if left > 1 { Fate::Later(left - 1) } else { Fate::Delivered };
                Outcome::Again
            }
            Some(Fate::Refused) => Outcome::Refused("no".into()),
            Some(Fate::Apart) if apart => Outcome::Delivered,
            Some(_) => Outcome::Apart("too large".into()),
        };
        if outcome == Outcome::Delivered {
            entries.iter().for_each(|entry| *self.delivered.entry(*entry).or_default() += 1);
        }
        self.book.report(number, &outcome);
    }

    /// Settles; on a refusal the queue gives the entry up, or keeps it once if it cannot put it aside.
    fn settle(&mut self, keeps: bool) {
        let (settled, refusal) = self.book.settle();
        let refused = matches!(refusal, Some(Refusal(_)));
        self.settled.extend(self.outstanding.drain(..settled).map(|entry| index(&entry)));
        if refused {
            if !keeps {
                self.refused.extend(self.outstanding.pop_front().map(|entry| index(&entry)));
            }
            self.book.align(self.outstanding.make_contiguous());
        }
    }
}

proptest! {
    /// Scenario: any fates of entries, sent in any batches and groups, reported in any order, with a queue that
    /// cannot always put a refused entry aside at once.
    /// Guarantees: each entry is delivered exactly once and settled, or reported as refused exactly once, in order.
    #[test]
    fn each_entry_ends_once(
        fates in prop::collection::vec(fate(), 1..60),
        group in 1usize..5,
        steps in prop::collection::vec((0u8..4, any::<usize>(), any::<bool>()), 0..300),
    ) {
        let count = fates.len();
        let mut world = World {
            fates: fates.clone(), book: InFlight::default(), client: VecDeque::new(), outstanding: VecDeque::new(),
            delivered: BTreeMap::new(), settled: Vec::new(), refused: Vec::new(),
        };
        let mut handed = 0;
        let endless = (0..).map(|step| ((step % 4) as u8, step, false));
        for (kind, number, flag) in steps.into_iter().chain(endless.take(20_000)) {
            match kind {
                0 => {
                    let batch: Vec<_> = (handed..count.min(handed + number % 7)).map(|n| Bytes::from(n.to_string())).collect();
                    handed += batch.len();
                    world.book.extend(&batch);
                    world.outstanding.extend(batch);
                }
                1 => world.pump(group),
                2 => world.report(number),
                _ => world.settle(flag),
            }
            if handed == count && world.outstanding.is_empty() {
                break;
            }
        }
        prop_assert!(world.outstanding.is_empty(), "left: {:?}", world.outstanding);
        prop_assert!(world.book.is_empty() && world.book.on_way() == 0);
        let ends_refused = |fate: Fate| matches!(fate, Fate::Refused | Fate::ApartRefused);
        let expect = |refused: bool| (0..count).filter(|&n| ends_refused(fates[n]) == refused).collect::<Vec<_>>();
        prop_assert_eq!(&world.settled, &expect(false));
        prop_assert_eq!(&world.refused, &expect(true));
        let once: BTreeMap<_, _> = expect(false).into_iter().map(|entry| (entry, 1)).collect();
        prop_assert_eq!(world.delivered, once);
    }

    /// Scenario: the queue gives up everything while entries are on their way, and hands over others.
    /// Guarantees: late reports of the former say nothing of the latter.
    #[test]
    fn late_reports_are_of_no_account(old in 1usize..20, new in 1usize..20) {
        let mut book = InFlight::default();
        let texts = |count: usize| (0..count).map(|n| Bytes::from(n.to_string())).collect::<Vec<_>>();
        book.extend(&texts(old));
        for number in 0..old as u64 {
            book.sent(number, 1);
        }
        book.align(&[]);
        prop_assert!(book.is_empty() && book.on_way() == 0);
        book.extend(&texts(new));
        let first = book.next().expect("waits").number;
        for number in 0..new as u64 {
            book.sent(first + number, 1);
        }
        for number in 0..old as u64 {
            book.report(number, &Outcome::Delivered);
        }
        prop_assert_eq!(book.settle(), (0, None));
    }
}

/// Scenario: equal entries, of which the first is refused. Guarantees: the second is not taken for it.
#[test]
fn equal_entries_are_two() {
    let entries = [Bytes::from(b"same".to_vec()), Bytes::from(b"same".to_vec())];
    let mut book = InFlight::default();
    book.extend(&entries);
    book.sent(0, 1);
    book.sent(1, 1);
    book.report(0, &Outcome::Refused("no".into()));
    assert_eq!(book.settle(), (0, Some(&Refusal("no".into()))));
    book.align(&entries[1..]);
    assert_eq!(book.settle(), (0, None));
    book.report(1, &Outcome::Delivered);
    assert_eq!(book.settle(), (1, None));
}
