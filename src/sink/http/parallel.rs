//! http-log without a limit of concurrency (Kong's `concurrency_limit: -1`): a request per message, many at a time.
//!
//! Messages arrive in any order. They settle in that of the queue, so that one that fails holds those after it in the
//! queue, but not on their way: what is delivered is remembered, and not sent again with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::body;
use super::post::{Failure, Poster};
use crate::sink::{Batching, BoxFuture, FailureKind, SendError, Sent, Sink};

/// Requests at the same time, at most. (Kong has no bound; its timers have.)
const REQUESTS: usize = 64;

/// See the module.
pub(super) struct Parallel {
    poster: Arc<Poster>,
    array: bool,
    // What is outstanding, in order; the number of the first.
    slots: VecDeque<Slot>,
    first: u64,
    // How many of the slots are not waiting any more. They come first.
    begun: usize,
    running: FuturesUnordered<BoxFuture<'static, (u64, Result<(), Failure>)>>,
    // Why what is outstanding has to be sent again.
    retry: Option<Failure>,
    // Of what was outstanding before the last error, what was delivered.
    delivered: HashMap<(usize, usize), Bytes>,
}

struct Slot {
    entry: Bytes,
    state: State,
}

enum State {
    /// Not delivered, as far as is known.
    Open,
    Delivered,
    /// Refused for good.
    Refused(Failure),
}

/// Tells an entry from all others that are held at the same time.
fn key(entry: &Bytes) -> (usize, usize) {
    (entry.as_ptr() as usize, entry.len())
}

impl Parallel {
    pub fn new(poster: Poster, array: bool) -> Self {
        Self {
            poster: Arc::new(poster),
            array,
            slots: VecDeque::new(),
            first: 0,
            begun: 0,
            running: FuturesUnordered::new(),
            retry: None,
            delivered: HashMap::new(),
        }
    }

    fn take(&mut self, entries: &[Bytes]) {
        for entry in entries {
            let known = self.delivered.contains_key(&key(entry));
            let state = if known { State::Delivered } else { State::Open };
            self.slots.push_back(Slot { entry: entry.clone(), state });
        }
        self.delivered.clear();
    }

    /// Begins as many requests as may be.
    fn begin(&mut self) {
        while self.retry.is_none() && self.running.len() < REQUESTS {
            let Some(slot) = self.slots.get(self.begun) else { break };
            let number = self.first + self.begun as u64;
            self.begun += 1;
            if matches!(slot.state, State::Open) {
                let (poster, body) = (self.poster.clone(), body(std::slice::from_ref(&slot.entry), self.array));
                self.running.push(Box::pin(async move { (number, poster.post(&body).await) }));
            }
        }
    }

    fn note(&mut self, (number, result): (u64, Result<(), Failure>)) {
        let at = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        let Some(slot) = self.slots.get_mut(at) else { return };
        match result {
            Ok(()) => slot.state = State::Delivered,
            Err(failure) if failure.kind == FailureKind::Retryable => {
                // The longest time asked for holds for all.
                let asked = self.retry.take().and_then(|before| before.retry_after);
                self.retry = Some(Failure { retry_after: asked.max(failure.retry_after), ..failure });
            }
            Err(failure) => slot.state = State::Refused(failure),
        }
    }

    /// Takes the delivered entries off the front.
    fn settle_front(&mut self) -> usize {
        let mut settled = 0;
        while matches!(self.slots.front(), Some(Slot { state: State::Delivered, .. })) {
            self.slots.pop_front();
            settled += 1;
        }
        self.first += settled as u64;
        self.begun = self.begun.saturating_sub(settled);
        settled
    }

    /// May be dropped at any time: what is known is in `self`.
    async fn go_on(&mut self, wait: bool) -> Result<Sent, SendError> {
        self.begin();
        if wait && let Some(ended) = self.running.next().await {
            self.note(ended);
        }
        while let Some(Some(ended)) = self.running.next().now_or_never() {
            self.note(ended);
            self.begin();
        }
        let refused = matches!(
            self.slots.iter().find(|slot| !matches!(slot.state, State::Delivered)),
            Some(Slot { state: State::Refused(_), .. })
        );
        if !refused && self.retry.is_none() {
            return Ok(Sent::settled(self.settle_front()));
        }
        // Nothing may be outstanding after an error.
        while let Some(ended) = self.running.next().await {
            self.note(ended);
        }
        let delivered = self.settle_front();
        Err(self.forget().after(delivered))
    }

    /// Forgets what is outstanding but for what is delivered of it; says why it is to be sent again.
    fn forget(&mut self) -> Failure {
        let retry = self.retry.take();
        let mut refused = None;
        for (index, Slot { entry, state }) in self.slots.drain(..).enumerate() {
            match state {
                State::Delivered => drop(self.delivered.insert(key(&entry), entry)),
                State::Refused(failure) if index == 0 => refused = Some(failure),
                _ => {}
            }
        }
        self.begun = 0;
        refused.or(retry).unwrap_or_else(|| Failure::retry("nothing was sent".to_owned()))
    }
}

impl Sink for Parallel {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        self.take(entries);
        Box::pin(self.go_on(false))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(self.go_on(true))
    }

    fn batching(&self) -> Batching {
        Batching::Parallel
    }
}
