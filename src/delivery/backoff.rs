//! Exponential backoff with jitter.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The backoff of one output.
#[derive(Debug)]
pub(super) struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(initial: Duration, maximum: Duration) -> Self {
        let initial = initial.max(Duration::from_millis(1)).min(maximum.max(Duration::from_millis(1)));
        Self { initial, max: maximum.max(initial), next: initial }
    }

    /// Returns the pause before the next attempt: between half of the current step and the whole step, which then doubles.
    pub(super) fn pause(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.max);
        step.mul_f64(0.5 + random_half())
    }

    /// Starts over after a success.
    pub(super) fn reset(&mut self) {
        self.next = self.initial;
    }
}

/// A random number from 0 to 0.5. The keys of a `RandomState` are random enough for jitter.
fn random_half() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    bits as f64 / f64::from(u32::MAX) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: any initial and maximum pause, any number of failures, then a success.
        /// Guarantees: every pause is from half a step to a step; steps double up to the maximum, and a success resets them.
        #[test]
        fn pauses_double_up_to_the_cap(initial in 1u64..5_000, max in 1u64..100_000, failures in 1usize..40) {
            let millis = Duration::from_millis;
            let mut backoff = Backoff::new(millis(initial), millis(max));
            let mut step = millis(initial.min(max));
            for _ in 0..failures {
                let pause = backoff.pause();
                prop_assert!(pause >= step / 2 && pause <= step + Duration::from_nanos(1));
                step = (step * 2).min(millis(max));
            }
            backoff.reset();
            prop_assert!(backoff.pause() <= millis(initial));
        }
    }
}
