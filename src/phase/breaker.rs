//! Counting what scripts do wrong, and telling of it now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::fields::Totals;
use logphase_script::Stop;

/// The circuit breakers of one plugin's snippets.
#[derive(Debug)]
pub struct Breakers {
    parts: Vec<Breaker>,
}

/// How often one part failed, and whether it may run.
#[derive(Debug, Default)]
pub struct Breaker {
    totals: Arc<Totals>,
    told: AtomicU64,
    told_at: AtomicU64,
    /// Time-outs and memory errors since it last ended by itself.
    in_a_row: AtomicU32,
    /// Until when it is not run, in milliseconds since the epoch; 0 while it is run.
    suspended_until: AtomicU64,
}

/// When a part that never ends by itself is left out, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Suspension {
    /// Time-outs in a row; 0 for never.
    pub after: u32,
    /// How long.
    pub time: Duration,
}

/// What a run of a part means for the next ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing new.
    GoOn,
    /// It is suspended from now on.
    Suspended,
    /// It was suspended, and ended by itself now.
    Recovered,
}

/// After an error was logged, its repetitions are only counted for so long.
const QUIET: Duration = Duration::from_secs(10);

impl Breakers {
    pub(super) fn new(parts: usize) -> Self {
        Self { parts: (0..parts).map(|_| Breaker::default()).collect() }
    }

    /// Goes on counting where an earlier configuration's parts left off: `totals` gives what each has counted.
    pub(super) fn go_on(&mut self, totals: impl Fn(usize) -> Arc<Totals>) {
        for (at, part) in self.parts.iter_mut().enumerate() {
            let totals = totals(at);
            *part = Breaker { told: AtomicU64::new(totals.errors()), totals, ..Breaker::default() };
        }
    }

    /// The breakers of each part, in order.
    pub fn parts(&self) -> &[Breaker] {
        &self.parts
    }
}

impl Breaker {
    /// What it has done so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// For how long it is still left out, if it is.
    pub fn suspended_for(&self) -> Option<Duration> {
        let until = self.suspended_until.load(Ordering::Relaxed);
        // While it is run the clock is not asked.
        if until == 0 {
            return None;
        }
        until.checked_sub(now()).filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// Whether the part is left out this time, which is then counted.
    pub(super) fn leaves_out(&self) -> Option<Duration> {
        let left = self.suspended_for()?;
        self.totals.skipped.fetch_add(1, Ordering::Relaxed);
        Some(left)
    }

    /// Notes that the part ended by itself.
    pub(super) fn ended(&self) -> Verdict {
        // Nothing is written in the usual case: the line is shared by all workers.
        if self.in_a_row.load(Ordering::Relaxed) == 0 {
            return Verdict::GoOn;
        }
        self.in_a_row.store(0, Ordering::Relaxed);
        if self.suspended_until.swap(0, Ordering::Relaxed) > 0 { Verdict::Recovered } else { Verdict::GoOn }
    }

    /// Notes that it ran out of `budget`. After a suspension one more time-out is enough for the next.
    pub(super) fn stopped(&self, budget: Stop, suspension: &Suspension) -> Verdict {
        self.totals.stops[budget as usize].fetch_add(1, Ordering::Relaxed);
        if !matches!(budget, Stop::Deadline | Stop::Memory) {
            return Verdict::GoOn;
        }
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if suspension.after == 0 || in_a_row < suspension.after || self.suspended_for().is_some() {
            return Verdict::GoOn;
        }
        self.suspended_until.store(now() + suspension.time.as_millis() as u64, Ordering::Relaxed);
        Verdict::Suspended
    }

    /// Counts one more; answers how many there were since the last that was told of, where it is time to tell again.
    pub(super) fn add(&self) -> Option<u64> {
        let count = self.totals.count.fetch_add(1, Ordering::Relaxed) + 1;
        let now = now();
        let last = self.told_at.load(Ordering::Relaxed);
        if last != 0 && now < last + QUIET.as_millis() as u64 {
            return None;
        }
        self.told_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(count.saturating_sub(self.told.swap(count, Ordering::Relaxed)))
    }
}

/// Milliseconds since the epoch, never 0.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_millis() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: time-outs with a success among them, then three in a row, a suspension, and a success after it.
    /// Guarantees: only those in a row count; it is left out for the time set; after it one time-out is enough to
    /// suspend it again, and one success clears it. A value that is too large suspends nobody.
    #[test]
    fn time_outs_in_a_row_suspend() {
        let breaker = Breaker::default();
        let suspension = Suspension { after: 3, time: Duration::from_secs(3600) };
        let short = Suspension { after: 3, time: Duration::ZERO };
        assert_eq!(breaker.ended(), Verdict::GoOn);
        for _ in 0..9 {
            assert_eq!(breaker.stopped(Stop::Value, &suspension), Verdict::GoOn);
        }
        for _ in 0..2 {
            assert_eq!(breaker.stopped(Stop::Deadline, &suspension), Verdict::GoOn);
        }
        assert_eq!(breaker.ended(), Verdict::GoOn);
        for _ in 0..2 {
            assert_eq!(breaker.stopped(Stop::Memory, &suspension), Verdict::GoOn);
        }
        assert_eq!(breaker.leaves_out(), None);
        assert_eq!(breaker.stopped(Stop::Deadline, &short), Verdict::Suspended);
        assert_eq!(breaker.leaves_out(), None, "the time is over");
        assert_eq!(breaker.stopped(Stop::Deadline, &suspension), Verdict::Suspended);
        assert!(breaker.leaves_out().is_some_and(|left| left > Duration::from_secs(3000)));
        let totals = breaker.totals();
        assert_eq!((totals.skipped(), totals.stops(Stop::Deadline), totals.stops(Stop::Memory)), (1, 4, 2));
        assert_eq!(breaker.ended(), Verdict::Recovered);
        assert_eq!(breaker.leaves_out(), None);
        let never = Suspension { after: 0, ..suspension };
        assert!((0..100).all(|_| breaker.stopped(Stop::Deadline, &never) == Verdict::GoOn));
    }
}
