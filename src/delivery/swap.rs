//! Replaces the sink of an output between two batches, so that waiting messages are delivered as the newest configuration
//! says.
//!
//! The old sink gets time to settle its entries in flight, so that they are not sent twice; after that, or after a failure,
//! the new sink sends them again. The queue stays, and so does the order.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use tokio::sync::Notify;

use crate::sink::{SendError, Sent, Sink};

/// How long the old sink may take to settle its entries in flight.
pub(super) const GRACE: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(5) };

/// The next sink of an output, once there is one.
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
    pub(super) async fn awaited(&self) {
        while !self.is_due() {
            self.notify.notified().await;
        }
    }

    pub(super) fn take(&self) -> Option<Box<dyn Sink>> {
        let mut next = self.next.lock();
        self.due.store(false, Ordering::Release);
        next.take()
    }

    pub(super) fn give(&self, sink: Box<dyn Sink>) {
        let mut next = self.next.lock();
        *next = Some(sink);
        self.due.store(true, Ordering::Release);
        // The notification is stored for the one dispatcher, if it does not wait yet.
        self.notify.notify_one();
    }
}

/// The result of `sending`; an error if there has been a next sink for [`GRACE`].
pub(super) async fn unless_swapped(
    swap: &SinkSwap,
    sending: impl Future<Output = Result<Sent, SendError>>,
) -> Result<Sent, SendError> {
    let timed_out = async {
        swap.awaited().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        sent = sending => sent,
        () = timed_out => Err(SendError::retry(0, "not settled when the configuration was changed; sent again as the new one says")),
    }
}
