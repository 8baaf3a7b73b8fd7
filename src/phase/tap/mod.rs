//! Watching messages as they leave: what a worker hands to whoever taps, by sample and without waiting.

mod condition;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::program::{Program, Step};
use super::run::{Observer, Part};
use logphase_script::ScriptError;
use logphase_script::message::{BodyError, Message};
use logphase_script::transaction::Transaction;

pub use condition::Condition;

/// Who may watch at the same time.
const WATCHERS: usize = 8;
/// Samples that may wait for one watcher.
const WAITING: usize = 256;
/// Bytes of messages that may wait for one watcher. One that is larger waits alone.
const WAITING_BYTES: usize = 8 << 20;

/// One message of one plugin.
#[derive(Debug)]
pub struct Sample {
    /// The configuration that it was made with.
    pub program: Arc<Program>,
    /// Index of the plugin's step in it.
    pub step: usize,
    /// The message without any edit, as the plugin would send it: bodies included, redacted. `None` where nobody asked,
    /// or a body keeps it from being made.
    pub before: Option<Bytes>,
    /// What became of it.
    pub after: After,
    /// The parts of the step that failed.
    pub failed: Vec<usize>,
}

impl Sample {
    /// The plugin.
    pub fn step(&self) -> &Step {
        &self.program.steps[self.step]
    }

    fn size(&self) -> usize {
        let after = if let After::Sent(bytes) = &self.after { bytes.len() } else { 0 };
        self.before.as_ref().map_or(0, Bytes::len) + after
    }
}

/// What became of a message.
#[derive(Debug, Clone)]
pub enum After {
    /// It goes to the plugin's queue.
    Sent(Bytes),
    /// A snippet failed, and `on_error: drop` holds.
    Dropped,
    /// A body is not what its content type says, and `on_body_error: drop` holds.
    Refused,
}

/// What a watcher wants to see.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// A plugin's name, instance name or identifier; all plugins without it.
    pub plugin: Option<String>,
    /// Messages in a second; all without it.
    pub rate: Option<f64>,
    /// Also the message without any edit.
    pub before: bool,
    /// Only messages that are sent, and for which all of these hold.
    pub conditions: Vec<Condition>,
}

/// The watchers of a service. While there are none it costs a worker one relaxed load for each batch.
#[derive(Debug, Default)]
pub struct Taps {
    count: AtomicUsize,
    watchers: ArcSwap<Vec<Arc<Watcher>>>,
    /// Held while the list is changed.
    changing: Mutex<()>,
}

/// As many watch as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{WATCHERS} are tapping already, which is as many as may; end one of them")]
pub struct TooMany;

impl Taps {
    /// Begins to watch, across reloads, until what it returns is dropped.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn watch(self: &Arc<Self>, wish: &Wish) -> Result<Watching, TooMany> {
        let (samples, received) = mpsc::channel(WAITING);
        let watcher = Arc::new(Watcher {
            plugin: wish.plugin.clone(),
            pace: wish.rate.map(Pace::new),
            before: wish.before,
            conditions: wish.conditions.clone(),
            samples,
            waiting_bytes: AtomicUsize::new(0),
            skipped: AtomicU64::new(0),
        });
        let _changing = self.changing.lock();
        let mut all = Vec::clone(&self.watchers.load());
        if all.len() >= WATCHERS {
            return Err(TooMany);
        }
        all.push(watcher.clone());
        self.set(all);
        Ok(Watching { taps: self.clone(), watcher, received })
    }

    fn set(&self, all: Vec<Arc<Watcher>>) {
        let count = all.len();
        self.watchers.store(Arc::new(all));
        self.count.store(count, Ordering::Relaxed);
    }

    /// Who watches, if anybody does.
    pub(super) fn watchers(&self) -> Option<Arc<Vec<Arc<Watcher>>>> {
        (self.count.load(Ordering::Relaxed) > 0).then(|| self.watchers.load_full())
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct Watching {
    taps: Arc<Taps>,
    watcher: Arc<Watcher>,
    received: mpsc::Receiver<Arc<Sample>>,
}

impl Watching {
    /// The next sample.
    pub async fn next(&mut self) -> Arc<Sample> {
        // The watcher, which this holds, has the sender.
        let sample = self.received.recv().await.expect("the sender is held");
        self.watcher.waiting_bytes.fetch_sub(sample.size(), Ordering::Relaxed);
        sample
    }

    /// Samples that were not handed over since this was last asked, because what was before them was not yet taken.
    pub fn take_skipped(&self) -> u64 {
        self.watcher.skipped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _changing = self.taps.changing.lock();
        let mut all = Vec::clone(&self.taps.watchers.load());
        all.retain(|watcher| !Arc::ptr_eq(watcher, &self.watcher));
        self.taps.set(all);
    }
}

/// One who watches, as the workers see it.
#[derive(Debug)]
pub(super) struct Watcher {
    plugin: Option<String>,
    pace: Option<Pace>,
    before: bool,
    conditions: Vec<Condition>,
    samples: mpsc::Sender<Arc<Sample>>,
    waiting_bytes: AtomicUsize,
    skipped: AtomicU64,
}

impl Watcher {
    fn wants(&self, step: &Step, after: &After) -> bool {
        let named = self.plugin.as_deref().is_none_or(|wanted| {
            wanted == step.definition.name || wanted == step.id || step.instance_name.as_deref() == Some(wanted)
        });
        // Of the message as it is sent: a condition shall not find out what is kept back.
        let holds = |condition: &Condition| matches!(after, After::Sent(message) if condition.holds(message));
        named && self.conditions.iter().all(holds)
    }

    /// A worker waits for nobody.
    fn offer(&self, sample: Arc<Sample>) {
        let size = sample.size();
        let waiting = self.waiting_bytes.fetch_add(size, Ordering::Relaxed);
        if (waiting > 0 && waiting + size > WAITING_BYTES) || self.samples.try_send(sample).is_err() {
            self.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// So many in a second, shared by all workers: each takes `every`, of which a second's worth may be taken at once.
#[derive(Debug)]
struct Pace {
    start: Instant,
    /// Microseconds.
    every: u64,
    /// When all that was taken has its time, in microseconds since `start`.
    paid_until: AtomicU64,
}

impl Pace {
    fn new(rate: f64) -> Self {
        // Between a million in a second and one in a day.
        let every = (1e6 / rate).clamp(1.0, 86_400e6) as u64;
        Self { start: Instant::now(), every, paid_until: AtomicU64::new(0) }
    }

    fn admits(&self) -> bool {
        self.admits_at(self.start.elapsed())
    }

    fn admits_at(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let burst = self.every.max(1_000_000);
        let take = |paid: u64| {
            let until = paid.max(now).saturating_add(self.every);
            (until <= now.saturating_add(burst)).then_some(until)
        };
        self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// Shows one transaction's messages to the watchers, and passes everything on.
pub(super) struct Tapped<'a, O> {
    watchers: &'a [Arc<Watcher>],
    program: Arc<Program>,
    transaction: Transaction,
    failed: Vec<Part>,
    inner: &'a mut O,
}

impl<'a, O> Tapped<'a, O> {
    pub(super) fn new(
        watchers: &'a [Arc<Watcher>],
        program: Arc<Program>,
        transaction: Transaction,
        inner: &'a mut O,
    ) -> Self {
        Self { watchers, program, transaction, failed: Vec::new(), inner }
    }

    fn show(&self, step: usize, after: &After) {
        // Made once for all of either kind, and only where somebody gets it.
        let mut samples: [Option<Arc<Sample>>; 2] = [None, None];
        for watcher in self.watchers {
            let wanted = watcher.wants(&self.program.steps[step], after);
            if wanted && watcher.pace.as_ref().is_none_or(Pace::admits) {
                let sample = &mut samples[usize::from(watcher.before)];
                let make = || Arc::new(self.sample(step, after.clone(), watcher.before));
                watcher.offer(sample.get_or_insert_with(make).clone());
            }
        }
    }

    fn sample(&self, step: usize, after: After, with_before: bool) -> Sample {
        let before = with_before.then(|| {
            let message = Message::new(self.transaction.clone(), self.program.style());
            message.shaped(&self.program.steps[step].shape).ok().map(Bytes::from)
        });
        let failed = self.failed.iter().filter(|part| part.step == step).map(|part| part.part).collect();
        Sample { program: self.program.clone(), step, before: before.flatten(), after, failed }
    }
}

impl<O: Observer> Observer for Tapped<'_, O> {
    fn message(&mut self, step: usize, message: Bytes) {
        self.show(step, &After::Sent(message.clone()));
        self.inner.message(step, message);
    }

    fn failed(&mut self, part: Part, error: &ScriptError) {
        self.failed.push(part);
        self.inner.failed(part, error);
    }

    fn dropped(&mut self, step: usize) {
        self.show(step, &After::Dropped);
        self.inner.dropped(step);
    }

    fn refused(&mut self, step: usize, error: &BodyError) {
        self.show(step, &After::Refused);
        self.inner.refused(step, error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: messages far faster than the rate, then a pause, for rates above and below one in a second.
    /// Guarantees: a second's worth at once, then no more than the rate; a pause saves up no more than a second's worth.
    #[test]
    fn the_pace_is_kept() {
        let taken = |rate: f64, from: u64, to: u64, pace: &Pace| {
            assert_eq!(pace.every, (1e6 / rate) as u64);
            (from * 1000..to * 1000).filter(|milli| pace.admits_at(Duration::from_millis(*milli))).count()
        };
        let ten = Pace::new(10.0);
        assert_eq!(taken(10.0, 0, 1, &ten), 19);
        assert_eq!(taken(10.0, 1, 11, &ten), 100);
        assert_eq!(taken(10.0, 100, 101, &ten), 19);
        let slow = Pace::new(0.1);
        assert_eq!(taken(0.1, 0, 100, &slow), 10);
    }
}
