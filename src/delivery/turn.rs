//! Messages that wait follow the newest configuration: a reload gives an outlet another sink, between two batches.
//!
//! What is on its way is waited for, so that it is not sent twice; where that takes too long, or has failed, the new sink
//! sends it again. The queue stays, and with it the order.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::info;

use super::OutletSpec;
use super::backoff::Backoff;
use super::outlet::{Courier, Outlet};
use crate::sink::{SendError, Sent, Sink};

/// How long the old sink may take to end what it has begun.
const GRACE: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(5) };

/// Another sink for an outlet, once it is there.
#[derive(Default)]
pub(super) struct Turn {
    due: AtomicBool,
    next: Mutex<Option<Box<dyn Sink>>>,
    notify: Notify,
}

impl Turn {
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
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.due.store(false, Ordering::Release);
        next.take()
    }

    fn give(&self, sink: Box<dyn Sink>) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = Some(sink);
        self.due.store(true, Ordering::Release);
        // There is one courier; one that does not wait yet finds it stored.
        self.notify.notify_one();
    }
}

/// What `sending` brings; an error if another sink has been there for the grace that the old one gets.
pub(super) async fn unless_turned(
    turn: &Turn,
    sending: impl Future<Output = Result<Sent, SendError>>,
) -> Result<Sent, SendError> {
    let given_up = async {
        turn.awaited().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        sent = sending => sent,
        () = given_up => Err(SendError::retry(0, "not done when the configuration was changed; sent as the new one says")),
    }
}

impl OutletSpec {
    /// Whether the queue of an outlet for `self` can be used for `new`, with what is in it.
    pub(super) fn lends_queue_to(&self, new: &Self) -> bool {
        self.hands_over_to(new)
            && self.settings.bounds == new.settings.bounds
            && self.settings.storage == new.settings.storage
    }

    /// Whether what waits for `self` may be sent as `new` says: it is the same plugin, and so are all that it shares with.
    pub(super) fn hands_over_to(&self, new: &Self) -> bool {
        self.identity == new.identity
            && self.kind == new.kind
            && self.shares.iter().all(|plugin| new.shares.contains(plugin))
    }

    /// `new` for the queue of `self`.
    pub(super) fn turned_to(&self, new: &Self) -> Self {
        let mut turned = new.clone();
        turned.settings.bounds.clone_from(&self.settings.bounds);
        turned.settings.storage.clone_from(&self.settings.storage);
        turned
    }
}

impl Outlet {
    /// From here on the outlet is for `spec`, by `sink`. If another sink is still waited for, it never comes to its turn.
    pub(super) fn turn_to(&self, spec: OutletSpec, sink: Box<dyn Sink>) {
        self.parts.spec.store(std::sync::Arc::new(spec));
        self.turn.give(sink);
    }
}

impl Courier {
    /// Changes the sink if another one is there.
    pub(super) async fn take_turn(&mut self) {
        if !self.outlet.turn.is_due() {
            return;
        }
        self.settle_old().await;
        let Some(mut sink) = self.outlet.turn.take() else { return };
        sink.inherit(self.sink.bequeath());
        if !self.resend && self.outstanding.is_empty() {
            let _ = timeout(GRACE, self.sink.close()).await;
        }
        self.sink = sink;
        self.settings = self.outlet.spec().settings.clone();
        self.backoff = Backoff::new(self.settings.initial_retry_delay, self.settings.max_retry_delay);
        self.errors.reset();
        self.recover();
        self.resend = !self.outstanding.is_empty();
        let (plugin, waiting) = (self.outlet.label(), self.outlet.counters().depth);
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
