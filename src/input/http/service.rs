//! What the HTTP input does with a request.
//!
//! A request is taken whole or not at all, and answered 200 only when every entry is safe in its queue.
//!
//! Requests that a browser made for a web page (they have an `Origin`) are refused. Otherwise any page could write to the
//! log of a service on its visitor's machine, even though it could not read the response.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONNECTION;
use hyper::{Method, Request, Version};

use super::Http;
use super::bodies::{Bodies, BodyLimits, Work};
use super::body::{self, BodyFormat, Pace};
use super::connection::{self, Timeouts};
use super::error::RequestError;
use super::memory::Reservation;
use super::response::{self, Response};
use crate::connections::{AllowedHosts, HostError, Slot};
use crate::decode::Decode;
use crate::input::Context;
use crate::input::accept::Peer;
use crate::input::transport::Access;
use logphase_script::transaction::Transaction;

/// How many times the bytes of a body of the largest size its mapped transactions may have.
const MAPPED_GROWTH: usize = 4;

/// The HTTP input, shared by all of its connections.
#[derive(Clone)]
pub(super) struct Service {
    input: Arc<Http>,
    bodies: Bodies,
    /// The names that requests may use; all if `None`.
    hosts: Option<AllowedHosts>,
    access: Access,
    /// Whether the connection has the certificate of a client.
    is_verified: bool,
}

impl Service {
    pub(super) fn new(context: Context, input: Http, access: Access) -> Self {
        // One body of the largest size, compressed and decompressed, must always fit; else it would always be refused.
        let copies = if input.decoder.copies() { 2 + MAPPED_GROWTH } else { 2 };
        let largest = input.max_body_bytes.saturating_mul(copies).saturating_add(2 * body::DECOMPRESS_STEP);
        let limits = BodyLimits {
            max_bytes: input.max_body_bytes,
            in_flight: input.max_bytes_in_flight.max(largest),
            pace: Pace { timeout: input.body_timeout, min_rate: input.settings.min_rate },
        };
        Self { bodies: Bodies::new(context, limits), input: Arc::new(input), hosts: None, access, is_verified: false }
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
        Self { bodies: self.bodies.of_connection(context, peer), is_verified, ..self.clone() }
    }

    async fn route(&self, request: Request<Incoming>, slot: &Slot) -> Result<Response, RequestError> {
        if let Some(hosts) = &self.hosts
            && let Err(error @ (HostError::Host { .. } | HostError::Malformed)) =
                hosts.check(request.version(), request.uri(), request.headers())
        {
            return Err(body::refuse(request, RequestError::host(&error)));
        }
        if let Err(error) = self.access.check(request.headers(), self.is_verified) {
            return Err(body::refuse(request, RequestError::unauthorized(error, "inputs.http.auth")));
        }
        let path = request.uri().path();
        if !matches!(path, "/" | "" | "*") {
            let error = RequestError::not_found(path);
            return Err(body::refuse(request, error));
        }
        match *request.method() {
            Method::POST | Method::PUT | Method::PATCH => self.post(request, slot).await,
            Method::GET | Method::HEAD => Ok(response::usage()),
            Method::OPTIONS => Ok(response::options()),
            _ => {
                let error = RequestError::method_not_allowed(request.method().as_str());
                Err(body::refuse(request, error))
            }
        }
    }

    async fn post(&self, request: Request<Incoming>, slot: &Slot) -> Result<Response, RequestError> {
        let format = match self.check_headers(&request) {
            Ok(format) => format,
            Err(error) => return Err(body::refuse(request, error)),
        };
        let (body, reservation) = self.bodies.read(request, slot).await?;
        let _working = slot.working();
        let (work, input) = (Work::of(&body, format.gzip), self.input.clone());
        let decode = move |body, reservation: &mut Reservation| decode(body, format, &input, reservation);
        let (transactions, mut reservation) = self.bodies.decode(body, reservation, work, decode).await?;
        if self.input.decoder.copies() {
            let bytes = transactions.iter().map(|transaction| transaction.bytes().len()).sum();
            reservation.grow(bytes, true).await?;
        }
        self.bodies.offer(transactions, reservation).await.map(response::accepted)
    }

    /// Checks whether the body of a request is worth reading.
    fn check_headers(&self, request: &Request<Incoming>) -> Result<BodyFormat, RequestError> {
        self.bodies.admit(request)?;
        let format = BodyFormat::from_headers(request.headers())?;
        self.bodies.check_length(request.body())?;
        Ok(format)
    }
}

impl connection::Service for Service {
    type Body = Full<Bytes>;

    fn context(&self) -> &Context {
        &self.bodies.context
    }

    fn timeouts(&self) -> Timeouts {
        let Http { header_timeout, write_timeout, .. } = *self.input;
        Timeouts { header: header_timeout, idle: self.input.settings.idle_timeout, write: write_timeout }
    }

    async fn respond(&self, request: Request<Incoming>, slot: &Slot) -> Response {
        let version = request.version();
        match self.route(request, slot).await {
            Ok(response) => response,
            Err(error) => connection::Service::refuse(self, &error, version),
        }
    }

    fn refuse(&self, error: &RequestError, version: Version) -> Response {
        self.bodies.context.counters.count_rejected(error.reason);
        tracing::debug!(input = "http", status = error.status.as_u16(), ?error, "request not taken");
        let mut response = response::refused(error);
        if version >= Version::HTTP_2 {
            response.headers_mut().remove(CONNECTION);
        }
        response
    }
}

/// The transactions of a body.
fn decode(
    body: Bytes,
    format: BodyFormat,
    input: &Http,
    reservation: &mut Reservation,
) -> Result<Vec<Transaction>, RequestError> {
    let body = if format.gzip { body::decompress(&body, input.max_body_bytes, reservation)? } else { body };
    let mut transactions = Vec::new();
    let decoder = input.decoder.reading(format.format);
    decoder.decode(body, &mut transactions).map_err(RequestError::rejected)?;
    Ok(transactions)
}
