//! What the OTLP input does with a request.
//!
//! The sound records of a request are taken all or none, and answered when every entry is safe in its queue. Records that
//! cannot be decoded are told in the answer, after which no client sends them again; so are requests that are refused for
//! good. What may pass soon (full queues, memory, shutting down) is answered so that clients try again.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode, Version};
use logphase_protocol::otlp::{Encoding, METHOD, PATH};

use super::Otlp;
use super::response::{self, Wire};
use crate::connections::{AllowedHosts, HostError, Slot};
use crate::decode::otlp::{Export, ExportError};
use crate::input::accept::Peer;
use crate::input::grpc::framing;
use crate::input::grpc::response::Response;
use crate::input::http::bodies::{Bodies, BodyLimits, Work};
use crate::input::http::body::{self, Pace};
use crate::input::http::connection::{self, Timeouts};
use crate::input::http::error::{RequestError, quoted};
use crate::input::http::memory::Reservation;
use crate::input::http::{BODY_TIMEOUT, HEADER_TIMEOUT, MAX_BYTES_IN_FLIGHT, WRITE_TIMEOUT};
use crate::input::transport::Access;
use crate::input::{Context, Reason};

/// Memory for what is made of a request, for each byte that a body may have.
const OUTPUT_FACTOR: usize = 3;

/// Bytes that are reserved at a time for what is made of a request.
const RESERVE_STEP: usize = 64 << 10;

/// The OTLP input, shared by all of its connections.
#[derive(Clone)]
pub(super) struct Service {
    input: Arc<Otlp>,
    bodies: Bodies,
    /// The names that requests may use; all if `None`.
    hosts: Option<AllowedHosts>,
    access: Access,
    /// Whether the connection has the certificate of a client.
    is_verified: bool,
}

/// How a request is read.
#[derive(Debug, Clone, Copy)]
struct Form {
    wire: Wire,
    gzip: bool,
}

impl Service {
    pub(super) fn new(context: Context, input: Otlp, access: Access) -> Self {
        // The largest request, compressed and decompressed, and what is made of it must always fit.
        let largest = input.max_body_bytes.saturating_mul(2 + OUTPUT_FACTOR).saturating_add(4 * RESERVE_STEP);
        let limits = BodyLimits {
            max_bytes: input.max_body_bytes,
            in_flight: MAX_BYTES_IN_FLIGHT.max(largest),
            pace: Pace { timeout: BODY_TIMEOUT, min_rate: input.settings.min_rate },
        };
        Self { bodies: Bodies::new(context, limits), input: Arc::new(input), hosts: None, access, is_verified: false }
    }

    /// The same service on `address`. On an address of this machine alone, only web pages use other names than allowed
    /// ones.
    pub(super) fn on(&self, address: SocketAddr) -> Self {
        let allowed = || AllowedHosts::new(&self.input.settings.allowed_hosts, "inputs.otlp.allowed_hosts");
        Self { hosts: address.ip().is_loopback().then(allowed), ..self.clone() }
    }

    /// The same service for one connection, of `peer`. `is_verified` is whether it has the certificate of a client.
    pub(super) fn of_connection(&self, context: Context, peer: Peer, is_verified: bool) -> Self {
        Self { bodies: self.bodies.of_connection(context, peer), is_verified, ..self.clone() }
    }

    async fn export(&self, request: Request<Incoming>, wire: Wire, slot: &Slot) -> Result<Export, RequestError> {
        let form = match self.check(&request, wire) {
            Ok(form) => form,
            Err(error) => return Err(body::refuse(request, error)),
        };
        let (body, reservation) = self.bodies.read(request, slot).await?;
        let _working = slot.working();
        let input = self.input.clone();
        // What is made of a request may need more memory than its body, for which a thread may have to wait.
        let decode = move |body, reservation: &mut Reservation| decode(body, form, &input, reservation);
        let (mut export, reservation) = self.bodies.decode(body, reservation, Work::Heavy, decode).await?;
        self.bodies.offer(std::mem::take(&mut export.transactions), reservation).await?;
        self.count(&export);
        Ok(export)
    }

    /// Checks whether the body of a request is worth reading.
    fn check(&self, request: &Request<Incoming>, wire: Wire) -> Result<Form, RequestError> {
        if let Some(hosts) = &self.hosts
            && let Err(error @ (HostError::Host { .. } | HostError::Malformed)) =
                hosts.check(request.version(), request.uri(), request.headers())
        {
            return Err(RequestError::host(&error));
        }
        let access = self.access.check(request.headers(), self.is_verified);
        access.map_err(|error| RequestError::unauthorized(error, "inputs.otlp.auth"))?;
        let path = request.uri().path();
        let gzip = match wire {
            Wire::Grpc if request.version() < Version::HTTP_2 || path != METHOD => return Err(not_found(path)),
            Wire::Grpc => grpc_gzip(request)?,
            _ if path != PATH => return Err(not_found(path)),
            _ if request.method() != Method::POST => {
                return Err(RequestError::method_not_allowed(request.method().as_str()));
            }
            Wire::Unknown => {
                let given = request.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
                return Err(unsupported_type(&given.unwrap_or_default()));
            }
            Wire::Protobuf | Wire::Json => body::is_gzip(request.headers())?,
        };
        self.bodies.admit(request)?;
        self.bodies.check_length(request.body())?;
        Ok(Form { wire, gzip })
    }

    /// Counts and logs the records that are left out.
    fn count(&self, export: &Export) {
        let Some((place, why)) = &export.first else { return };
        let Context { counters, input, .. } = &self.bodies.context;
        counters.count_rejections(Reason::Malformed, export.malformed);
        counters.count_rejections(Reason::TooLarge, export.too_large);
        if let Some(suppressed) = counters.log_limit.admit() {
            let records = export.rejected();
            tracing::warn!(input, records, record = place, suppressed, "log records not taken: {why}");
        }
    }
}

impl connection::Service for Service {
    type Body = response::Body;

    fn context(&self) -> &Context {
        &self.bodies.context
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts { header: HEADER_TIMEOUT, idle: self.input.settings.idle_timeout, write: WRITE_TIMEOUT }
    }

    async fn respond(&self, request: Request<Incoming>, slot: &Slot) -> Response {
        let (wire, version) = (Wire::of(&request), request.version());
        match self.export(request, wire, slot).await {
            Ok(export) => response::accepted(wire, &export),
            Err(error) => self.answer(&error, wire, version),
        }
    }

    fn refuse(&self, error: &RequestError, version: Version) -> Response {
        self.answer(error, Wire::Unknown, version)
    }
}

impl Service {
    fn answer(&self, error: &RequestError, wire: Wire, version: Version) -> Response {
        let Context { counters, input, .. } = &self.bodies.context;
        counters.count_rejected(error.reason);
        tracing::debug!(input, status = error.status.as_u16(), ?error, "request not taken");
        response::refused(error, wire, version)
    }
}

/// Whether messages of a call may be compressed.
fn grpc_gzip(request: &Request<Incoming>) -> Result<bool, RequestError> {
    match request.headers().get("grpc-encoding").map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(other) => Err(RequestError::unsupported_encoding(&String::from_utf8_lossy(other))),
    }
}

fn not_found(path: &str) -> RequestError {
    let error = format!("there is nothing at {}", quoted(path));
    let help = format!("POST logs to {PATH}, or call {METHOD} over HTTP/2");
    RequestError::new(StatusCode::NOT_FOUND, Reason::Unsupported, "not_found", error, &help)
}

fn unsupported_type(found: &str) -> RequestError {
    let error = format!("the body's type {} is not taken", quoted(found));
    let help = "send Content-Type: application/x-protobuf or application/json, or application/grpc over HTTP/2";
    RequestError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Reason::Unsupported, "unsupported_type", error, help)
}

fn malformed(error: impl Into<String>) -> RequestError {
    let help = "send an ExportLogsServiceRequest; nothing of this request was taken";
    RequestError::new(StatusCode::BAD_REQUEST, Reason::Malformed, "malformed", error, help)
}

fn too_large(what: &str, limit: usize) -> RequestError {
    let error = format!("{what} of the request are over the limit of {limit} bytes");
    let help = "send fewer records at a time, or raise limits.max_body_bytes; nothing of this request was taken";
    RequestError::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, "too_large", error, help)
}

/// What a body holds.
fn decode(body: Bytes, form: Form, input: &Otlp, reservation: &mut Reservation) -> Result<Export, RequestError> {
    let (message, gzip) = match form.wire {
        Wire::Grpc => match framing::unary(body).map_err(malformed)? {
            (_, true) if !form.gzip => {
                return Err(malformed("the message is compressed, and grpc-encoding is missing"));
            }
            unary => unary,
        },
        _ => (body, form.gzip),
    };
    let message = if gzip { body::decompress(&message, input.max_body_bytes, reservation)? } else { message };
    let encoding = if form.wire == Wire::Json { Encoding::Json } else { Encoding::Protobuf };
    let limit = input.max_body_bytes.saturating_mul(OUTPUT_FACTOR);
    let (mut used, mut reserved) = (0_usize, 0);
    let grow = |bytes: usize| {
        used += bytes;
        if used > limit {
            return Err(too_large("the transactions", limit));
        }
        if used > reserved {
            let step = RESERVE_STEP.max(used - reserved);
            body::grow(reservation, step)?;
            reserved += step;
        }
        Ok(())
    };
    input.decoder.decode(&message, encoding, grow).map_err(|error| match error {
        ExportError::Malformed(reason) => malformed(reason),
        ExportError::TooLarge(limit) => too_large("the records", limit),
        ExportError::Memory(error) => error,
    })
}
