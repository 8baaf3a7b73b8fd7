//! Messages that wait follow the newest configuration: a reload gives an output another sink, between two batches.
//!
//! What is on its way is waited for, so that it is not sent twice; where that takes too long, or has failed, the new sink
//! sends it again. The queue stays, and with it the order.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::info;

use super::OutputSpec;
use super::backoff::Backoff;
use super::output::{Dispatcher, Output};
use crate::sink::{SendError, Sent, Sink};

/// How long the old sink may take to end what it has begun.
const GRACE: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(5) };

/// Another sink for an output, once it is there.
#[derive(Default)]
pub(super) struct SinkSwap {
    due: AtomicBool,
    next: Mutex<Option<Box<dyn Sink>>>,
    notify: Notify,
}

impl SinkSwap {
    /// Whether another sink is there.
    pub(super) fn is_due(&self) -> bool {
        self.due.load(Ordering::Acquire)
    }

    /// Waits until another sink is there.
    pub(super) async fn awaited(&self) {
        while !self.is_due() {
            self.notify.notified().await;
        }
    }

    fn take(&self) -> Option<Box<dyn Sink>> {
        let mut next = self.next.lock();
        self.due.store(false, Ordering::Release);
        next.take()
    }

    fn give(&self, sink: Box<dyn Sink>) {
        let mut next = self.next.lock();
        *next = Some(sink);
        self.due.store(true, Ordering::Release);
        // There is one dispatcher; one that does not wait yet finds it stored.
        self.notify.notify_one();
    }
}

/// What `sending` brings; an error if another sink has been there for the grace that the old one gets.
pub(super) async fn unless_swapped(
    swap: &SinkSwap,
    sending: impl Future<Output = Result<Sent, SendError>>,
) -> Result<Sent, SendError> {
    let given_up = async {
        swap.awaited().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        sent = sending => sent,
        () = given_up => Err(SendError::retry(0, "not done when the configuration was changed; sent as the new one says")),
    }
}

impl OutputSpec {
    /// Whether the queue of an output for `self` can be used for `new`, with what is in it.
    pub(super) fn shares_queue_with(&self, new: &Self) -> bool {
        self.continues_as(new) && self.queue.same_queue(&new.queue)
    }

    /// Whether what waits for `self` may be sent as `new` says: it is the same plugin, and so are all that it shares with.
    pub(super) fn continues_as(&self, new: &Self) -> bool {
        self.identity == new.identity
            && self.plugin == new.plugin
            && self.shares.iter().all(|plugin| new.shares.contains(plugin))
    }

    /// `new` for the queue of `self`.
    pub(super) fn keeping_queue_of(&self, new: &Self) -> Self {
        Self { queue: new.queue.keeping_queue_of(&self.queue), ..new.clone() }
    }
}

impl Output {
    /// From here on the output is for `spec`, by `sink`. If another sink is still waited for, it never comes to its turn.
    pub(super) fn replace_sink(&self, spec: OutputSpec, sink: Box<dyn Sink>) {
        self.parts.spec.store(std::sync::Arc::new(spec));
        self.swap.give(sink);
    }
}

impl Dispatcher {
    /// Changes the sink if another one is there.
    pub(super) async fn swap_sink(&mut self) {
        if !self.output.swap.is_due() {
            return;
        }
        self.settle_old().await;
        let Some(mut sink) = self.output.swap.take() else { return };
        sink.adopt_unconfirmed(self.sink.take_unconfirmed());
        if !self.resend && self.outstanding.is_empty() {
            let _ = timeout(GRACE, self.sink.close()).await;
        }
        self.sink = sink;
        self.options = self.output.spec().queue.clone();
        self.backoff = Backoff::new(self.options.initial_retry_delay, self.options.max_retry_delay);
        self.errors.reset();
        self.recover();
        self.resend = !self.outstanding.is_empty();
        let (plugin, waiting) = (self.output.label(), self.output.counters().depth);
        if waiting > 0 {
            info!(plugin, waiting, "what waits is delivered as the new configuration says");
        }
    }

    /// Lets the old sink end what it has begun, if it gets on.
    async fn settle_old(&mut self) {
        let deadline = Instant::now() + GRACE;
        while !self.resend && !self.outstanding.is_empty() && Instant::now() < deadline {
            match timeout_at(deadline, self.sink.settle()).await {
                Ok(Ok(sent)) => self.note_sent(sent),
                Ok(Err(failure)) => {
                    self.commit(failure.delivered);
                    self.resend = true;
                }
                Err(_) => return,
            }
            // A sink that has nothing to wait for answers at once.
            tokio::task::yield_now().await;
        }
    }
}
