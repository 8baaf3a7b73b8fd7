//! Histograms of times, whose buckets double.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bucket `i` holds what took more than `2^(i-1)` and at most `2^i` nanoseconds; the last one everything from 39 hours.
const BUCKETS: usize = 48;

/// A histogram of times. Its counts never decrease.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    seconds: f64,
}

/// The bounds of a histogram that are shown: from `2^first` to `2^last` nanoseconds, by factors of `2^step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// The power of the smallest bound.
    pub first: usize,
    /// The power of the largest bound; longer times are only in the total.
    pub last: usize,
    /// The difference between the powers of two bounds.
    pub step: usize,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], seconds: 0.0 }
    }
}

impl Histogram {
    /// Records `duration` `times` times.
    pub fn record(&mut self, duration: Duration, times: u64) {
        self.counts[bucket(duration)] += times;
        self.seconds += duration.as_secs_f64() * times as f64;
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.seconds += other.seconds;
    }

    /// How many times were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// For each bound of `scale` in seconds the number of times up to it and above the bound before; last the rest, with an
    /// infinite bound.
    pub fn buckets(&self, scale: Scale) -> Vec<(f64, u64)> {
        let mut from = 0;
        let mut buckets: Vec<(f64, u64)> = (scale.first..=scale.last)
            .step_by(scale.step)
            .map(|power| {
                let count = self.counts[from..=power].iter().sum();
                from = power + 1;
                ((1u64 << power) as f64 / 1e9, count)
            })
            .collect();
        buckets.push((f64::INFINITY, self.counts[from..].iter().sum()));
        buckets
    }
}

fn bucket(duration: Duration) -> usize {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1);
    ((u64::BITS - (nanos - 1).leading_zeros()) as usize).min(BUCKETS - 1)
}

/// A histogram that one thread writes and others read.
#[derive(Debug)]
pub struct Cell {
    counts: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Default for Cell {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), nanos: AtomicU64::new(0) }
    }
}

impl Cell {
    /// Records `duration`. Only one thread may call it: records of others may be lost.
    pub fn record(&self, duration: Duration) {
        // With one writer, no atomic read-modify-write is needed, which would cost more.
        let add = |cell: &AtomicU64, more: u64| {
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        };
        add(&self.nanos, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        add(&self.counts[bucket(duration)], 1);
    }

    /// What was recorded so far.
    pub fn read(&self) -> Histogram {
        let mut counts = [0; BUCKETS];
        counts.iter_mut().zip(&self.counts).for_each(|(out, count)| *out = count.load(Ordering::Relaxed));
        Histogram { counts, seconds: self.nanos.load(Ordering::Relaxed) as f64 / 1e9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: any times, recorded one by one, in a cell, and in two histograms that are then added.
        /// Guarantees: every one is in the one bucket whose bounds it is within, as Prometheus counts (`le`); all
        /// three ways give the same.
        #[test]
        fn bounds_hold(times in proptest::collection::vec(0u64..1 << 50, 0..50), first in 0usize..20, step in 1usize..4) {
            let scale = Scale { first, last: first + 5 * step, step };
            let (mut all, mut even, mut odd, cell) =
                (Histogram::default(), Histogram::default(), Histogram::default(), Cell::default());
            for (at, nanos) in times.iter().enumerate() {
                let time = Duration::from_nanos(*nanos);
                all.record(time, 1);
                (if at % 2 == 0 { &mut even } else { &mut odd }).record(time, 1);
                cell.record(time);
            }
            even.add(&odd);
            prop_assert_eq!(even.buckets(scale), all.buckets(scale));
            prop_assert_eq!(cell.read().buckets(scale), all.buckets(scale));
            prop_assert!((even.seconds() - all.seconds()).abs() < 1e-6);
            prop_assert!((cell.read().seconds() - all.seconds()).abs() < 1e-6);
            let mut below = 0;
            for (bound, count) in all.buckets(scale) {
                below += count;
                let expected = times.iter().filter(|nanos| **nanos as f64 / 1e9 <= bound).count();
                prop_assert_eq!(below, expected as u64, "{}", bound);
            }
            prop_assert_eq!(all.count(), times.len() as u64);
        }
    }

    /// Scenario: a million messages that waited for a year. Guarantees: the sum is right, nothing overflows.
    #[test]
    fn long_and_many() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_secs(365 * 86_400), 1_000_000_000);
        assert_eq!((histogram.count(), histogram.seconds()), (1_000_000_000, 365.0 * 86_400.0 * 1e9));
    }
}
