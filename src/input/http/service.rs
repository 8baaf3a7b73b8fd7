//! What the HTTP input does with a request.
//!
//! A request is taken whole or not at all, and answered 200 only when every entry is safe in its queue.
//!
//! Requests that a browser made for a web page (they have an `Origin`) are refused. Otherwise any page could write to the
//! log of a service on its visitor's machine, even though it could not read the response.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, EXPECT, ORIGIN};
use hyper::{Method, Request, Version};
use tokio::sync::Semaphore;

use super::Http;
use super::body::{self, BodyFormat, Pace};
use super::error::RequestError;
use super::memory::{MemoryBudget, Reservation};
use super::response::{self, Response};
use crate::connections::{AllowedHosts, HostError, Slot};
use crate::decode::Decode;
use crate::input::accept::Peer;
use crate::input::transport::Access;
use crate::input::{Context, Reason};
use logphase_script::transaction::Transaction;

/// Bodies up to this size are decoded on the connection's task. Larger and compressed ones would delay other connections.
const MAX_INLINE_BYTES: usize = 64 << 10;

/// How many times the bytes of a body of the largest size its mapped transactions may have.
const MAPPED_GROWTH: usize = 4;

/// The transactions of a body, and the memory that it holds while they are on their way.
type Decoded = Result<(Vec<Transaction>, Reservation), RequestError>;

/// The HTTP input, shared by all of its connections.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) context: Context,
    pub(super) input: Arc<Http>,
    budget: Arc<MemoryBudget>,
    /// Turns of large bodies to be decoded.
    decoding: Arc<Semaphore>,
    /// The names that requests may use; all if `None`.
    hosts: Option<AllowedHosts>,
    peer: Option<IpAddr>,
    access: Access,
    /// Whether the connection has the certificate of a client.
    is_verified: bool,
}

impl Service {
    pub(super) fn new(context: Context, input: Http, access: Access) -> Self {
        // One body of the largest size, compressed and decompressed, must always fit; else it would always be refused.
        let copies = if input.decoder.copies() { 2 + MAPPED_GROWTH } else { 2 };
        let largest = input.max_body_bytes.saturating_mul(copies).saturating_add(2 * body::DECOMPRESS_STEP);
        let budget = Arc::new(MemoryBudget::new(input.max_bytes_in_flight.max(largest)));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            context,
            input: Arc::new(input),
            budget,
            decoding: Arc::new(Semaphore::new(cores)),
            hosts: None,
            peer: None,
            access,
            is_verified: false,
        }
    }

    /// The same service on `address`. On an address of this machine alone, only web pages use other names than allowed
    /// ones. Elsewhere proxies may use any name, and web pages are told by their `Origin`, which a browser always sends
    /// with a POST; there is nothing to read.
    pub(super) fn on(&self, address: SocketAddr) -> Self {
        let allowed = || AllowedHosts::new(&self.input.settings.allowed_hosts, "inputs.http.allowed_hosts");
        Self { hosts: address.ip().is_loopback().then(allowed), ..self.clone() }
    }

    /// The same service for one connection, of `peer`. `is_verified` is whether it has the certificate of a client.
    pub(super) fn of_connection(&self, context: Context, peer: Peer, is_verified: bool) -> Self {
        Self { context, peer: peer.address(), is_verified, ..self.clone() }
    }

    /// Answers one request.
    pub(super) async fn respond(&self, request: Request<Incoming>, slot: &Slot) -> Response {
        let version = request.version();
        match self.route(request, slot).await {
            Ok(response) => response,
            Err(error) => self.refuse(&error, version),
        }
    }

    /// Answers a request that is refused.
    pub(super) fn refuse(&self, error: &RequestError, version: Version) -> Response {
        self.context.counters.count_rejected(error.reason);
        tracing::debug!(input = "http", status = error.status.as_u16(), ?error, "request not taken");
        let mut response = response::refused(error);
        if version >= Version::HTTP_2 {
            response.headers_mut().remove(CONNECTION);
        }
        response
    }

    async fn route(&self, request: Request<Incoming>, slot: &Slot) -> Result<Response, RequestError> {
        if let Some(hosts) = &self.hosts
            && let Err(error @ (HostError::Host { .. } | HostError::Malformed)) =
                hosts.check(request.version(), request.uri(), request.headers())
        {
            return refuse(request, RequestError::host(&error));
        }
        if let Err(error) = self.access.check(request.headers(), self.is_verified) {
            return refuse(request, RequestError::unauthorized(error));
        }
        let path = request.uri().path();
        if !matches!(path, "/" | "" | "*") {
            let error = RequestError::not_found(path);
            return refuse(request, error);
        }
        match *request.method() {
            Method::POST | Method::PUT | Method::PATCH => self.post(request, slot).await,
            Method::GET | Method::HEAD => Ok(response::usage()),
            Method::OPTIONS => Ok(response::options()),
            _ => {
                let error = RequestError::method_not_allowed(request.method().as_str());
                refuse(request, error)
            }
        }
    }

    async fn post(&self, mut request: Request<Incoming>, slot: &Slot) -> Result<Response, RequestError> {
        let format = match self.check_headers(&request) {
            Ok(format) => format,
            Err(error) => return refuse(request, error),
        };
        let mut reservation = Reservation::new(self.budget.clone(), self.peer);
        let pace = Pace { timeout: self.input.body_timeout, min_rate: self.input.settings.min_rate };
        let read = body::read(request.body_mut(), self.input.max_body_bytes, pace, &mut reservation, slot);
        let body = match read.await {
            Ok(body) => body,
            // Of a slow body nothing more is read.
            Err(error) if error.reason == Reason::Timeout => return Err(error),
            Err(error) => return refuse(request, error),
        };
        let _working = slot.working();
        self.context.counters.count_bytes(body.len());
        let (transactions, mut reservation) = if format.gzip || body.len() > MAX_INLINE_BYTES {
            let input = self.input.clone();
            // As many at a time as there are cores: the threads of more would leave little of them to all others.
            let turn = self.decoding.clone().acquire_owned().await;
            let decode = move || {
                let _turn = turn;
                decode(body, format, &input, reservation)
            };
            tokio::task::spawn_blocking(decode).await.map_err(|error| RequestError::internal(&error))??
        } else {
            decode(body, format, &self.input, reservation)?
        };
        if self.input.decoder.copies() {
            let bytes = transactions.iter().map(|transaction| transaction.bytes().len()).sum();
            reservation.grow(bytes, true).await?;
        }
        self.offer(transactions, reservation).await
    }

    /// Checks whether the body of a request is worth reading.
    fn check_headers(&self, request: &Request<Incoming>) -> Result<BodyFormat, RequestError> {
        if self.context.is_stopping() {
            return Err(RequestError::shutting_down());
        }
        if request.headers().contains_key(ORIGIN) {
            return Err(RequestError::from_web_page());
        }
        let format = BodyFormat::from_headers(request.headers())?;
        let limit = self.input.max_body_bytes;
        if request.body().size_hint().lower() > limit as u64 {
            return Err(RequestError::body_too_large(limit));
        }
        Ok(format)
    }

    async fn offer(&self, transactions: Vec<Transaction>, reservation: Reservation) -> Result<Response, RequestError> {
        let context = self.context.clone();
        // A task of its own: what was taken must be counted even if the peer goes away meanwhile.
        let offered = tokio::spawn(async move {
            let _reservation = reservation;
            let offered = transactions.len();
            context.intake.offer(transactions).await?;
            context.counters.count_received(offered);
            Ok(offered)
        });
        match offered.await {
            Ok(Ok(taken)) => Ok(response::accepted(taken)),
            Ok(Err(refusal)) => Err(RequestError::refused(&refusal)),
            Err(error) => Err(RequestError::internal(&error)),
        }
    }
}

/// The transactions of a body.
fn decode(body: Bytes, format: BodyFormat, input: &Http, mut reservation: Reservation) -> Decoded {
    let body = if format.gzip { body::decompress(&body, input.max_body_bytes, &mut reservation)? } else { body };
    let mut transactions = Vec::new();
    let decoder = input.decoder.reading(format.format);
    decoder.decode(body, &mut transactions).map_err(RequestError::rejected)?;
    Ok((transactions, reservation))
}

/// Refuses `request`, of whose body some may still arrive.
fn refuse(request: Request<Incoming>, error: RequestError) -> Result<Response, RequestError> {
    // With `Expect: 100-continue` the peer has sent no body and, after this response, will not.
    if !request.body().is_end_stream() && !request.headers().contains_key(EXPECT) {
        tokio::spawn(body::drain(request.into_body()));
    }
    Err(error)
}
