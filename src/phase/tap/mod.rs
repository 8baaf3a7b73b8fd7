//! Taps: operators watch messages while they are sent. Workers never wait for subscribers.

mod condition;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;

use super::changes::{Change, Changes};
use super::program::{Program, Step};
use super::run::{Observer, Part};
use crate::mesh::Destination;
use logphase_script::message::{BodyError, Message, Redacted};
use logphase_script::transaction::Transaction;
use logphase_script::{AppliedEdit, ScriptError};

pub use condition::Condition;
pub use text::Text;

/// Maximum number of subscribers at the same time.
const MAX_SUBSCRIBERS: usize = 8;
/// Maximum number of samples in the buffer of a subscriber.
const MAX_BUFFERED: usize = 256;
/// Maximum bytes of messages in the buffer of a subscriber. A larger message is buffered alone.
const MAX_BUFFERED_BYTES: usize = 8 << 20;

/// One message of one plugin, or one line of an access log of a mesh.
#[derive(Debug)]
pub struct Sample {
    /// Whose it is.
    pub source: Source,
    /// The message without edits, as the plugin would send it: with bodies, and redacted. `None` if the subscriber does
    /// not want it, or a body does not match its content type.
    pub before: Option<Bytes>,
    /// The outcome for the message.
    pub outcome: MessageOutcome,
    /// The parts of the step that failed.
    pub failed: Vec<usize>,
    /// What snippets and redaction have changed; empty if the subscriber does not want it.
    pub changes: Vec<Change>,
}

/// Whose a sample is.
#[derive(Debug)]
pub enum Source {
    /// A plugin's.
    Plugin {
        /// The program that ran.
        program: Arc<Program>,
        /// Index of the plugin's step in the program.
        step: usize,
    },
    /// That of an output of lines.
    Lines(LineOutput),
}

/// An output of lines of access logs of meshes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOutput {
    /// What the outputs of its kind are called, as plugins are.
    pub plugin: String,
    /// Its id.
    pub id: String,
    /// Its path or address.
    pub instance: Option<String>,
}

impl From<&Destination> for LineOutput {
    fn from(destination: &Destination) -> Self {
        let instance = Some(destination.instance().to_owned());
        Self { plugin: destination.output_name().to_owned(), id: destination.identity(), instance }
    }
}

impl Source {
    /// Name, id and instance name of the plugin.
    pub fn names(&self) -> (&str, &str, Option<&str>) {
        match self {
            Self::Plugin { program, step } => names(&program.steps[*step]),
            Self::Lines(LineOutput { plugin, id, instance }) => (plugin, id, instance.as_deref()),
        }
    }
}

/// Name, id and instance name of a plugin.
fn names(step: &Step) -> (&str, &str, Option<&str>) {
    (step.definition.name, &step.id, step.instance_name.as_deref())
}

impl Sample {
    /// The step of the plugin; `None` for a line.
    pub fn step(&self) -> Option<&Step> {
        match &self.source {
            Source::Plugin { program, step } => Some(&program.steps[*step]),
            Source::Lines(_) => None,
        }
    }

    /// What snippets and redaction have changed, as taps show it.
    pub fn changes_as_json(&self) -> Vec<Value> {
        match &self.source {
            Source::Plugin { program, .. } => self.changes.iter().map(|change| change.to_json(program)).collect(),
            Source::Lines(_) => Vec::new(),
        }
    }

    fn size(&self) -> usize {
        let sent = if let MessageOutcome::Sent(bytes) = &self.outcome { bytes.len() } else { 0 };
        let changes: usize = self.changes.iter().map(|change| size_of::<Change>() + change.path.len()).sum();
        self.before.as_ref().map_or(0, Bytes::len) + sent + changes
    }
}

/// The outcome for a message.
#[derive(Debug, Clone)]
pub enum MessageOutcome {
    /// It goes to the plugin's queue.
    Sent(Bytes),
    /// A snippet failed, and the plugin has `on_error: drop`.
    Dropped,
    /// A body does not match its content type, and the plugin has `on_body_error: drop`.
    Refused,
}

/// The messages that a subscriber receives.
#[derive(Debug, Clone, Default)]
pub struct TapFilter {
    /// A plugin's name, instance name or id; `None` for all plugins.
    pub plugin: Option<String>,
    /// Maximum messages per second; `None` for all.
    pub rate: Option<f64>,
    /// Whether samples have the message without edits, too.
    pub before: bool,
    /// Whether samples say which snippet changed what.
    pub changes: bool,
    /// Only messages that are sent and meet all of these conditions.
    pub conditions: Vec<Condition>,
    /// Only messages that are sent and have this text somewhere.
    pub text: Option<Text>,
}

/// The subscribers of a service. Without any, a tap costs a worker one relaxed load per batch.
#[derive(Debug, Default)]
pub struct Taps {
    count: AtomicUsize,
    subscribers: ArcSwap<Vec<Arc<Subscriber>>>,
    /// Held while the list is being changed.
    changing: Mutex<()>,
}

/// The maximum number of subscribers is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {MAX_SUBSCRIBERS} taps already, which is the limit; end one of them")]
pub struct TooManyTaps;

impl Taps {
    /// Subscribes to messages until the subscription is dropped. Reloads do not end it.
    ///
    /// # Errors
    /// [`TooManyTaps`].
    pub fn subscribe(self: &Arc<Self>, filter: &TapFilter) -> Result<Subscription, TooManyTaps> {
        let (samples, received) = mpsc::channel(MAX_BUFFERED);
        let subscriber = Arc::new(Subscriber {
            plugin: filter.plugin.clone(),
            rate: filter.rate.map(RateLimit::new),
            before: filter.before,
            changes: filter.changes,
            conditions: filter.conditions.clone(),
            text: filter.text.clone(),
            samples,
            buffered_bytes: AtomicUsize::new(0),
            skipped: AtomicU64::new(0),
        });
        let _changing = self.changing.lock();
        let mut all = Vec::clone(&self.subscribers.load());
        if all.len() >= MAX_SUBSCRIBERS {
            return Err(TooManyTaps);
        }
        all.push(subscriber.clone());
        self.set(all);
        Ok(Subscription { taps: self.clone(), subscriber, received })
    }

    fn set(&self, all: Vec<Arc<Subscriber>>) {
        let count = all.len();
        self.subscribers.store(Arc::new(all));
        self.count.store(count, Ordering::Relaxed);
    }

    /// Offers lines that go to the queue of `output`.
    pub fn offer_lines(&self, output: impl FnOnce() -> LineOutput, lines: &[Bytes]) {
        let Some(subscribers) = self.subscribers() else { return };
        let output = output();
        lines.iter().for_each(|line| offer_line(&subscribers, &output, line));
    }

    /// The subscribers, if there are any.
    pub(super) fn subscribers(&self) -> Option<Arc<Vec<Arc<Subscriber>>>> {
        (self.count.load(Ordering::Relaxed) > 0).then(|| self.subscribers.load_full())
    }
}

/// The receiving end of a tap.
#[derive(Debug)]
pub struct Subscription {
    taps: Arc<Taps>,
    subscriber: Arc<Subscriber>,
    received: mpsc::Receiver<Arc<Sample>>,
}

impl Subscription {
    /// Waits for the next sample.
    pub async fn next(&mut self) -> Arc<Sample> {
        let sample = self.received.recv().await.expect("the subscriber, which the subscription owns, has the sender");
        self.subscriber.buffered_bytes.fetch_sub(sample.size(), Ordering::Relaxed);
        sample
    }

    /// The number of samples that were skipped since the last call because the buffer was full.
    pub fn take_skipped(&self) -> u64 {
        self.subscriber.skipped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let _changing = self.taps.changing.lock();
        let mut all = Vec::clone(&self.taps.subscribers.load());
        all.retain(|subscriber| !Arc::ptr_eq(subscriber, &self.subscriber));
        self.taps.set(all);
    }
}

/// The sending end of a tap, which all workers share.
#[derive(Debug)]
pub(super) struct Subscriber {
    plugin: Option<String>,
    rate: Option<RateLimit>,
    before: bool,
    changes: bool,
    conditions: Vec<Condition>,
    text: Option<Text>,
    samples: mpsc::Sender<Arc<Sample>>,
    buffered_bytes: AtomicUsize,
    skipped: AtomicU64,
}

impl Subscriber {
    fn wants(&self, (name, id, instance): (&str, &str, Option<&str>), outcome: &MessageOutcome) -> bool {
        let named =
            self.plugin.as_deref().is_none_or(|wanted| wanted == name || wanted == id || instance == Some(wanted));
        // Conditions apply to the message as it is sent, so that they cannot reveal redacted values.
        let holds = |condition: &Condition| matches!(outcome, MessageOutcome::Sent(sent) if condition.holds(sent));
        let has = |text: &Text| matches!(outcome, MessageOutcome::Sent(sent) if text.is_in(sent));
        named && self.conditions.iter().all(holds) && self.text.as_ref().is_none_or(has)
    }

    /// Adds a sample to the buffer, or skips it if the buffer is full.
    fn offer(&self, sample: Arc<Sample>) {
        let size = sample.size();
        let buffered = self.buffered_bytes.fetch_add(size, Ordering::Relaxed);
        if (buffered > 0 && buffered + size > MAX_BUFFERED_BYTES) || self.samples.try_send(sample).is_err() {
            self.buffered_bytes.fetch_sub(size, Ordering::Relaxed);
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Offers a line that goes to the queue of `output`.
pub(super) fn offer_line(subscribers: &[Arc<Subscriber>], output: &LineOutput, line: &Bytes) {
    let outcome = MessageOutcome::Sent(line.clone());
    // Subscribers share one sample.
    let mut sample: Option<Arc<Sample>> = None;
    for subscriber in subscribers {
        let wanted = subscriber.wants((&output.plugin, &output.id, output.instance.as_deref()), &outcome);
        if wanted && subscriber.rate.as_ref().is_none_or(RateLimit::admits) {
            let source = || Source::Lines(output.clone());
            let make = || Sample {
                source: source(),
                before: None,
                outcome: outcome.clone(),
                failed: Vec::new(),
                changes: Vec::new(),
            };
            subscriber.offer(sample.get_or_insert_with(|| Arc::new(make())).clone());
        }
    }
}

/// A limit on samples per second over all workers, with a burst of one second's worth (the generic cell rate algorithm).
#[derive(Debug)]
struct RateLimit {
    start: Instant,
    /// Microseconds between two samples.
    interval: u64,
    /// The theoretical time of the next sample, in microseconds since `start`.
    next: AtomicU64,
}

impl RateLimit {
    fn new(rate: f64) -> Self {
        // From a million per second to one per day.
        let interval = (1e6 / rate).clamp(1.0, 86_400e6) as u64;
        Self { start: Instant::now(), interval, next: AtomicU64::new(0) }
    }

    fn admits(&self) -> bool {
        self.admits_at(self.start.elapsed())
    }

    fn admits_at(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let burst = self.interval.max(1_000_000);
        let take = |next: u64| {
            let next = next.max(now).saturating_add(self.interval);
            (next <= now.saturating_add(burst)).then_some(next)
        };
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// Sends samples of one transaction's messages to the subscribers, and forwards all calls to `inner`.
pub(super) struct TappedObserver<'a, O> {
    subscribers: &'a [Arc<Subscriber>],
    program: Arc<Program>,
    transaction: Transaction,
    failed: Vec<Part>,
    changes: Changes,
    inner: &'a mut O,
}

impl<'a, O> TappedObserver<'a, O> {
    pub(super) fn new(
        subscribers: &'a [Arc<Subscriber>],
        program: Arc<Program>,
        transaction: Transaction,
        inner: &'a mut O,
    ) -> Self {
        Self { subscribers, program, transaction, failed: Vec::new(), changes: Changes::default(), inner }
    }

    /// `redacted` says what was redacted; see [`Observer::message_with`].
    fn offer(&mut self, step: usize, outcome: &MessageOutcome, redacted: &dyn Fn(usize) -> Vec<Redacted>) {
        // Subscribers who want the same share a sample. Each is created when it is first needed.
        let mut samples: [Option<Arc<Sample>>; 4] = Default::default();
        for subscriber in self.subscribers {
            let wanted = subscriber.wants(names(&self.program.steps[step]), outcome);
            if wanted && subscriber.rate.as_ref().is_none_or(RateLimit::admits) {
                let at = usize::from(subscriber.before) + 2 * usize::from(subscriber.changes);
                let sample = match &samples[at] {
                    Some(sample) => sample.clone(),
                    None => {
                        let mut sample = self.sample(step, outcome.clone(), subscriber.before);
                        if subscriber.changes && matches!(outcome, MessageOutcome::Sent(_)) {
                            sample.changes = self.changes.of_message(step, redacted);
                        }
                        samples[at].insert(Arc::new(sample)).clone()
                    }
                };
                subscriber.offer(sample);
            }
        }
    }

    fn sample(&self, step: usize, outcome: MessageOutcome, with_before: bool) -> Sample {
        let before = with_before.then(|| {
            let message = Message::new(self.transaction.clone(), self.program.style());
            message.shaped(&self.program.steps[step].shape).ok().map(Bytes::from)
        });
        let failed = self.failed.iter().filter(|part| part.step == step).map(|part| part.part).collect();
        let source = Source::Plugin { program: self.program.clone(), step };
        Sample { source, before: before.flatten(), outcome, failed, changes: Vec::new() }
    }
}

impl<O: Observer> Observer for TappedObserver<'_, O> {
    fn message(&mut self, step: usize, message: Bytes) {
        self.message_with(step, message, &|_| Vec::new());
    }

    fn message_with(&mut self, step: usize, message: Bytes, redacted: &dyn Fn(usize) -> Vec<Redacted>) {
        self.offer(step, &MessageOutcome::Sent(message.clone()), redacted);
        self.changes.after_message(&self.program, step);
        self.inner.message(step, message);
    }

    fn looks(&self) -> bool {
        self.subscribers.iter().any(|subscriber| subscriber.changes)
    }

    fn edited(&mut self, part: Part, edits: Vec<AppliedEdit>, _: usize) {
        self.changes.edited(part, edits);
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        self.failed.push(part);
        self.inner.failed(part, error);
    }

    fn dropped(&mut self, step: usize) {
        self.offer(step, &MessageOutcome::Dropped, &|_| Vec::new());
        self.inner.dropped(step);
    }

    fn refused(&mut self, step: usize, error: &BodyError) {
        self.offer(step, &MessageOutcome::Refused, &|_| Vec::new());
        self.inner.refused(step, error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: messages much faster than the rate, then a pause, for rates above and below one per second.
    /// Guarantees: a burst of one second's worth, then no more than the rate; a pause permits no larger burst.
    #[test]
    fn limits_the_rate() {
        let admitted = |rate: f64, from: u64, to: u64, limit: &RateLimit| {
            assert_eq!(limit.interval, (1e6 / rate) as u64);
            (from * 1000..to * 1000).filter(|milli| limit.admits_at(Duration::from_millis(*milli))).count()
        };
        let ten = RateLimit::new(10.0);
        assert_eq!(admitted(10.0, 0, 1, &ten), 19);
        assert_eq!(admitted(10.0, 1, 11, &ten), 100);
        assert_eq!(admitted(10.0, 100, 101, &ten), 19);
        let slow = RateLimit::new(0.1);
        assert_eq!(admitted(0.1, 0, 100, &slow), 10);
    }
}
