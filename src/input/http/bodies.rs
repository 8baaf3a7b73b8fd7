//! The bodies of all requests of an input: read within the memory for them, decoded, and handed in.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::ORIGIN;
use tokio::sync::Semaphore;

use super::body::{self, Pace};
use super::error::RequestError;
use super::memory::{MemoryBudget, Reservation};
use crate::connections::Slot;
use crate::input::accept::Peer;
use crate::input::{Context, Reason};
use logphase_script::transaction::Transaction;

/// Bodies up to this size are decoded on the connection's task. Larger and compressed ones would delay other connections.
const MAX_INLINE_BYTES: usize = 64 << 10;

/// The bounds on bodies.
#[derive(Debug, Clone, Copy)]
pub(in crate::input) struct BodyLimits {
    /// Bytes of one body, both as sent and as decompressed.
    pub(in crate::input) max_bytes: usize,
    /// Bytes of all bodies, and of what is made of them, that are being read or taken at the same time; a quarter more
    /// for small ones.
    pub(in crate::input) in_flight: usize,
    /// How fast a body must arrive.
    pub(in crate::input) pace: Pace,
}

/// Where a body is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::input) enum Work {
    /// On the connection's task if the body is small.
    Light,
    /// On a thread that may wait.
    Heavy,
}

/// What the requests of an input share.
#[derive(Clone)]
pub(in crate::input) struct Bodies {
    pub(in crate::input) context: Context,
    pub(in crate::input) limits: BodyLimits,
    budget: Arc<MemoryBudget>,
    /// Turns of large bodies to be decoded.
    decoding: Arc<Semaphore>,
    peer: Option<IpAddr>,
}

impl Bodies {
    pub(in crate::input) fn new(context: Context, limits: BodyLimits) -> Self {
        let budget = Arc::new(MemoryBudget::new(limits.in_flight));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { context, limits, budget, decoding: Arc::new(Semaphore::new(cores)), peer: None }
    }

    /// The same for one connection, of `peer`.
    pub(in crate::input) fn of_connection(&self, context: Context, peer: Peer) -> Self {
        Self { context, peer: peer.address(), ..self.clone() }
    }

    /// Checks whether a request may have a body that is worth reading.
    pub(in crate::input) fn admit(&self, request: &Request<Incoming>) -> Result<(), RequestError> {
        if self.context.is_stopping() {
            return Err(RequestError::shutting_down());
        }
        if request.headers().contains_key(ORIGIN) {
            return Err(RequestError::from_web_page());
        }
        let bytes = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
        self.context.intake.refusal(bytes).map_or(Ok(()), |refusal| Err(RequestError::refused(&refusal)))
    }

    /// Checks the length that a body has at least.
    pub(in crate::input) fn check_length(&self, body: &Incoming) -> Result<(), RequestError> {
        let limit = self.limits.max_bytes;
        if body.size_hint().lower() > limit as u64 {
            return Err(RequestError::body_too_large(limit));
        }
        Ok(())
    }

    /// Reads the body of a request. Where that fails, the rest of it is discarded.
    pub(in crate::input) async fn read(
        &self,
        mut request: Request<Incoming>,
        slot: &Slot,
    ) -> Result<(Bytes, Reservation), RequestError> {
        let mut reservation = Reservation::new(self.budget.clone(), self.peer);
        let BodyLimits { max_bytes, pace, .. } = self.limits;
        match body::read(request.body_mut(), max_bytes, pace, &mut reservation, slot).await {
            Ok(body) => {
                self.context.counters.count_bytes(body.len());
                Ok((body, reservation))
            }
            // Of a slow body nothing more is read.
            Err(error) if error.reason == Reason::Timeout => Err(error),
            Err(error) => Err(body::refuse(request, error)),
        }
    }

    /// Decodes a body.
    pub(in crate::input) async fn decode<T, F>(
        &self,
        body: Bytes,
        reservation: Reservation,
        work: Work,
        decode: F,
    ) -> Result<(T, Reservation), RequestError>
    where
        T: Send + 'static,
        F: FnOnce(Bytes, &mut Reservation) -> Result<T, RequestError> + Send + 'static,
    {
        let decode = move |mut reservation| decode(body, &mut reservation).map(|decoded| (decoded, reservation));
        if work == Work::Light {
            return decode(reservation);
        }
        // As many at a time as there are cores: the threads of more would leave little of them to all others.
        let turn = self.decoding.clone().acquire_owned().await;
        let decode = move || {
            let _turn = turn;
            decode(reservation)
        };
        tokio::task::spawn_blocking(decode).await.map_err(|error| RequestError::internal(&error))?
    }

    /// Hands in transactions, all or none. Returns their number when every entry is safe in its queue.
    pub(in crate::input) async fn offer(
        &self,
        transactions: Vec<Transaction>,
        reservation: Reservation,
    ) -> Result<usize, RequestError> {
        let (counters, offered) = (self.context.counters.clone(), transactions.len());
        // What was taken is counted even if the peer goes away meanwhile, and its bytes are there until then.
        let answered = move |accepted| {
            counters.count_received(accepted);
            drop(reservation);
        };
        let taken = self.context.intake.offer_and(transactions, answered).await;
        taken.map(|()| offered).map_err(|refusal| RequestError::refused(&refusal))
    }
}

impl Work {
    /// That of a body that is read as it is, unless it is compressed.
    pub(in crate::input) fn of(body: &Bytes, gzip: bool) -> Self {
        if gzip || body.len() > MAX_INLINE_BYTES { Self::Heavy } else { Self::Light }
    }
}
