//! What one HTTP connection is doing: its timeouts depend on it, and so does the end of a refused request.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::error::RequestError;

/// The state of a connection.
pub(super) struct Activity {
    start: Instant,
    /// Requests that are being answered.
    active: AtomicUsize,
    /// Milliseconds from `start` to the last response.
    idle_since: AtomicU64,
    /// Milliseconds from `start` to the first byte of a head that is not complete, plus one; 0 without one.
    headers_since: AtomicU64,
    /// Why a head was refused, and whether its stand-in was passed on.
    refusal: OnceLock<RequestError>,
    refusing: AtomicBool,
    /// Written before the connection is closed in the middle of a request.
    final_response: OnceLock<Vec<u8>>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            active: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            headers_since: AtomicU64::new(0),
            refusal: OnceLock::new(),
            refusing: AtomicBool::new(false),
            final_response: OnceLock::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// While the returned value lives, a request is being answered.
    pub(super) fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        self.active.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(self.clone())
    }

    /// Whether a request is being answered.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed) > 0
    }

    /// Whether a head has begun and is not complete.
    pub(super) fn set_in_headers(&self, in_headers: bool) {
        if !in_headers {
            self.headers_since.store(0, Ordering::Relaxed);
        } else if !self.in_headers() {
            self.headers_since.store(self.now() + 1, Ordering::Relaxed);
        }
    }

    pub(super) fn in_headers(&self) -> bool {
        self.headers_since.load(Ordering::Relaxed) != 0
    }

    /// Refuses the head that follows what was passed on so far.
    pub(super) fn refuse(&self, error: RequestError) {
        let _ = self.refusal.set(error);
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refusal.get().is_some()
    }

    /// The stand-in for the refused head is passed on now. Returns whether it was not before.
    pub(super) fn begin_refusal(&self) -> bool {
        !self.refusing.swap(true, Ordering::Relaxed)
    }

    /// Why the request that hyper has read is refused, if it is the stand-in.
    pub(super) fn refusal(&self) -> Option<&RequestError> {
        self.refusal.get().filter(|_| self.refusing.load(Ordering::Relaxed))
    }

    /// Sets what is written before the connection is closed.
    pub(super) fn set_final_response(&self, response: Vec<u8>) {
        let _ = self.final_response.set(response);
    }

    pub(super) fn final_response(&self) -> Option<&[u8]> {
        self.final_response.get().map(Vec::as_slice)
    }

    /// Returns when headers take longer than `header`, or nothing is read for longer than `idle`.
    pub(super) async fn timed_out(&self, header: Duration, idle: Duration) {
        loop {
            let now = Instant::now();
            let idle_since = self.idle_since.load(Ordering::Relaxed);
            let deadline = if self.is_active() {
                None
            } else if let Some(since) = self.headers_since.load(Ordering::Relaxed).checked_sub(1) {
                // Nothing is read while a request is being answered.
                Some(self.start + Duration::from_millis(since.max(idle_since)) + header)
            } else {
                Some(self.start + Duration::from_millis(idle_since) + idle)
            };
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            // The state may have changed by then; the check is late by one more `header` at most.
            sleep_until(deadline.unwrap_or(now + header).min(now + header)).await;
        }
    }
}

/// A request that is being answered.
pub(super) struct ActiveRequest(Arc<Activity>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
