//! The circuit breaker of a snippet: it counts failures, and suspends the snippet after consecutive time-outs or memory
//! errors.

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
    /// Time-outs and memory errors since the last success.
    consecutive_stops: AtomicU32,
    /// The end of the suspension in milliseconds since the epoch; 0 while the snippet runs.
    suspended_until: AtomicU64,
}

/// When and how long snippets are suspended.
#[derive(Debug, Clone, Copy)]
pub struct Suspension {
    /// Consecutive time-outs and memory errors before a suspension; 0 for never.
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
    Suspended,
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
            consecutive_stops: AtomicU32::new(0),
            suspended_until: AtomicU64::new(0),
        }
    }

    /// The totals of the snippet.
    pub fn totals(&self) -> &Arc<SnippetTotals> {
        &self.totals
    }

    /// The remaining time of the suspension; `None` while the snippet runs.
    pub fn suspended_for(&self) -> Option<Duration> {
        let until = self.suspended_until.load(Ordering::Relaxed);
        // Without a suspension, the clock is not read.
        if until == 0 {
            return None;
        }
        until.checked_sub(now()).filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// Returns the remaining time of the suspension and counts a skipped run, or `None` if the snippet is to run.
    pub(super) fn skip(&self) -> Option<Duration> {
        let left = self.suspended_for()?;
        self.totals.skipped.fetch_add(1, Ordering::Relaxed);
        Some(left)
    }

    /// Records a run that ended by itself, with or without an error.
    pub(super) fn record_end(&self) -> Transition {
        // Usually nothing is written, because all workers share the cache line.
        if self.consecutive_stops.load(Ordering::Relaxed) == 0 {
            return Transition::None;
        }
        self.consecutive_stops.store(0, Ordering::Relaxed);
        if self.suspended_until.swap(0, Ordering::Relaxed) > 0 { Transition::Recovered } else { Transition::None }
    }

    /// Records a run that exceeded `budget`. After a suspension, one more time-out is enough for the next suspension.
    pub(super) fn record_stop(&self, budget: Stop, suspension: &Suspension) -> Transition {
        self.totals.stops[budget as usize].fetch_add(1, Ordering::Relaxed);
        if !matches!(budget, Stop::Deadline | Stop::Memory) {
            return Transition::None;
        }
        let stops = self.consecutive_stops.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if suspension.after == 0 || stops < suspension.after || self.suspended_for().is_some() {
            return Transition::None;
        }
        self.suspended_until.store(now() + suspension.time.as_millis() as u64, Ordering::Relaxed);
        Transition::Suspended
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

    /// Scenario: time-outs with a success between them, then three consecutive ones, a suspension, and a success after it;
    /// values that are too large.
    /// Guarantees: only consecutive time-outs suspend, and for the configured time; afterwards one time-out is enough for
    /// the next suspension, and one success ends the sequence. A value that is too large never suspends.
    #[test]
    fn consecutive_time_outs_suspend() {
        let breaker = Breaker::default();
        let suspension = Suspension { after: 3, time: Duration::from_secs(3600) };
        let short = Suspension { after: 3, time: Duration::ZERO };
        assert_eq!(breaker.record_end(), Transition::None);
        for _ in 0..9 {
            assert_eq!(breaker.record_stop(Stop::Value, &suspension), Transition::None);
        }
        for _ in 0..2 {
            assert_eq!(breaker.record_stop(Stop::Deadline, &suspension), Transition::None);
        }
        assert_eq!(breaker.record_end(), Transition::None);
        for _ in 0..2 {
            assert_eq!(breaker.record_stop(Stop::Memory, &suspension), Transition::None);
        }
        assert_eq!(breaker.skip(), None);
        assert_eq!(breaker.record_stop(Stop::Deadline, &short), Transition::Suspended);
        assert_eq!(breaker.skip(), None, "the suspension is over");
        assert_eq!(breaker.record_stop(Stop::Deadline, &suspension), Transition::Suspended);
        assert!(breaker.skip().is_some_and(|left| left > Duration::from_secs(3000)));
        let totals = breaker.totals();
        assert_eq!((totals.skipped(), totals.stops(Stop::Deadline), totals.stops(Stop::Memory)), (1, 4, 2));
        assert_eq!(breaker.record_end(), Transition::Recovered);
        assert_eq!(breaker.skip(), None);
        let never = Suspension { after: 0, ..suspension };
        assert!((0..100).all(|_| breaker.record_stop(Stop::Deadline, &never) == Transition::None));
    }
}
