//! Replaces the sink of an output between two batches, so that waiting messages are delivered with the newest
//! configuration.
//!
//! The old sink has [`GRACE`] to settle its entries in flight, so that they are not sent twice. After that, or after a
//! failure, the new sink sends them again. The queue and the order of its entries do not change.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use tokio::sync::Notify;

use crate::sink::{SendError, Sent, Sink};

/// Maximum time for the old sink to settle its entries in flight.
pub(super) const GRACE: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(5) };

/// The next sink of an output, if a reload has replaced the current one.
#[derive(Default)]
pub(super) struct SinkSwap {
    due: AtomicBool,
    next: Mutex<Option<Box<dyn Sink>>>,
    notify: Notify,
}

impl SinkSwap {
    /// Whether there is a next sink.
    pub(super) fn is_due(&self) -> bool {
        self.due.load(Ordering::Acquire)
    }

    /// Waits until there is a next sink.
    pub(super) async fn wait(&self) {
        while !self.is_due() {
            self.notify.notified().await;
        }
    }

    pub(super) fn take(&self) -> Option<Box<dyn Sink>> {
        let mut next = self.next.lock();
        self.due.store(false, Ordering::Release);
        next.take()
    }

    pub(super) fn set(&self, sink: Box<dyn Sink>) {
        let mut next = self.next.lock();
        *next = Some(sink);
        self.due.store(true, Ordering::Release);
        // The notification is stored if the dispatcher does not wait yet.
        self.notify.notify_one();
    }
}

/// Waits for `sending`. Fails if the next sink has waited for [`GRACE`].
pub(super) async fn unless_swapped(
    swap: &SinkSwap,
    sending: impl Future<Output = Result<Sent, SendError>>,
) -> Result<Sent, SendError> {
    let timed_out = async {
        swap.wait().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        sent = sending => sent,
        () = timed_out => Err(SendError::retry(0, "not settled when the configuration was reloaded; sent again with the new one")),
    }
}
