//! Unlimited concurrency (Kong's `concurrency_limit: -1`): one request per message, many at a time.
//!
//! Messages arrive in any order and settle in the order of the queue. A failed message keeps later ones in the queue, but
//! does not delay their delivery: the sink remembers which of them were delivered, and does not send these again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::{Failure, Post, Posted};
use crate::sink::{Batching, BoxFuture, FailureKind, SendError, Sent, Sink};

/// Maximum number of concurrent requests. (Kong limits them only by its timers.)
const MAX_REQUESTS: usize = 64;

/// Sends every message in its own request, up to [`MAX_REQUESTS`] at a time.
pub struct ConcurrentSink<P> {
    post: Arc<P>,
    // The outstanding entries, in order.
    slots: VecDeque<Slot>,
    // The number of the first slot.
    first: u64,
    // How many slots, from the front, have a request or an outcome.
    started: usize,
    running: FuturesUnordered<BoxFuture<'static, (u64, Result<Posted, Failure>)>>,
    // The failure after which the outstanding entries must be sent again.
    retry: Option<Failure>,
    // The delivered entries among those that were outstanding before the last error.
    delivered: HashMap<(usize, usize), Bytes>,
    // What the receiver has said that it has not taken, since the last call.
    refused: Posted,
}

struct Slot {
    entry: Bytes,
    state: State,
}

enum State {
    /// Not sent, in flight, or to be sent again.
    Pending,
    Delivered,
    /// Permanently rejected.
    Rejected(Failure),
}

/// Identifies an entry by its allocation.
fn key(entry: &Bytes) -> (usize, usize) {
    (entry.as_ptr() as usize, entry.len())
}

impl<P: Post> ConcurrentSink<P> {
    pub fn new(post: P) -> Self {
        Self {
            post: Arc::new(post),
            slots: VecDeque::new(),
            first: 0,
            started: 0,
            running: FuturesUnordered::new(),
            retry: None,
            delivered: HashMap::new(),
            refused: Posted::default(),
        }
    }

    fn enqueue(&mut self, entries: &[Bytes]) {
        for entry in entries {
            let known = self.delivered.contains_key(&key(entry));
            let state = if known { State::Delivered } else { State::Pending };
            self.slots.push_back(Slot { entry: entry.clone(), state });
        }
        self.delivered.clear();
    }

    /// Starts requests up to the limit.
    fn start_requests(&mut self) {
        while self.retry.is_none() && self.running.len() < MAX_REQUESTS {
            let Some(slot) = self.slots.get(self.started) else { break };
            let number = self.first + self.started as u64;
            self.started += 1;
            if matches!(slot.state, State::Pending) {
                let (post, entry) = (self.post.clone(), slot.entry.clone());
                self.running.push(Box::pin(async move { (number, post.post(std::slice::from_ref(&entry)).await) }));
            }
        }
    }

    fn record(&mut self, (number, result): (u64, Result<Posted, Failure>)) {
        let at = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        let Some(slot) = self.slots.get_mut(at) else { return };
        match result {
            Ok(posted) => {
                slot.state = State::Delivered;
                self.refused.lost += posted.lost;
                self.refused.warning = posted.warning.or(self.refused.warning.take());
            }
            Err(failure) if failure.kind == FailureKind::Retryable => {
                // The longest `Retry-After` applies to all.
                let previous = self.retry.take().and_then(|failure| failure.retry_after);
                self.retry = Some(Failure { retry_after: previous.max(failure.retry_after), ..failure });
            }
            Err(failure) => slot.state = State::Rejected(failure),
        }
    }

    /// Removes the delivered entries at the front and returns their number.
    fn settle_front(&mut self) -> usize {
        let mut settled = 0;
        while matches!(self.slots.front(), Some(Slot { state: State::Delivered, .. })) {
            self.slots.pop_front();
            settled += 1;
        }
        self.first += settled as u64;
        self.started = self.started.saturating_sub(settled);
        settled
    }

    /// Starts and finishes requests. The future may be dropped at any time: all state is in `self`.
    async fn drive(&mut self, wait: bool) -> Result<Sent, SendError> {
        self.start_requests();
        if wait && let Some(ended) = self.running.next().await {
            self.record(ended);
        }
        while let Some(Some(ended)) = self.running.next().now_or_never() {
            self.record(ended);
            self.start_requests();
        }
        let rejected = matches!(
            self.slots.iter().find(|slot| !matches!(slot.state, State::Delivered)),
            Some(Slot { state: State::Rejected(_), .. })
        );
        if !rejected && self.retry.is_none() {
            let Posted { lost, warning } = std::mem::take(&mut self.refused);
            return Ok(Sent { settled: self.settle_front(), lost, warning });
        }
        // After an error nothing may be outstanding.
        while let Some(ended) = self.running.next().await {
            self.record(ended);
        }
        let delivered = self.settle_front();
        Err(self.abandon().after(delivered))
    }

    /// Drops the outstanding entries and remembers which were delivered; returns the failure for the others.
    fn abandon(&mut self) -> Failure {
        let retry = self.retry.take();
        let mut rejection = None;
        for (index, Slot { entry, state }) in self.slots.drain(..).enumerate() {
            match state {
                State::Delivered => drop(self.delivered.insert(key(&entry), entry)),
                State::Rejected(failure) if index == 0 => rejection = Some(failure),
                _ => {}
            }
        }
        self.started = 0;
        rejection.or(retry).unwrap_or_else(|| Failure::retry("nothing was sent".to_owned()))
    }
}

impl<P: Post> Sink for ConcurrentSink<P> {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        self.enqueue(entries);
        Box::pin(self.drive(false))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(self.drive(true))
    }

    fn batching(&self) -> Batching {
        Batching::Parallel
    }
}
