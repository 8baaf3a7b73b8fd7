//! Folding of log lines that repeat: whatever can happen again and again asks here before it is logged.
//!
//! [`Fold`] is for one thing that fails in one way at a time: the first message is said at once, then one in ten seconds
//! with a count. [`Folded`] is for many that fail in their own ways: ten lines in ten seconds, with a count of the others.

use std::time::Duration;

use parking_lot::Mutex;

use tokio::time::Instant;

/// How often a message that repeats is said again.
const EVERY: Duration = Duration::from_secs(10);
/// How soon after one message a different one may be said.
const OTHERS_AFTER: Duration = Duration::from_secs(1);

/// Decides which messages are said.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    last: Option<(Instant, String)>,
    held_back: u64,
}

impl Fold {
    /// `Some(n)` if `message` is to be said now, on behalf of `n` others that were not.
    pub(crate) fn admit(&mut self, message: &str, now: Instant) -> Option<u64> {
        if let Some((at, said)) = &self.last {
            let wait = if said == message { EVERY } else { OTHERS_AFTER };
            if now.duration_since(*at) < wait {
                self.held_back += 1;
                return None;
            }
        }
        self.last = Some((now, message.to_owned()));
        Some(std::mem::take(&mut self.held_back))
    }

    /// All is well again: returns the number of messages that were held back.
    pub(crate) fn reset(&mut self) -> u64 {
        self.last = None;
        std::mem::take(&mut self.held_back)
    }
}

/// Lets the first few complaints of a period through and folds the rest into a number.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    state: Mutex<FoldState>,
}

#[derive(Debug, Default)]
struct FoldState {
    since: Option<std::time::Instant>,
    passed: u32,
    folded: u64,
}

impl Folded {
    /// Nothing was said yet.
    pub(crate) const fn new() -> Self {
        Self { state: Mutex::new(FoldState { since: None, passed: 0, folded: 0 }) }
    }

    const PERIOD: Duration = Duration::from_secs(10);
    const PER_PERIOD: u32 = 10;

    /// Whether to log now; if so, how many were passed over in silence before this one.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(std::time::Instant::now())
    }

    fn pass_at(&self, now: std::time::Instant) -> Option<u64> {
        // A panic between lock and unlock cannot leave the numbers worse than a little off.
        let mut state = self.state.lock();
        if state.since.is_none_or(|since| now.duration_since(since) >= Self::PERIOD) {
            state.since = Some(now);
            state.passed = 0;
        }
        if state.passed == Self::PER_PERIOD {
            state.folded += 1;
            return None;
        }
        state.passed += 1;
        Some(std::mem::take(&mut state.folded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the same failure many times, then another one.
    /// Guarantees: the first is said at once, the rest every ten seconds with their number; a new one is not lost in
    /// them for longer than a second.
    #[test]
    fn repeated_messages_are_folded() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut fold = Fold::default();
        assert_eq!(fold.admit("a", at(0)), Some(0));
        assert_eq!(fold.admit("a", at(1)), None);
        assert_eq!(fold.admit("a", at(9_999)), None);
        assert_eq!(fold.admit("a", at(10_000)), Some(2));
        assert_eq!(fold.admit("b", at(10_500)), None);
        assert_eq!(fold.admit("b", at(11_000)), Some(1));
        fold.reset();
        assert_eq!(fold.admit("b", at(11_001)), Some(0));
    }

    /// Scenario: a flood of complaints, a pause, one more complaint.
    /// Guarantees: ten lines per period at most, and the next period's first line says how many were folded.
    #[test]
    fn folds_a_flood() {
        let folded = Folded::default();
        let start = std::time::Instant::now();
        let passed = (0..1000).filter(|_| folded.pass_at(start).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(folded.pass_at(start + Folded::PERIOD), Some(990));
        assert_eq!(folded.pass_at(start + Folded::PERIOD), Some(0));
    }
}
