//! The circuit breaker of a snippet: it counts failures, and suspends the snippet when nearly all of its runs exceed their
//! time or memory.
//!
//! The content of a transaction can make an honest snippet slow: a large body, a long header. Whoever sends such requests
//! must not suspend the snippet for everybody. Runs are therefore counted by the size of their transaction, and a snippet
//! is suspended only for transactions of at least the size at which it fails. An endless loop fails at every size.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::snippets::SnippetTotals;
use crate::log::limit::{Limiter, Policy};
use logphase_script::Stop;

/// The circuit breaker of one snippet. All workers share it.
#[derive(Debug)]
pub struct Breaker {
    totals: Arc<SnippetTotals>,
    /// Limits the log lines about failures.
    log_limit: Limiter,
    /// For each class of sizes: time-outs and memory errors, less [`SUCCESS`] for each success.
    stops: [AtomicU32; CLASSES],
    /// The end of the suspension in milliseconds since the epoch; 0 while the snippet runs.
    suspended_until: AtomicU64,
    /// The smallest class of sizes that is suspended.
    suspended_from: AtomicU32,
    /// Runs that were skipped since the last probe.
    since_probe: AtomicU32,
}

/// Classes of sizes: below 1 KiB, and then by factors of four; the last has no end.
const CLASSES: usize = 8;
/// How many failures one success outweighs: a snippet is suspended when more than five of six runs fail.
const SUCCESS: u32 = 5;
/// One in so many skipped runs is a probe, which ends the suspension if it succeeds.
const PROBE_INTERVAL: u32 = 16;

fn class_of(bytes: usize) -> usize {
    let kib = (bytes >> 10) as u64;
    if kib == 0 { 0 } else { (kib.ilog2() as usize / 2 + 1).min(CLASSES - 1) }
}

/// The smallest size of a class, in bytes.
fn least_size(class: u32) -> usize {
    if class == 0 { 0 } else { 1 << (10 + 2 * (class - 1)) }
}

/// When and how long snippets are suspended.
#[derive(Debug, Clone, Copy)]
pub struct Suspension {
    /// Time-outs and memory errors, in excess of successes, before a suspension; 0 for never.
    pub after: u32,
    /// The duration of a suspension.
    pub time: Duration,
}

/// The change of the breaker's state by a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transition {
    /// The state is the same.
    None,
    /// The breaker opened: the snippet is suspended.
    Suspended {
        /// For transactions of at least this size, in bytes.
        from_bytes: usize,
    },
    /// The breaker closed: the snippet has succeeded after a suspension.
    Recovered,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Breaker {
    /// A closed breaker that counts in `totals`.
    pub(super) fn new(totals: Arc<SnippetTotals>) -> Self {
        Self {
            totals,
            log_limit: Limiter::new(Policy::ONE),
            stops: Default::default(),
            suspended_until: AtomicU64::new(0),
            suspended_from: AtomicU32::new(0),
            since_probe: AtomicU32::new(0),
        }
    }

    /// The totals of the snippet.
    pub fn totals(&self) -> &Arc<SnippetTotals> {
        &self.totals
    }

    /// The remaining time of the suspension, and the size from which on transactions are affected, in bytes; `None` while the
    /// snippet runs.
    pub fn suspended_for(&self) -> Option<(Duration, usize)> {
        let until = self.suspended_until.load(Ordering::Relaxed);
        // Without a suspension, the clock is not read.
        if until == 0 {
            return None;
        }
        let left = until.checked_sub(now()).filter(|left| *left > 0)?;
        Some((Duration::from_millis(left), least_size(self.suspended_from.load(Ordering::Relaxed))))
    }

    /// Returns the remaining time of the suspension and counts a skipped run, or `None` if the snippet is to run on a
    /// transaction of `bytes` bytes.
    pub(super) fn skip(&self, bytes: usize) -> Option<Duration> {
        let (left, from) = self.suspended_for()?;
        if bytes < from || self.since_probe.fetch_add(1, Ordering::Relaxed) % PROBE_INTERVAL == PROBE_INTERVAL - 1 {
            return None;
        }
        self.totals.skipped.fetch_add(1, Ordering::Relaxed);
        Some(left)
    }

    /// Records a run on a transaction of `bytes` bytes that ended by itself, with or without an error.
    pub(super) fn record_end(&self, bytes: usize) -> Transition {
        // Usually nothing is written, because all workers share the cache line.
        for stops in &self.stops[..=class_of(bytes)] {
            let count = stops.load(Ordering::Relaxed);
            if count > 0 {
                stops.store(count.saturating_sub(SUCCESS), Ordering::Relaxed);
            }
        }
        let suspended = self.suspended_until.load(Ordering::Relaxed) > 0;
        if !suspended || bytes < least_size(self.suspended_from.load(Ordering::Relaxed)) {
            return Transition::None;
        }
        if self.suspended_until.swap(0, Ordering::Relaxed) > 0 { Transition::Recovered } else { Transition::None }
    }

    /// Records a run on a transaction of `bytes` bytes that exceeded `budget`. After a suspension, one more time-out is enough
    /// for the next suspension.
    pub(super) fn record_stop(&self, budget: Stop, suspension: &Suspension, bytes: usize) -> Transition {
        self.totals.stops[budget as usize].fetch_add(1, Ordering::Relaxed);
        if !matches!(budget, Stop::Deadline | Stop::Memory) {
            return Transition::None;
        }
        let class = class_of(bytes);
        let stops = self.stops[class].load(Ordering::Relaxed).saturating_add(1);
        // Bounded, so that a few successes outweigh any number of failures long ago.
        self.stops[class].store(stops.min(suspension.after.saturating_add(SUCCESS)), Ordering::Relaxed);
        if suspension.after == 0 || stops < suspension.after {
            return Transition::None;
        }
        let (class, from_bytes) = (class as u32, least_size(class as u32));
        if self.suspended_for().is_some_and(|(_, from)| from <= from_bytes) {
            return Transition::None;
        }
        self.suspended_from.store(class, Ordering::Relaxed);
        self.suspended_until.store(now() + suspension.time.as_millis() as u64, Ordering::Relaxed);
        Transition::Suspended { from_bytes }
    }

    /// Counts a failure. If it is to be logged now, returns the number of failures since the last line, including this one.
    pub(super) fn record_failure(&self) -> Option<u64> {
        self.totals.errors.fetch_add(1, Ordering::Relaxed);
        self.log_limit.add(1)
    }
}

/// Milliseconds since the epoch, never 0.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_millis() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: usize = 500;

    /// Scenario: time-outs and memory errors with a success between them, then many, a suspension, and a success after it;
    /// values that are too large.
    /// Guarantees: a suspension takes the configured number of failures and time; one success outweighs five failures;
    /// afterwards one time-out is enough for the next suspension, until a success. A value that is too large never suspends.
    #[test]
    fn mostly_time_outs_suspend() {
        let breaker = Breaker::default();
        let suspension = Suspension { after: 3, time: Duration::from_secs(3600) };
        let short = Suspension { after: 3, time: Duration::ZERO };
        let suspended = Transition::Suspended { from_bytes: 0 };
        let stop = |budget, suspension: &Suspension| breaker.record_stop(budget, suspension, SMALL);
        assert_eq!(breaker.record_end(SMALL), Transition::None);
        assert!((0..9).all(|_| stop(Stop::Value, &suspension) == Transition::None));
        assert!((0..2).all(|_| stop(Stop::Deadline, &suspension) == Transition::None));
        assert_eq!(breaker.record_end(SMALL), Transition::None);
        assert!((0..2).all(|_| stop(Stop::Memory, &suspension) == Transition::None));
        assert_eq!(breaker.skip(SMALL), None);
        assert_eq!(stop(Stop::Deadline, &short), suspended);
        assert_eq!(breaker.skip(SMALL), None, "the suspension is over");
        assert_eq!(stop(Stop::Deadline, &suspension), suspended);
        assert!(breaker.skip(SMALL).is_some_and(|left| left > Duration::from_secs(3000)));
        let totals = breaker.totals();
        assert_eq!((totals.skipped(), totals.stops(Stop::Deadline), totals.stops(Stop::Memory)), (1, 4, 2));
        assert_eq!(breaker.record_end(SMALL), Transition::Recovered);
        assert_eq!(breaker.skip(SMALL), None);
        assert_eq!(stop(Stop::Deadline, &suspension), Transition::None);
        let never = Suspension { after: 0, ..suspension };
        assert!((0..100).all(|_| stop(Stop::Deadline, &never) == Transition::None));
    }

    /// Scenario: somebody sends large transactions, on which the snippet is too slow, among small ones of others; and, alone,
    /// hundreds of large ones.
    /// Guarantees: the snippet is suspended for large ones only, from the size on at which it failed; small ones run.
    #[test]
    fn large_transactions_suspend_large_ones_only() {
        let suspension = Suspension { after: 10, time: Duration::from_secs(3600) };
        let breaker = Breaker::default();
        let mut transitions = Vec::new();
        for _ in 0..300 {
            transitions.push(breaker.record_stop(Stop::Deadline, &suspension, 500_000));
            transitions.push(breaker.record_end(2_000));
        }
        transitions.retain(|transition| *transition != Transition::None);
        assert_eq!(transitions, [Transition::Suspended { from_bytes: 256 << 10 }]);
        assert_eq!((breaker.skip(200_000), breaker.skip(2_000)), (None, None));
        assert!(breaker.skip(300_000).is_some() && breaker.skip(5_000_000).is_some());
        assert_eq!(breaker.suspended_for().map(|(_, from)| from), Some(256 << 10));
        // It fails on small ones as well.
        let small: Vec<_> = (0..20).map(|_| breaker.record_stop(Stop::Deadline, &suspension, 2_000)).collect();
        assert_eq!(small.iter().filter(|transition| **transition != Transition::None).count(), 1);
        assert!(breaker.skip(2_000).is_some() && breaker.skip(100).is_none());
    }

    /// Scenario: a suspended snippet.
    /// Guarantees: one run in sixteen is a probe; a probe that succeeds ends the suspension.
    #[test]
    fn probes_end_a_suspension() {
        let (breaker, suspension) = (Breaker::default(), Suspension { after: 1, time: Duration::from_secs(3600) });
        breaker.record_stop(Stop::Deadline, &suspension, SMALL);
        let runs = (0..32).filter(|_| breaker.skip(SMALL).is_none()).count();
        assert_eq!(runs, 2);
        assert_eq!(breaker.record_end(SMALL), Transition::Recovered);
        assert!((0..32).all(|_| breaker.skip(SMALL).is_none()));
    }

    /// Scenario: sizes around the borders of the classes.
    /// Guarantees: a class holds the sizes from its least size up to that of the next one.
    #[test]
    fn classes_have_no_gaps() {
        for class in 1..CLASSES {
            let least = least_size(class as u32);
            assert_eq!((class_of(least - 1), class_of(least)), (class - 1, class), "{least}");
        }
        assert_eq!((class_of(0), class_of(usize::MAX)), (0, CLASSES - 1));
    }
}
