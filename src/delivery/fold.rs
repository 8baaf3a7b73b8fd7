//! Folds repeated messages: the first is said at once, then one in ten seconds with a count.

use std::time::Duration;

use tokio::time::Instant;

/// How often a message that repeats is said again.
const EVERY: Duration = Duration::from_secs(10);
/// How soon after one message a different one may be said.
const OTHERS_AFTER: Duration = Duration::from_secs(1);

/// Decides which messages are said.
#[derive(Debug, Default)]
pub(super) struct Fold {
    last: Option<(Instant, String)>,
    held_back: u64,
}

impl Fold {
    /// `Some(n)` if `message` is to be said now, on behalf of `n` others that were not.
    pub(super) fn admit(&mut self, message: &str, now: Instant) -> Option<u64> {
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
    pub(super) fn reset(&mut self) -> u64 {
        self.last = None;
        std::mem::take(&mut self.held_back)
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
}
