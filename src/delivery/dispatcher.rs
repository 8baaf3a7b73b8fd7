//! The task of an output: it leases entries, sends them, retries failures, and commits delivered entries.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::output::{LastError, Output};
use super::swap::{GRACE, unless_swapped};
use super::{QueueOptions, queue_events};
use crate::log::limit::{Limiter, Policy};
use crate::sink::{Batching, FailureKind, SendError, Sent, Sink};
use logphase_queue::failpoint::{self, Point};
use logphase_queue::{DropReason, Reader};

/// Maximum entries of one lease, for a sink that does not batch.
const LEASE_ENTRIES: usize = 8192;
/// Maximum bytes of one lease.
const LEASE_BYTES: usize = 1 << 20;
/// Maximum pause between attempts of a closed output, so that a recovered destination is detected before the shutdown
/// ends.
const CLOSING_PAUSE: Duration = Duration::from_millis(500);
/// How often a dispatcher looks whether its queue lacks the room that unconfirmed entries take.
const ROOM_CHECK: Duration = Duration::from_secs(1);
/// Maximum pause that a destination can request.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The least time between two sends of a sink that writes whatever is there at once: what arrives meanwhile shares one write, and
/// wakes nobody.
const GATHER: Duration = Duration::from_millis(1);
/// A queue with fewer places does not wait for it: it could be full by then.
const GATHER_ENTRIES: usize = 1000;

/// What a dispatcher without entries in flight waited for.
enum Waited {
    /// There are entries, or a new sink.
    Ready,
    /// The sink has confirmed entries, or wants some to be sent again.
    Maintained(Result<(), SendError>),
    /// The queue is closed, and every entry is settled.
    Ended,
}

/// The task behind an output.
pub(super) struct Dispatcher {
    pub(super) output: Arc<Output>,
    pub(super) sink: Box<dyn Sink>,
    // The queue options for the current sink.
    pub(super) options: QueueOptions,
    // Entries that were sent and are not settled, in order.
    pub(super) outstanding: VecDeque<Bytes>,
    outstanding_bytes: usize,
    // How many settled entries are unconfirmed, as the queue knows.
    unconfirmed: usize,
    // When entries were sent last.
    sent_at: Option<Instant>,
    // When to look whether the queue lacks room.
    room_check: Instant,
    // Whether the outstanding entries must be sent again, before all others.
    pub(super) resend: bool,
    failing_since: Option<Instant>,
    pub(super) backoff: Backoff,
    // Limits on log lines.
    pub(super) errors: Limiter,
    warnings: Limiter,
    expired: Limiter,
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
            unconfirmed: 0,
            sent_at: None,
            room_check: Instant::now(),
            resend: false,
            failing_since: None,
            errors: Limiter::new(Policy::ONE),
            warnings: Limiter::new(Policy::ONE),
            expired: Limiter::new(Policy::ONE),
        }
    }

    /// Delivers until the queue is closed and empty, or until the process stops, and logs the events of the queue.
    pub(super) async fn run(self) {
        let output = self.output.clone();
        tokio::select! {
            () = self.deliver() => {}
            () = queue_events::log_events(&output) => {}
        }
    }

    async fn deliver(mut self) {
        loop {
            self.swap_sink().await;
            let result = if self.resend {
                self.resend_outstanding().await
            } else if self.outstanding.is_empty() {
                match self.wait().await {
                    Waited::Ready if self.output.swap.is_due() => continue,
                    Waited::Ready => self.advance().await,
                    Waited::Maintained(result) => result.map(|()| Sent::default()),
                    Waited::Ended => match self.finish().await {
                        Ok(true) => return,
                        Ok(false) => Ok(Sent::default()),
                        Err(failure) => Err(failure),
                    },
                }
            } else {
                self.advance().await
            };
            match result {
                Ok(sent) => self.note_sent(sent),
                // The next sink retries; whether it fails, too, is not known yet.
                Err(failure) if self.output.swap.is_due() => {
                    self.resend = true;
                    self.commit_failed(&failure);
                }
                Err(failure) => self.note_failure(failure).await,
            }
        }
    }

    fn reader(&self) -> &Arc<dyn Reader> {
        &self.output.parts.reader
    }

    /// Waits for entries while nothing is in flight.
    async fn wait(&mut self) -> Waited {
        let reader = self.output.parts.reader.clone();
        tokio::select! {
            biased;
            more = reader.ready(1) => if !more { return Waited::Ended },
            result = self.sink.maintain() => return Waited::Maintained(result),
            () = self.output.swap.wait() => return Waited::Ready,
            () = sleep_until(self.room_check), if self.unconfirmed > 0 => {
                self.room_check = Instant::now() + ROOM_CHECK;
                // The end of a connection confirms what the receiver has read, and frees the files.
                let result = if reader.status().lacks_room { self.sink.close().await } else { Ok(()) };
                return Waited::Maintained(result);
            }
        }
        self.gather().await;
        Waited::Ready
    }

    /// Waits until entries that may be there have become a batch.
    async fn gather(&mut self) {
        let options = &self.options;
        let bounds = options.memory_bounds();
        if self.sink.batching() == Batching::Writes && bounds.max_entries >= GATHER_ENTRIES {
            let now = Instant::now();
            let until = self.sent_at.map_or(now, |sent_at| sent_at + GATHER);
            if now < until && !self.output.is_closed() {
                tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.output.swap.wait() => {}
                }
            }
            self.sent_at = Some(Instant::now());
        }
        if self.sink.batching() == Batching::Batches && options.max_batch_size > 1 {
            // A full batch or a closed queue ends the wait.
            let full = options.max_batch_size.min(bounds.max_entries);
            tokio::select! {
                _ = timeout(options.max_coalescing_delay, self.output.parts.reader.ready(full)) => {}
                () = self.output.swap.wait() => {}
            }
        }
    }

    /// Closes the sink of a closed queue whose entries are settled. True if everything is confirmed, or the process stops:
    /// what is unconfirmed then is left in a queue on disk. The entries of a queue in memory count as delivered.
    async fn finish(&mut self) -> Result<bool, SendError> {
        self.sink.close().await?;
        self.commit(0);
        if self.unconfirmed > 0 && !self.output.is_stopping() {
            // A plugin that was removed has time.
            tokio::select! {
                result = self.sink.maintain() => result?,
                () = self.output.stopping() => {}
                () = self.output.swap.wait() => return Ok(false),
            }
            self.commit(0);
        }
        if self.unconfirmed > 0 && self.output.is_stopping() {
            if !self.options.is_on_disk() {
                self.reader().settle(0, 0);
            }
            return Ok(true);
        }
        Ok(self.unconfirmed == 0)
    }

    /// Sends the next entries, or waits for those in flight.
    async fn advance(&mut self) -> Result<Sent, SendError> {
        if self.resend {
            return self.resend_outstanding().await;
        }
        let entries = match self.sink.batching() {
            Batching::Stream | Batching::Writes | Batching::Parallel => LEASE_ENTRIES,
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
                // The waiting entries were dropped, or are corrupt.
                return Ok(Sent::default());
            }
            if self.sink.batching() == Batching::Parallel {
                return self.settle_or_more().await;
            }
        }
        unless_swapped(&self.output.swap, self.sink.settle()).await
    }

    /// Waits for entries in flight, or for more entries.
    async fn settle_or_more(&mut self) -> Result<Sent, SendError> {
        let reader = self.output.parts.reader.clone();
        tokio::select! {
            sent = self.sink.settle() => sent,
            () = self.output.swap.wait() => Ok(Sent::default()),
            true = reader.ready(1) => Ok(Sent::default()),
        }
    }

    async fn resend_outstanding(&mut self) -> Result<Sent, SendError> {
        self.output.health.lock().retried += self.outstanding.len() as u64;
        let entries = self.outstanding.make_contiguous();
        let sent = unless_swapped(&self.output.swap, self.sink.send(entries)).await?;
        self.resend = false;
        Ok(sent)
    }

    pub(super) fn note_sent(&mut self, sent: Sent) {
        if sent.settled > 0 {
            failpoint::reach(Point::BeforeCommit);
        }
        // First what is lost: who reads the totals in between would count it as delivered, and that total never decreases.
        if sent.lost > 0 {
            self.output.health.lock().lost += sent.lost;
        }
        self.commit(sent.settled);
        if let Some(warning) = sent.warning {
            let plugin = self.output.label();
            match self.warnings.admit_message(&warning) {
                Some(0) => warn!(plugin, "{warning}"),
                Some(suppressed) => warn!(plugin, suppressed, "{warning}"),
                None => {}
            }
        }
        if let Some(since) = self.failing_since.filter(|_| sent.settled > 0 || self.outstanding.is_empty()) {
            let suppressed = self.errors.reset();
            info!(plugin = self.output.label(), after = ?since.elapsed(), suppressed, "delivers again");
            self.recover();
        }
    }

    pub(super) fn recover(&mut self) {
        self.failing_since = None;
        self.backoff.reset();
        self.output.health.lock().failing = false;
    }

    async fn note_failure(&mut self, failure: SendError) {
        let now = Instant::now();
        self.resend = true;
        self.commit_failed(&failure);
        if failure.delivered > failure.revoked {
            self.recover();
        }
        self.record(&failure, now);
        match failure.kind {
            FailureKind::Permanent => self.store_dead_letter(&failure.message, now).await,
            FailureKind::TooLarge => self.discard(1, DropReason::Oversize),
            FailureKind::Retryable => {
                // The pause before entries are sent again is ours, so our limit applies; one that a destination requests is not.
                let longest = if failure.revoked > 0 { self.options.max_retry_delay } else { Duration::MAX };
                self.pause_or_expire(now, failure.retry_after.map(|pause| pause.min(longest))).await;
            }
        }
    }

    /// Stores the first entry as a dead letter. If that fails, the entry stays in the queue and is retried.
    async fn store_dead_letter(&mut self, reason: &str, now: Instant) {
        let Some(entry) = self.outstanding.front() else { return };
        let letters = &self.output.parts.dead_letters;
        let spec = self.output.spec();
        let Err(error) = letters.store(&spec, entry, reason, spec.queue.max_dead_letter_bytes).await else {
            failpoint::reach(Point::DeadLetterKept);
            self.discard(1, DropReason::DeadLetter);
            return;
        };
        let folder = letters.folder().display();
        let message = format!(
            "a message that was refused permanently cannot be stored in {folder}, and blocks the queue: {error}"
        );
        if self.errors.admit_message_at(&message, now).is_some() {
            error!(plugin = self.output.label(), "{message}");
        }
        self.pause_or_expire(now, None).await;
    }

    /// Pauses before the next attempt, at least as long as the destination `requested`; or drops entries past
    /// `max_retry_time`.
    async fn pause_or_expire(&mut self, now: Instant, requested: Option<Duration>) {
        let since = *self.failing_since.get_or_insert(now);
        let expires = self.options.max_retry_time.map(|limit| since + limit);
        if expires.is_some_and(|at| at <= now) && !self.outstanding.is_empty() {
            let alone = self.sink.batching() == Batching::Parallel;
            let entries = if alone { 1 } else { self.outstanding.len() };
            self.log_expired(entries, now);
            self.discard(entries, DropReason::Expired);
            self.recover();
            return;
        }
        let closed = self.output.is_closed();
        // Closing the output ends the pause: the next attempt starts immediately.
        let end = now + self.pause(now, requested, expires, closed);
        tokio::select! {
            _ = timeout_at(end, self.output.closing.notified()) => {}
            // The new configuration may succeed immediately.
            () = self.output.swap.wait() => {}
        }
        if self.output.drop_retrying.swap(false, Ordering::AcqRel) {
            self.discard(self.outstanding.len(), DropReason::Operator);
        }
    }

    /// Logs that `entries` have expired. The lines are limited: a sink may send entries one at a time.
    fn log_expired(&mut self, entries: usize, now: Instant) {
        if let Some(entries) = self.expired.add_at(entries as u64, now) {
            error!(
                plugin = self.output.label(),
                entries, "not delivered within max_retry_time, dropped; raise queue.max_retry_time to keep them longer"
            );
        }
    }

    fn pause(&mut self, now: Instant, requested: Option<Duration>, expires: Option<Instant>, closed: bool) -> Duration {
        // The last attempt is at the end of max_retry_time.
        let left = expires.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
        let pause = self.backoff.pause().min(left);
        if closed {
            return pause.min(CLOSING_PAUSE);
        }
        // The pause that the destination requested may exceed max_retry_time: an earlier attempt would fail.
        pause.max(requested.unwrap_or_default().min(MAX_RETRY_AFTER))
    }

    fn record(&mut self, failure: &SendError, now: Instant) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let retry = failure.kind == FailureKind::Retryable;
        {
            let mut health = self.output.health.lock();
            health.failures += 1;
            health.failing = retry;
            let at = u64::try_from(at).unwrap_or(u64::MAX);
            health.last_error = Some(LastError { message: failure.message.clone(), at });
        }
        let Some(suppressed) = self.errors.admit_message_at(&failure.message, now) else { return };
        let (plugin, message) = (self.output.label(), &failure.message);
        let folder = self.output.parts.dead_letters.folder().display();
        match (failure.kind, suppressed) {
            (FailureKind::Retryable, 0) => warn!(plugin, "{message}; will be retried"),
            (FailureKind::Retryable, _) => warn!(plugin, suppressed, "{message}; is being retried"),
            (FailureKind::Permanent, 0) => error!(plugin, "{message}; stored in {folder}"),
            (FailureKind::Permanent, _) => error!(plugin, suppressed, "{message}; stored in {folder}"),
            (FailureKind::TooLarge, 0) => error!(plugin, "{message}; dropped"),
            (FailureKind::TooLarge, _) => error!(plugin, suppressed, "{message}; dropped"),
        }
    }

    /// Commits the first `entries` outstanding entries, which are settled, and what the sink has confirmed.
    pub(super) fn commit(&mut self, entries: usize) {
        let unconfirmed = self.sink.unconfirmed();
        self.settle(entries, unconfirmed);
    }

    /// Commits what was settled before a failure. What is to be sent again waits in the queue again, with all that is
    /// outstanding.
    fn commit_failed(&mut self, failure: &SendError) {
        let unconfirmed = self.sink.unconfirmed();
        self.settle(failure.delivered, failure.revoked + unconfirmed);
        if failure.revoked > 0 {
            self.unconfirmed = unconfirmed;
            self.revoke(failure.revoked);
        }
    }

    fn settle(&mut self, entries: usize, unconfirmed: usize) {
        let entries = self.remove_outstanding(entries);
        if entries > 0 || unconfirmed != self.unconfirmed {
            self.reader().settle(entries, unconfirmed);
        }
        self.unconfirmed = unconfirmed;
    }

    /// Makes the newest `entries` unconfirmed entries wait again, and after them all that are outstanding.
    fn revoke(&mut self, entries: usize) {
        self.output.health.lock().retried += (entries + self.outstanding.len()) as u64;
        self.reader().revoke(entries);
        self.outstanding = VecDeque::new();
        self.outstanding_bytes = 0;
        self.resend = false;
    }

    fn discard(&mut self, entries: usize, reason: DropReason) {
        let entries = self.remove_outstanding(entries);
        self.reader().discard(entries, reason);
    }

    fn remove_outstanding(&mut self, entries: usize) -> usize {
        let entries = entries.min(self.outstanding.len());
        let bytes: usize = self.outstanding.drain(..entries).map(|entry| entry.len()).sum();
        self.outstanding_bytes -= bytes;
        if self.outstanding.is_empty() {
            // Frees the memory of large batches, because a configuration may have a thousand idle plugins.
            self.outstanding = VecDeque::new();
        }
        entries
    }

    /// Changes to the next sink, if there is one.
    pub(super) async fn swap_sink(&mut self) {
        if !self.output.swap.is_due() {
            return;
        }
        self.settle_old().await;
        let Some(sink) = self.output.swap.take() else { return };
        if !self.resend && self.outstanding.is_empty() {
            match timeout(GRACE, self.sink.close()).await {
                Ok(Err(failure)) => self.commit_failed(&failure),
                Ok(Ok(())) | Err(_) => self.commit(0),
            }
        }
        let unconfirmed = std::mem::take(&mut self.unconfirmed);
        if unconfirmed > 0 {
            self.revoke(unconfirmed);
        }
        self.sink = sink;
        self.options = self.output.spec().queue.clone();
        self.backoff = Backoff::new(self.options.initial_retry_delay, self.options.max_retry_delay);
        self.errors.reset();
        self.recover();
        self.resend = !self.outstanding.is_empty();
        let (plugin, waiting) = (self.output.label(), self.output.counters().depth);
        if waiting > 0 {
            info!(plugin, waiting, "waiting messages are delivered with the new configuration");
        }
    }

    /// Waits until the old sink has settled its entries in flight, at most [`GRACE`].
    async fn settle_old(&mut self) {
        let deadline = Instant::now() + GRACE;
        while !self.resend && !self.outstanding.is_empty() && Instant::now() < deadline {
            match timeout_at(deadline, self.sink.settle()).await {
                Ok(Ok(sent)) => self.note_sent(sent),
                Ok(Err(failure)) => {
                    self.resend = true;
                    self.commit_failed(&failure);
                }
                Err(_) => return,
            }
            // `settle` returns immediately if the sink has nothing to wait for.
            tokio::task::yield_now().await;
        }
    }
}
