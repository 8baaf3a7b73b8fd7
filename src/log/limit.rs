//! Limits how often a log line repeats. Everything that can fail again and again asks a [`Limiter`] before it logs.
//!
//! The first line is logged at once; then at most [`Policy::lines`] in each [`Policy::period`]. The next line that is
//! logged carries the number of those that were suppressed.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many lines a [`Limiter`] admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Lines in one period, at most.
    pub lines: u32,
    /// How long a period is. It begins with its first line.
    pub period: Duration,
    /// With [`Limiter::admit_message`]: how long after a line a different message is logged although the period is not
    /// over.
    pub other_message_after: Duration,
}

impl Policy {
    /// For one thing that fails in one way at a time, like a destination: one line every ten seconds; another message
    /// after one second.
    pub(crate) const ONE: Self =
        Self { lines: 1, period: Duration::from_secs(10), other_message_after: Duration::from_secs(1) };

    /// For many things that each fail in a way of their own, like the clients of an input: ten lines in ten seconds.
    pub(crate) const MANY: Self = Self { lines: 10, ..Self::ONE };
}

/// Limits one kind of line. Shared by all threads that log it.
#[derive(Debug)]
pub(crate) struct Limiter {
    policy: Policy,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    period_start: Option<Instant>,
    admitted: u32,
    suppressed: u64,
    /// When the last line was admitted, and the hash of its message.
    last: Option<(Instant, u64)>,
}

impl Default for Limiter {
    /// With [`Policy::MANY`].
    fn default() -> Self {
        Self::new(Policy::MANY)
    }
}

impl Limiter {
    /// A limiter that has admitted nothing yet.
    pub(crate) const fn new(policy: Policy) -> Self {
        let state = State { period_start: None, admitted: 0, suppressed: 0, last: None };
        Self { policy, state: parking_lot::const_mutex(state) }
    }

    /// Whether to log a line now: `Some` with the number of lines that were suppressed before it.
    pub(crate) fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    /// The same at the time `now`.
    pub(crate) fn admit_at(&self, now: Instant) -> Option<u64> {
        self.add_at(1, now).map(|total| total - 1)
    }

    /// Like [`Self::admit`], but a message that differs from the last one is not suppressed for longer than
    /// [`Policy::other_message_after`].
    pub(crate) fn admit_message(&self, message: &str) -> Option<u64> {
        self.admit_message_at(message, Instant::now())
    }

    /// The same at the time `now`.
    pub(crate) fn admit_message_at(&self, message: &str, now: Instant) -> Option<u64> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(message);
        let mut state = self.state.lock();
        if let Some((at, last)) = state.last
            && last != hash
            && now.duration_since(at) >= self.policy.other_message_after
        {
            state.period_start = None;
        }
        let suppressed = state.add(&self.policy, 1, now).map(|total| total - 1);
        if suppressed.is_some() {
            state.last = Some((now, hash));
        }
        suppressed
    }

    /// Counts `events`. `Some` if a line is to be logged now: with the events since the last line, these included.
    pub(crate) fn add(&self, events: u64) -> Option<u64> {
        self.add_at(events, Instant::now())
    }

    /// The same at the time `now`.
    pub(crate) fn add_at(&self, events: u64, now: Instant) -> Option<u64> {
        self.state.lock().add(&self.policy, events, now)
    }

    /// Starts over: the next line is logged at once. Returns how many were suppressed since the last one.
    pub(crate) fn reset(&self) -> u64 {
        std::mem::take(&mut *self.state.lock()).suppressed
    }

    /// How many lines were suppressed in a period that is over, which are then forgotten.
    fn take_overdue(&self, now: Instant) -> u64 {
        let mut state = self.state.lock();
        if state.is_over(&self.policy, now) { std::mem::take(&mut state.suppressed) } else { 0 }
    }
}

impl State {
    fn is_over(&self, policy: &Policy, now: Instant) -> bool {
        self.period_start.is_none_or(|start| now.duration_since(start) >= policy.period)
    }

    fn add(&mut self, policy: &Policy, events: u64, now: Instant) -> Option<u64> {
        if self.is_over(policy, now) {
            (self.period_start, self.admitted) = (Some(now), 0);
        }
        let total = self.suppressed.saturating_add(events);
        if self.admitted == policy.lines {
            self.suppressed = total;
            return None;
        }
        self.admitted += 1;
        self.suppressed = 0;
        Some(total)
    }
}

/// A [`Limiter`] for each key, for lines whose suppressed number is reported by a line of its own.
#[derive(Debug)]
pub(crate) struct KeyedLimiter<K> {
    policy: Policy,
    keys: Mutex<HashMap<K, Keyed>>,
}

#[derive(Debug)]
struct Keyed {
    limiter: Limiter,
    /// The first line that was suppressed in the current period.
    first: String,
    /// What was suppressed in the periods before, and is not reported yet.
    overdue: u64,
    overdue_first: String,
}

impl Keyed {
    fn new(policy: Policy) -> Self {
        Self { limiter: Limiter::new(policy), first: String::new(), overdue: 0, overdue_first: String::new() }
    }

    fn end_period(&mut self, suppressed: u64) {
        let first = std::mem::take(&mut self.first);
        if self.overdue == 0 {
            self.overdue_first = first;
        }
        self.overdue += suppressed;
    }
}

impl<K: Eq + Hash> KeyedLimiter<K> {
    /// A limiter without any key yet.
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, keys: Mutex::default() }
    }

    /// Whether to log a line of `key` at the time `now`. Calls `message` for the first one that is suppressed.
    pub(crate) fn admit_at(&self, key: K, now: Instant, message: impl FnOnce() -> String) -> bool {
        let mut keys = self.keys.lock();
        let keyed = keys.entry(key).or_insert_with(|| Keyed::new(self.policy));
        match keyed.limiter.admit_at(now) {
            Some(0) => true,
            Some(suppressed) => {
                keyed.end_period(suppressed);
                true
            }
            None => {
                if keyed.first.is_empty() {
                    keyed.first = message();
                }
                false
            }
        }
    }

    /// What was suppressed in periods that are over at the time `now`: for each key how many lines, and the first of them.
    pub(crate) fn take_overdue(&self, now: Instant) -> Vec<(u64, String)> {
        let mut keys = self.keys.lock();
        let overdue = keys.values_mut().filter_map(|keyed| {
            let suppressed = keyed.limiter.take_overdue(now);
            if suppressed > 0 {
                keyed.end_period(suppressed);
            }
            let first = std::mem::take(&mut keyed.overdue_first);
            Some((std::mem::take(&mut keyed.overdue), first)).filter(|(suppressed, _)| *suppressed > 0)
        });
        overdue.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the same failure many times, then a different one, then recovery.
    /// Guarantees: the first is logged at once, the others every ten seconds with their number; a different one is
    /// suppressed for a second at most; after a reset the next one is logged at once.
    #[test]
    fn a_message_that_repeats() {
        let start = Instant::now();
        let limiter = Limiter::new(Policy::ONE);
        let admit = |message, millis| limiter.admit_message_at(message, start + Duration::from_millis(millis));
        assert_eq!(admit("a", 0), Some(0));
        assert_eq!(admit("a", 1), None);
        assert_eq!(admit("a", 9_999), None);
        assert_eq!(admit("a", 10_000), Some(2));
        assert_eq!(admit("b", 10_500), None);
        assert_eq!(admit("b", 11_000), Some(1));
        assert_eq!(admit("b", 11_500), None);
        assert_eq!(limiter.reset(), 1);
        assert_eq!(admit("b", 11_501), Some(0));
    }

    /// Scenario: a thousand lines of one kind at once, a pause, two more.
    /// Guarantees: as many as the policy says are admitted; the first of the next period has the number of the others.
    #[test]
    fn lines_in_a_period_are_bounded() {
        let limiter = Limiter::new(Policy::MANY);
        let start = Instant::now();
        let admitted = (0..1000).filter(|_| limiter.admit_at(start).is_some()).count();
        assert_eq!(admitted, 10);
        assert_eq!(limiter.admit_at(start + Policy::MANY.period), Some(990));
        assert_eq!(limiter.admit_at(start + Policy::MANY.period), Some(0));
    }

    /// Scenario: events that come in groups.
    /// Guarantees: each line has the number of all events since the line before, its own included.
    #[test]
    fn events_are_summed() {
        let limiter = Limiter::new(Policy::ONE);
        let start = Instant::now();
        assert_eq!(limiter.add_at(3, start), Some(3));
        assert_eq!(limiter.add_at(4, start), None);
        assert_eq!(limiter.add_at(5, start + Policy::ONE.period), Some(9));
    }

    /// Scenario: two keys, of which one has too many lines over two periods.
    /// Guarantees: the other is left alone; what was suppressed is reported once, after its period, with its first line.
    #[test]
    fn keys_are_limited_apart() {
        let limiter = KeyedLimiter::new(Policy::ONE);
        let (start, later) = (Instant::now(), Instant::now() + Policy::ONE.period);
        let admit = |key, at, message: &str| limiter.admit_at(key, at, || message.to_owned());
        assert!(admit(1, start, "one") && admit(2, start, "two"));
        assert!(!admit(1, start, "three") && !admit(1, start, "four"));
        assert_eq!(limiter.take_overdue(start), []);
        assert!(admit(1, later, "five"));
        assert!(!admit(1, later, "six"));
        assert_eq!(limiter.take_overdue(later), [(2, "three".to_owned())]);
        assert_eq!(limiter.take_overdue(later + Policy::ONE.period), [(1, "six".to_owned())]);
    }
}
