//! One plugin's way out: its queue, what is known about it, and the task that empties it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, MutexGuard};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::dead::DeadLetters;
use super::swap::{SinkSwap, unless_swapped};
use super::{OutputSpec, QueueOptions, notices};
use crate::folding::Fold;
use crate::sink::{Batching, FailureKind, SendError, Sent, Sink};
use logphase_queue::failpoint::{self, Point};
use logphase_queue::{Condition, Counters, DropReason, Queue, Reader};

/// Entries that are leased at once by a sink that takes what is there.
const LEASE_ENTRIES: usize = 8192;
/// Bytes that are leased at once.
const LEASE_BYTES: usize = 1 << 20;
/// The longest pause between attempts once the output is closed: a destination that comes back shall be noticed.
const CLOSING_PAUSE: Duration = Duration::from_millis(500);
/// How long a closed output with an empty queue tries to send again what a sink had delivered before.
const REPLAY_TIME: Duration = Duration::from_secs(5);
/// How long an attempt under way is waited for when what it tries is to be given up.
const FORGO_TIME: Duration = Duration::from_secs(5);
/// The longest time that a destination can ask to be left alone for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The end of the way for one plugin: what the log phase appends to, and what status pages ask.
pub struct Output {
    pub(super) parts: OutputParts,
    /// Cuts a pause between attempts short.
    closing: Notify,
    /// What is being tried again and again is to be given up.
    forgo: AtomicBool,
    health: Mutex<Health>,
    pub(super) swap: SinkSwap,
}

pub(super) struct OutputParts {
    /// A reload may change all of it but the identity, the kind and what the queue is made of.
    pub spec: ArcSwap<OutputSpec>,
    pub queue: Arc<dyn Queue>,
    pub reader: Arc<dyn Reader>,
    pub dead_letters: Arc<DeadLetters>,
}

#[derive(Default)]
pub(super) struct Health {
    lost: u64,
    failures: u64,
    retried: u64,
    pub(super) failing: bool,
    last_error: Option<LastError>,
}

/// The last thing that went wrong with a plugin's destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// What, where, and what to do.
    pub message: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// What is known about one output at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// The plugin's id in the configuration.
    pub identity: String,
    /// The plugin's name.
    pub plugin: String,
    /// Its instance name.
    pub instance: Option<String>,
    /// Its queue.
    pub counters: Counters,
    /// Of those delivered, entries that the network later reported as lost.
    pub lost: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Messages that were sent again.
    pub retried: u64,
    /// The last attempt failed; another will be made.
    pub failing: bool,
    /// The output takes nothing new and ends when its queue is empty.
    pub retiring: bool,
    /// The last failure, also when all is well since.
    pub last_error: Option<LastError>,
}

/// A plugin as it is called in logs: its name, with its instance name if it has one.
pub(super) fn label(spec: &OutputSpec) -> String {
    match &spec.instance {
        Some(instance) => format!("{} ({instance})", spec.plugin),
        None => spec.plugin.clone(),
    }
}

impl Output {
    pub(super) fn new(parts: OutputParts) -> Self {
        let forgo = AtomicBool::new(false);
        Self { parts, closing: Notify::new(), forgo, health: Mutex::default(), swap: SinkSwap::default() }
    }

    /// What the log phase reserves on and appends to.
    pub fn queue(&self) -> &Arc<dyn Queue> {
        &self.parts.queue
    }

    /// The other end of its queue.
    pub(super) fn reader(&self) -> &Arc<dyn Reader> {
        &self.parts.reader
    }

    /// What the output is there for now.
    pub fn spec(&self) -> Arc<OutputSpec> {
        self.parts.spec.load_full()
    }

    /// The plugin as it is called in logs and refusals.
    pub fn label(&self) -> String {
        label(&self.spec())
    }

    /// The queue's counters.
    pub fn counters(&self) -> Counters {
        self.parts.reader.counters()
    }

    /// What its destination refused for good.
    pub fn dead_letters(&self) -> &Arc<DeadLetters> {
        &self.parts.dead_letters
    }

    /// How its queue fares.
    pub fn condition(&self) -> Condition {
        self.parts.reader.condition()
    }

    /// Everything known about the output.
    pub fn stats(&self) -> Stats {
        let spec = self.spec();
        let counters = self.counters();
        let retiring = self.is_closed();
        let health = self.health();
        Stats {
            identity: spec.identity.clone(),
            plugin: spec.plugin.clone(),
            instance: spec.instance.clone(),
            counters,
            lost: health.lost,
            failures: health.failures,
            retried: health.retried,
            failing: health.failing,
            retiring,
            last_error: health.last_error.clone(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.parts.reader.is_closed()
    }

    pub(super) fn close(&self) {
        self.parts.reader.close();
        // Stored, so that a pause that begins just now is cut short too.
        self.closing.notify_one();
    }

    /// Gives up everything that waits, as the operator asks, and what the destination has refused to take so far; not what
    /// is on its way. Answers how many.
    pub(super) async fn drop_all(&self) -> u64 {
        let before = self.counters().dropped_operator;
        self.reader().drop_waiting();
        if self.health().failing {
            self.forgo.store(true, Ordering::Release);
            self.closing.notify_one();
            let begun = Instant::now();
            while self.forgo.load(Ordering::Acquire) && begun.elapsed() < FORGO_TIME {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.forgo.store(false, Ordering::Release);
        }
        self.counters().dropped_operator - before
    }

    pub(super) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock()
    }
}

/// The task behind an output.
pub(super) struct Dispatcher {
    pub(super) output: Arc<Output>,
    pub(super) sink: Box<dyn Sink>,
    // Those that the sink is used with.
    pub(super) options: QueueOptions,
    // Handed to the sink, and not settled.
    pub(super) outstanding: VecDeque<Bytes>,
    outstanding_bytes: usize,
    // The sink has forgotten what is outstanding: it goes first.
    pub(super) resend: bool,
    failing_since: Option<Instant>,
    pub(super) backoff: Backoff,
    pub(super) errors: Fold,
    warnings: Fold,
    expiries: Fold,
    // Not told of yet.
    expired: usize,
}

impl Dispatcher {
    pub(super) fn new(output: Arc<Output>, sink: Box<dyn Sink>) -> Self {
        let options = output.spec().queue.clone();
        Self {
            output,
            sink,
            backoff: Backoff::new(options.initial_retry_delay, options.max_retry_delay),
            options,
            outstanding: VecDeque::new(),
            outstanding_bytes: 0,
            resend: false,
            failing_since: None,
            errors: Fold::default(),
            warnings: Fold::default(),
            expiries: Fold::default(),
            expired: 0,
        }
    }

    /// Delivers until the queue is closed and empty; tells meanwhile what the queue has to tell.
    pub(super) async fn run(self) {
        let output = self.output.clone();
        tokio::select! {
            () = self.deliver() => {}
            () = notices::tell(&output) => {}
        }
    }

    async fn deliver(mut self) {
        loop {
            self.swap_sink().await;
            let result = if self.resend {
                self.resend_outstanding().await
            } else if self.outstanding.is_empty() && !self.wait().await {
                break;
            } else if self.output.swap.is_due() {
                continue;
            } else {
                self.advance().await
            };
            match result {
                Ok(sent) => self.note_sent(sent),
                // Whether it fails is for the next sink to say.
                Err(failure) if self.output.swap.is_due() => {
                    self.commit(failure.delivered);
                    self.resend = true;
                }
                Err(failure) => self.note_failure(failure).await,
            }
        }
        self.sink.close().await;
    }

    fn reader(&self) -> &Arc<dyn Reader> {
        &self.output.parts.reader
    }

    /// Waits for something to do with nothing on its way; false when all is done.
    async fn wait(&mut self) -> bool {
        let reader = self.output.parts.reader.clone();
        tokio::select! {
            biased;
            more = reader.ready(1) => if !more { return false },
            () = self.sink.maintain() => {
                self.resend = true;
                return true;
            }
            () = self.output.swap.awaited() => return true,
        }
        let options = &self.options;
        if self.sink.batching() == Batching::Batches && options.max_batch_size > 1 {
            // A full batch or a closed queue ends the wait early.
            let full = options.max_batch_size.min(options.memory_bounds().max_entries);
            tokio::select! {
                _ = timeout(options.max_coalescing_delay, reader.ready(full)) => {}
                () = self.output.swap.awaited() => {}
            }
        }
        true
    }

    /// Sends what is next, or waits for what is on its way.
    async fn advance(&mut self) -> Result<Sent, SendError> {
        if self.resend {
            return self.resend_outstanding().await;
        }
        let entries = match self.sink.batching() {
            Batching::Stream | Batching::Parallel => LEASE_ENTRIES,
            Batching::Batches => self.options.max_batch_size.max(1),
        };
        if self.outstanding_bytes < self.sink.window() {
            let batch = self.reader().lease(entries, LEASE_BYTES).await;
            if !batch.is_empty() {
                self.outstanding_bytes += batch.iter().map(Bytes::len).sum::<usize>();
                self.outstanding.extend(batch.iter().cloned());
                return unless_swapped(&self.output.swap, self.sink.send(&batch)).await;
            }
            if self.outstanding.is_empty() {
                // What was waiting was dropped, or proved damaged.
                return Ok(Sent::default());
            }
            if self.sink.batching() == Batching::Parallel {
                return self.settle_or_more().await;
            }
        }
        unless_swapped(&self.output.swap, self.sink.settle()).await
    }

    /// Waits for what is on its way, or for more to send.
    async fn settle_or_more(&mut self) -> Result<Sent, SendError> {
        let reader = self.output.parts.reader.clone();
        tokio::select! {
            sent = self.sink.settle() => sent,
            () = self.output.swap.awaited() => Ok(Sent::default()),
            true = reader.ready(1) => Ok(Sent::default()),
        }
    }

    async fn resend_outstanding(&mut self) -> Result<Sent, SendError> {
        self.output.health().retried += self.outstanding.len() as u64;
        let entries = self.outstanding.make_contiguous();
        let sent = unless_swapped(&self.output.swap, self.sink.send(entries)).await?;
        self.resend = false;
        Ok(sent)
    }

    pub(super) fn note_sent(&mut self, sent: Sent) {
        if sent.settled > 0 {
            failpoint::reach(Point::BeforeCommit);
        }
        self.commit(sent.settled);
        if sent.lost > 0 {
            self.output.health().lost += sent.lost;
        }
        if let Some(warning) = sent.warning {
            let plugin = self.output.label();
            match self.warnings.admit(&warning, Instant::now()) {
                Some(0) => warn!(plugin, "{warning}"),
                Some(more) => warn!(plugin, more, "{warning}"),
                None => {}
            }
        }
        if let Some(since) = self.failing_since.filter(|_| sent.settled > 0 || self.outstanding.is_empty()) {
            let folded = self.errors.reset();
            info!(plugin = self.output.label(), after = ?since.elapsed(), folded, "delivers again");
            self.recover();
        }
    }

    pub(super) fn recover(&mut self) {
        self.failing_since = None;
        self.backoff.reset();
        self.output.health().failing = false;
    }

    async fn note_failure(&mut self, failure: SendError) {
        let now = Instant::now();
        self.commit(failure.delivered);
        if failure.delivered > 0 {
            self.recover();
        }
        self.record(&failure, now);
        // With nothing outstanding the sink still wants to be called: it has something of its own to send again.
        self.resend = true;
        match failure.kind {
            FailureKind::Permanent => self.bury(&failure.message, now).await,
            FailureKind::TooLarge => self.discard(1, DropReason::Oversize),
            FailureKind::Retryable => self.pause_or_give_up(now, failure.retry_after).await,
        }
    }

    /// Puts the first entry aside with the reason. Where that is not possible it stays and is tried again.
    async fn bury(&mut self, reason: &str, now: Instant) {
        let Some(entry) = self.outstanding.front() else { return };
        let letters = &self.output.parts.dead_letters;
        let spec = self.output.spec();
        let Err(error) = letters.keep(&spec, entry, reason, spec.queue.max_dead_letter_bytes).await else {
            failpoint::reach(Point::DeadLetterKept);
            self.discard(1, DropReason::DeadLetter);
            return;
        };
        let folder = letters.folder().display();
        let message =
            format!("a message that was refused for good cannot be kept in {folder}, and holds up the queue: {error}");
        if self.errors.admit(&message, now).is_some() {
            error!(plugin = self.output.label(), "{message}");
        }
        self.pause_or_give_up(now, None).await;
    }

    /// Waits before the next attempt, at least as long as the destination `asked` for; or drops what has been tried for
    /// too long.
    async fn pause_or_give_up(&mut self, now: Instant, asked: Option<Duration>) {
        let since = *self.failing_since.get_or_insert(now);
        let expires = self.options.max_retry_time.map(|limit| since + limit);
        if expires.is_some_and(|at| at <= now) && !self.outstanding.is_empty() {
            let alone = self.sink.batching() == Batching::Parallel;
            let entries = if alone { 1 } else { self.outstanding.len() };
            self.tell_of_expired(entries, now);
            self.discard(entries, DropReason::Expired);
            self.recover();
            return;
        }
        let closed = self.output.is_closed();
        if self.outstanding.is_empty() && (expires.is_some_and(|at| at <= now) || closed && now - since > REPLAY_TIME) {
            // What the sink wanted to send again was delivered once; it shall not hold up the queue or the end.
            self.resend = false;
            self.failing_since = None;
        }
        // Closing cuts the pause short: one more attempt at once.
        let end = now + self.pause(now, asked, expires, closed);
        tokio::select! {
            _ = timeout_at(end, self.output.closing.notified()) => {}
            // Another configuration may work at once.
            () = self.output.swap.awaited() => {}
        }
        if self.output.forgo.swap(false, Ordering::AcqRel) {
            self.discard(self.outstanding.len(), DropReason::Operator);
        }
    }

    /// Says that `entries` are given up; with a sink that sends one at a time there may be very many.
    fn tell_of_expired(&mut self, entries: usize, now: Instant) {
        self.expired += entries;
        if self.expiries.admit("expired", now).is_some() {
            let entries = std::mem::take(&mut self.expired);
            error!(
                plugin = self.output.label(),
                entries, "not delivered within max_retry_time, dropped; raise queue.max_retry_time to keep them longer"
            );
        }
    }

    fn pause(&mut self, now: Instant, asked: Option<Duration>, expires: Option<Instant>, closed: bool) -> Duration {
        // The last attempt is made when the time is over.
        let left = expires.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
        let pause = self.backoff.pause().min(left);
        if closed {
            return pause.min(CLOSING_PAUSE);
        }
        // An attempt that the destination asked not to make would be in vain: what it asked for goes beyond that time.
        pause.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }

    fn record(&mut self, failure: &SendError, now: Instant) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let retry = failure.kind == FailureKind::Retryable;
        {
            let mut health = self.output.health();
            health.failures += 1;
            health.failing = retry;
            let at = u64::try_from(at).unwrap_or(u64::MAX);
            health.last_error = Some(LastError { message: failure.message.clone(), at });
        }
        let Some(more) = self.errors.admit(&failure.message, now) else { return };
        let (plugin, message) = (self.output.label(), &failure.message);
        let folder = self.output.parts.dead_letters.folder().display();
        match (failure.kind, more) {
            (FailureKind::Retryable, 0) => warn!(plugin, "{message}; will be retried"),
            (FailureKind::Retryable, _) => warn!(plugin, more, "{message}; is being retried"),
            (FailureKind::Permanent, 0) => error!(plugin, "{message}; kept in {folder}"),
            (FailureKind::Permanent, _) => error!(plugin, more, "{message}; kept in {folder}"),
            (FailureKind::TooLarge, 0) => error!(plugin, "{message}; dropped"),
            (FailureKind::TooLarge, _) => error!(plugin, more, "{message}; dropped"),
        }
    }

    pub(super) fn commit(&mut self, entries: usize) {
        let entries = self.forget(entries);
        self.reader().commit(entries);
    }

    fn discard(&mut self, entries: usize, reason: DropReason) {
        let entries = self.forget(entries);
        self.reader().discard(entries, reason);
    }

    fn forget(&mut self, entries: usize) -> usize {
        let entries = entries.min(self.outstanding.len());
        let bytes: usize = self.outstanding.drain(..entries).map(|entry| entry.len()).sum();
        self.outstanding_bytes -= bytes;
        if self.outstanding.is_empty() {
            // A thousand idle plugins shall not each keep the largest batch's room.
            self.outstanding = VecDeque::new();
        }
        entries
    }
}
