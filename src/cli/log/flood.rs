//! A last bound on repetition: no place in the code says more than so many lines in a while. What repeats is folded where
//! it is said ([`crate::folding`]); this holds where nobody thought of it.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

const PERIOD: Duration = Duration::from_secs(10);
/// Lines of one place in a period. A hundred plugins that each say the same once are not a flood.
const MOST: u32 = 200;
/// What scripts log has a bound of its own (the setting lua.log_per_second).
const SCRIPTS: &str = "script";

static PLACES: LazyLock<Mutex<HashMap<Identifier, Place>>> = LazyLock::new(Mutex::default);

/// One place that logs.
#[derive(Debug)]
struct Place {
    since: Instant,
    said: u32,
    folded: u64,
    /// What was folded last.
    message: String,
}

fn places() -> MutexGuard<'static, HashMap<Identifier, Place>> {
    PLACES.lock()
}

/// Leaves out what is too much.
pub(super) struct Flood;

impl<S: Subscriber> Layer<S> for Flood {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        admit(event, event.metadata(), Instant::now())
    }
}

fn admit(event: &Event<'_>, metadata: &Metadata<'_>, now: Instant) -> bool {
    if metadata.target() == SCRIPTS {
        return true;
    }
    let mut places = places();
    let new = || Place { since: now, said: 0, folded: 0, message: String::new() };
    let place = places.entry(metadata.callsite()).or_insert_with(new);
    // What was folded is reported before the place may speak again.
    if place.folded == 0 && now.duration_since(place.since) >= PERIOD {
        (place.since, place.said) = (now, 0);
    }
    if place.said < MOST {
        place.said += 1;
        return true;
    }
    place.folded += 1;
    if place.folded == 1 {
        event.record(&mut Message(&mut place.message));
    }
    false
}

/// Says how many lines were left out; to be called now and then.
pub(super) fn report() {
    for (folded, message) in due(Instant::now()) {
        tracing::warn!(folded, "log lines were left out, the first of them: {message}");
    }
}

fn due(now: Instant) -> Vec<(u64, String)> {
    let mut places = places();
    let over = places.values_mut().filter(|place| place.folded > 0 && now.duration_since(place.since) >= PERIOD);
    over.map(|place| (std::mem::take(&mut place.folded), std::mem::take(&mut place.message))).collect()
}

/// Takes the text out of an event.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    /// Scenario: a thousand lines from one place, a few from another, then the period is over.
    /// Guarantees: the first two hundred are said, the others left alone; then how many were left out, with the text of
    /// the first, and the place may speak again.
    #[test]
    fn one_place_does_not_flood() {
        #[derive(Clone, Default)]
        struct Said(std::sync::Arc<Mutex<Vec<String>>>);
        impl<S: Subscriber> Layer<S> for Said {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let mut text = String::new();
                event.record(&mut Message(&mut text));
                self.0.lock().push(text);
            }
        }
        let said = Said::default();
        let speak = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                tracing::warn!("flood {number}");
            }
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Flood).with(said.clone()), || {
            speak(0..1000);
            tracing::warn!("another place");
            assert_eq!(said.0.lock().len(), 201);
            assert!(due(Instant::now()).iter().all(|(_, message)| !message.starts_with("flood ")), "not yet");
            let later = Instant::now() + PERIOD;
            assert!(due(later).contains(&(800, "flood 200".to_owned())));
        });
        assert_eq!(said.0.lock().last().unwrap(), "another place");
    }
}
