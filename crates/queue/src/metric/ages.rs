//! How long entries are in a queue, by one mark for each batch that arrived.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use super::Histogram;

/// A point in time in microseconds, which may be before the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// Now, by the monotonic clock.
    pub fn now() -> Self {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        Self(i64::try_from(ORIGIN.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// The moment of a file's time, which may be before the start of the system.
    pub fn of(time: SystemTime) -> Self {
        let ago = SystemTime::now().duration_since(time).unwrap_or_default();
        Self(Self::now().0.saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or_default())
    }
}

/// Marks that are kept, at most. Past it every other one is removed: its entries count as older, by at most 1/512 of the time
/// span of the marks.
const MARKS: usize = 1024;

/// When the entries of a queue arrived, by their numbers, and how long the delivered ones were in it.
#[derive(Debug, Default)]
pub struct Ages {
    /// Entries from this number up to that of the next mark arrived at this moment or a little later.
    marks: VecDeque<(u64, Moment)>,
    /// Batches that arrive this soon after the last mark get none.
    resolution: Duration,
    delivered: Histogram,
}

impl Ages {
    /// Records that a batch arrived whose first entry has the number `first`.
    pub fn arrived(&mut self, first: u64, at: Moment) {
        match self.marks.back() {
            None => self.resolution = Duration::ZERO,
            Some((_, last)) if at.since(*last) <= self.resolution => return,
            Some(_) => {}
        }
        if self.marks.len() == MARKS {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            let span = self.marks.front().map_or(Duration::ZERO, |(_, oldest)| at.since(*oldest));
            self.resolution = span / (MARKS as u32 / 2);
        }
        self.marks.push_back((first, at));
    }

    /// Records that `entries` entries with numbers from `first` to `last` were delivered.
    pub fn delivered(&mut self, numbers: (u64, u64), entries: u64, now: Moment) {
        let mut delivered = std::mem::take(&mut self.delivered);
        self.split(numbers, entries, now, |arrived, entries| delivered.record(now.since(arrived), entries));
        self.delivered = delivered;
    }

    /// Calls `part` with each moment at which some of `entries` entries with numbers from `first` to `last` arrived, and with
    /// their number.
    pub fn split(&self, (first, last): (u64, u64), entries: u64, now: Moment, mut part: impl FnMut(Moment, u64)) {
        let mut left = entries;
        let at = self.mark_of(first);
        for (index, (_, arrived)) in self.marks.iter().enumerate().skip(at) {
            let end = self.marks.get(index + 1).map_or(u64::MAX, |(next, _)| *next).min(last + 1);
            let begin = self.marks[index].0.max(first);
            let here = end.saturating_sub(begin).min(left);
            if here > 0 {
                part(*arrived, here);
            }
            left -= here;
            if left == 0 || end > last {
                break;
            }
        }
        // Entries without a mark (there always is one) count with no time.
        if left > 0 {
            part(now, left);
        }
    }

    /// Records that `entries` entries were in the queue for `time`.
    pub fn record(&mut self, time: Duration, entries: u64) {
        self.delivered.record(time, entries);
    }

    /// Records that entry `number`, which is older than every entry that has a mark, waits again. It arrived at `arrived`.
    pub fn restore(&mut self, number: u64, arrived: Moment) {
        match self.marks.front_mut() {
            Some((first, at)) if *at == arrived => *first = (*first).min(number),
            _ => self.marks.push_front((number, arrived)),
        }
    }

    /// Removes the marks of entries below `head`, which are not in the queue any more. `next` is the number of the next entry
    /// to be appended.
    pub fn remove_below(&mut self, head: u64, next: u64) {
        if head >= next {
            self.marks.clear();
        } else {
            let done = self.mark_of(head);
            self.marks.drain(..done);
        }
    }

    /// Removes the marks of entries from `next` on, whose numbers will be given again.
    pub fn remove_from(&mut self, next: u64) {
        self.marks.truncate(self.marks.partition_point(|(first, _)| *first < next));
    }

    /// How long the entry with the number `head` has been in the queue.
    pub fn age(&self, head: u64, now: Moment) -> Option<Duration> {
        self.marks.get(self.mark_of(head)).map(|(_, arrived)| now.since(*arrived))
    }

    /// How long the delivered entries were in the queue.
    pub fn times(&self) -> &Histogram {
        &self.delivered
    }

    /// The index of the mark of entry `seq`.
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
    /// Guarantees: the age is that of the batch of the first entry; each delivered entry is counted once, with
    /// the time of its batch.
    #[test]
    fn ages_of_batches() {
        let mut ages = Ages::default();
        for batch in 0..3 {
            ages.arrived(10 * batch, Moment(batch as i64 * SECOND));
        }
        let now = Moment(10 * SECOND);
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
        assert_eq!([0, 9, 10, 25].map(|head| seconds(ages.age(head, now))), [Some(10), Some(10), Some(9), Some(8)]);
        ages.delivered((0, 14), 15, now);
        ages.remove_below(15, 30);
        assert_eq!((ages.times().count(), ages.times().seconds()), (15, 10.0 * 10.0 + 5.0 * 9.0));
        assert_eq!(seconds(ages.age(15, now)), Some(9));
        ages.remove_below(30, 30);
        assert_eq!(ages.age(30, now), None);
    }

    /// Scenario: a file from before the start of the system, and one from the future.
    /// Guarantees: the age of the first is known, that of the other is zero.
    #[test]
    fn moments_of_files() {
        let year = Duration::from_secs(365 * 86_400);
        let age = |time| {
            let moment = Moment::of(time);
            Moment::now().since(moment)
        };
        let known = age(SystemTime::now() - year);
        assert!(known >= year && known < year + Duration::from_secs(60), "{known:?}");
        assert!(age(SystemTime::now() + year) < Duration::from_secs(60));
    }

    proptest! {
        /// Scenario: up to 20,000 batches with any pauses, of which any number is delivered in any portions.
        /// Guarantees: the marks are bounded; no age is too small, nor larger by more than a 512th of all the time (and
        /// a pause); every delivered entry is counted once.
        #[test]
        fn bounded_and_nearly_exact(pauses in proptest::collection::vec(0i64..100_000, 1..20_000), portion in 1u64..5000) {
            let mut ages = Ages::default();
            let mut now = 0;
            let mut came = Vec::new();
            for (batch, pause) in pauses.iter().enumerate() {
                now += pause;
                ages.arrived(3 * batch as u64, Moment(now));
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
                ages.remove_below(head, end);
            }
            prop_assert_eq!(ages.times().count(), end);
            prop_assert!(ages.marks.is_empty());
        }
    }
}
