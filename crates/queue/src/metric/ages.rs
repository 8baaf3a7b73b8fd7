//! How long entries have been in a queue, from one mark for each batch that came in.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use super::Histogram;

/// A point in time, also one before the process began. In microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// Now. Not touched by a change of the system's time.
    pub fn now() -> Self {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        Self(i64::try_from(ORIGIN.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// The moment of a time that a file has, which may lie before the system was started.
    pub fn of(time: SystemTime) -> Self {
        let ago = SystemTime::now().duration_since(time).unwrap_or_default();
        Self(Self::now().0.saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this; none if it lies after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }
}

/// The most marks that are kept. Past it every other one goes: what it stood for counts as older by as much as a batch
/// came earlier, which is at most the 512th part of the time that the marks span.
const MARKS: usize = 1024;

/// When the entries of a queue came in, by their numbers, and how long those took that were delivered.
#[derive(Debug, Default)]
pub struct Ages {
    /// Entries from this number on, to that of the next mark, came at this moment or a little later.
    marks: VecDeque<(u64, Moment)>,
    /// Batches this close to the last mark get none of their own.
    apart: Duration,
    delivered: Histogram,
}

impl Ages {
    /// A batch came whose first entry has the number `first`.
    pub fn came(&mut self, first: u64, at: Moment) {
        match self.marks.back() {
            None => self.apart = Duration::ZERO,
            Some((_, last)) if at.since(*last) <= self.apart => return,
            Some(_) => {}
        }
        if self.marks.len() == MARKS {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            let span = self.marks.front().map_or(Duration::ZERO, |(_, oldest)| at.since(*oldest));
            self.apart = span / (MARKS as u32 / 2);
        }
        self.marks.push_back((first, at));
    }

    /// `entries` entries with numbers from `first` to `last` were delivered.
    pub fn delivered(&mut self, (first, last): (u64, u64), entries: u64, now: Moment) {
        let mut left = entries;
        let at = self.mark_of(first);
        for (index, (_, came)) in self.marks.iter().enumerate().skip(at) {
            let end = self.marks.get(index + 1).map_or(u64::MAX, |(next, _)| *next).min(last + 1);
            let begin = self.marks[index].0.max(first);
            let part = end.saturating_sub(begin).min(left);
            self.delivered.record(now.since(*came), part);
            left -= part;
            if left == 0 || end > last {
                break;
            }
        }
        // Those for which there is no mark (there always is one) took no time.
        if left > 0 {
            self.delivered.record(Duration::ZERO, left);
        }
    }

    /// Nothing below the number `head` is in the queue any more, of which `next` is the number of the next entry to
    /// come.
    pub fn left(&mut self, head: u64, next: u64) {
        if head >= next {
            self.marks.clear();
        } else {
            let done = self.mark_of(head);
            self.marks.drain(..done);
        }
    }

    /// How long the entry with the number `head` has been here.
    pub fn age(&self, head: u64, now: Moment) -> Option<Duration> {
        self.marks.get(self.mark_of(head)).map(|(_, came)| now.since(*came))
    }

    /// How long those took that were delivered, from when they came in.
    pub fn times(&self) -> &Histogram {
        &self.delivered
    }

    /// The mark that `seq` belongs to.
    fn mark_of(&self, seq: u64) -> usize {
        self.marks.partition_point(|(first, _)| *first <= seq).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;

    /// Scenario: three batches a second apart; the first and half of the second are delivered at once.
    /// Guarantees: the age is that of the batch that the first entry came with; each delivered entry is noted once, with
    /// the time of its batch.
    #[test]
    fn ages_of_batches() {
        let mut ages = Ages::default();
        for batch in 0..3 {
            ages.came(10 * batch, Moment(batch as i64 * SECOND));
        }
        let now = Moment(10 * SECOND);
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
        assert_eq!([0, 9, 10, 25].map(|head| seconds(ages.age(head, now))), [Some(10), Some(10), Some(9), Some(8)]);
        ages.delivered((0, 14), 15, now);
        ages.left(15, 30);
        assert_eq!((ages.times().count(), ages.times().seconds()), (15, 10.0 * 10.0 + 5.0 * 9.0));
        assert_eq!(seconds(ages.age(15, now)), Some(9));
        ages.left(30, 30);
        assert_eq!(ages.age(30, now), None);
    }

    /// Scenario: a file from before the system was started, and one from the future.
    /// Guarantees: the age of the first is known, that of the other is none.
    #[test]
    fn moments_of_files() {
        let year = Duration::from_secs(365 * 86_400);
        let age = |time| Moment::now().since(Moment::of(time));
        let known = age(SystemTime::now() - year);
        assert!(known >= year && known < year + Duration::from_secs(60), "{known:?}");
        assert!(age(SystemTime::now() + year) < Duration::from_secs(60));
    }

    proptest! {
        /// Scenario: up to 20,000 batches with any pauses, of which any number is delivered in any portions.
        /// Guarantees: the marks are bounded; no age is too small, nor larger by more than a 512th of all the time (and
        /// a pause); everything delivered is noted, once.
        #[test]
        fn bounded_and_nearly_exact(pauses in proptest::collection::vec(0i64..100_000, 1..20_000), portion in 1u64..5000) {
            let mut ages = Ages::default();
            let mut now = 0;
            let mut came = Vec::new();
            for (batch, pause) in pauses.iter().enumerate() {
                now += pause;
                ages.came(3 * batch as u64, Moment(now));
                came.push(now);
            }
            prop_assert!(ages.marks.len() <= MARKS);
            let end = 3 * came.len() as u64;
            let mut head = 0;
            while head < end {
                let exact = now - came[(head / 3) as usize];
                let age = ages.age(head, Moment(now)).unwrap().as_micros() as i64;
                prop_assert!(age >= exact && age <= exact + 2 * now / 512 + 1, "{} {} of {}", age, exact, now);
                let last = (head + portion).min(end) - 1;
                ages.delivered((head, last), last + 1 - head, Moment(now));
                head = last + 1;
                ages.left(head, end);
            }
            prop_assert_eq!(ages.times().count(), end);
            prop_assert!(ages.marks.is_empty());
        }
    }
}
