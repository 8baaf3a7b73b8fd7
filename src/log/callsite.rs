//! A bound on every line, by the place in the code that logs it. Lines that are known to repeat have a
//! [`super::limit::Limiter`] where they are logged; this catches all others.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::limit::{KeyedLimiter, Policy};

/// A hundred plugins that each log the same line once stay below it.
const POLICY: Policy = Policy { lines: 200, period: Duration::from_secs(10), ..Policy::ONE };
/// The target of lines that scripts log: the setting `lua.log_per_second` bounds them.
const SCRIPT_TARGET: &str = "script";
/// The target of lines that say who has changed what by the Admin API: every one of them is logged.
pub(crate) const AUDIT_TARGET: &str = "audit";

static LIMITER: LazyLock<KeyedLimiter<Identifier>> = LazyLock::new(|| KeyedLimiter::new(POLICY));

/// The layer that suppresses lines past the bound.
pub(super) struct CallsiteLimit;

impl<S: Subscriber> Layer<S> for CallsiteLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        matches!(event.metadata().target(), SCRIPT_TARGET | AUDIT_TARGET)
            || LIMITER.admit_at(event.metadata().callsite(), Instant::now(), || message(event))
    }
}

/// Logs how many lines were suppressed in periods that are over. The thread that writes the log calls it every second.
pub(super) fn report() {
    for (suppressed, message) in LIMITER.take_overdue(Instant::now()) {
        tracing::warn!(suppressed, "too many log lines of one kind; the first that was suppressed: {message}");
    }
}

fn message(event: &Event<'_>) -> String {
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0
}

/// Takes the text out of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Scenario: a thousand lines from one place in the code, one from another, then the period is over.
    /// Guarantees: the first two hundred are logged, and the one of the other place; afterwards the number of suppressed
    /// lines is known, with the text of the first.
    #[test]
    fn one_place_does_not_flood() {
        #[derive(Clone, Default)]
        struct Logged(std::sync::Arc<Mutex<Vec<String>>>);
        impl<S: Subscriber> Layer<S> for Logged {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                self.0.lock().push(message(event));
            }
        }
        let logged = Logged::default();
        let log = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                tracing::warn!("flood {number}");
            }
        };
        let subscriber = tracing_subscriber::registry().with(CallsiteLimit).with(logged.clone());
        tracing::subscriber::with_default(subscriber, || {
            log(0..1000);
            tracing::warn!("another place");
            assert_eq!(logged.0.lock().len(), 201);
            let early = LIMITER.take_overdue(Instant::now());
            assert!(early.iter().all(|(_, message)| !message.starts_with("flood ")), "not yet");
            let later = Instant::now() + POLICY.period;
            assert!(LIMITER.take_overdue(later).contains(&(800, "flood 200".to_owned())));
        });
        assert_eq!(logged.0.lock().last().unwrap(), "another place");
    }
}
