//! One HTTP connection: its timeouts and its end.
//!
//! hyper's own header timeout also runs while a kept connection is idle, so that it would have to be as long as the idle
//! timeout. Here they are separate: a connection may be silent for long (Kong keeps its own for 60 s and loses an entry
//! that it writes to one that was just closed), but headers that have begun must end soon.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::time::timeout;

use super::activity::Activity;
use super::error::RequestError;
use super::response;
use super::stream::GuardedStream;
use crate::connections::Slot;
use crate::input::Context;
use crate::input::accept::{Peer, report_shed};
use crate::input::transport::Stream;

/// Bytes that a connection buffers of headers and bodies.
const MAX_BUFFER_BYTES: usize = 256 << 10;

/// HTTP/2 requests at the same time on one connection.
const MAX_STREAMS: u32 = 128;

/// The timeouts of a connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::input) struct Timeouts {
    /// How long the headers of a request may take from their first byte.
    pub(in crate::input) header: Duration,
    /// How long the connection may be idle.
    pub(in crate::input) idle: Duration,
    /// How long a response may wait for its peer to read any of it.
    pub(in crate::input) write: Duration,
}

/// What answers the requests of a connection.
pub(in crate::input) trait Service: Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Data = Bytes, Error = Infallible> + Send + 'static;

    /// What the input runs with.
    fn context(&self) -> &Context;

    /// The timeouts of its connections.
    fn timeouts(&self) -> Timeouts;

    /// Answers one request.
    fn respond(&self, request: Request<Incoming>, slot: &Slot) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Counts and answers a request of HTTP/1 that was refused before it was read.
    fn refuse(&self, error: &RequestError, version: Version) -> Response<Self::Body>;
}

/// Serves one connection until its peer closes it, a timeout passes, it has to make room for another, or the inputs stop.
pub(in crate::input) async fn serve(service: impl Service, stream: Stream, peer: Peer, slot: Slot) {
    let activity = Arc::new(Activity::new());
    let context = service.context().clone();
    let Timeouts { header, idle, write } = service.timeouts();
    // Each request gets a clone.
    let service = Arc::new(service);
    let io = TokioIo::new(GuardedStream::new(stream, slot.clone(), write, activity.clone()));
    let respond = {
        let (activity, slot) = (activity.clone(), slot.clone());
        service_fn(move |request: Request<Incoming>| {
            let (service, activity, slot) = (service.clone(), activity.clone(), slot.clone());
            async move {
                let _active = activity.begin_request();
                Ok::<_, Infallible>(match activity.refusal() {
                    Some(error) => service.refuse(error, request.version()),
                    None => service.respond(request, &slot).await,
                })
            }
        })
    };
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().max_buf_size(MAX_BUFFER_BYTES).half_close(true).pipeline_flush(true);
    server.http2().max_concurrent_streams(MAX_STREAMS);
    let mut connection = pin!(server.serve_connection(io, respond));
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    report(&context, peer, &*error);
                }
                return;
            }
            () = context.stopped(), if !stopping => {
                stopping = true;
                // hyper has not seen headers that are not complete; their request is answered.
                if !activity.in_headers() {
                    connection.as_mut().graceful_shutdown();
                }
            }
            () = activity.timed_out(header, idle) => {
                if activity.in_headers() {
                    let error = RequestError::header_timeout(header.as_secs_f64());
                    end(&context.counters, &activity, connection.as_mut(), &error).await;
                }
                tracing::debug!(input = context.input, %peer, "connection closed: idle or slow for too long");
                return;
            }
            () = slot.shed() => {
                report_shed(&context);
                if activity.in_headers() || activity.is_active() {
                    let error = RequestError::too_slow("the connections of others needed the place of this one");
                    end(&context.counters, &activity, connection.as_mut(), &error).await;
                }
                return;
            }
        }
    }
}

/// Answers the request that has begun, before its connection is closed.
async fn end<E>(
    counters: &crate::input::Counters,
    activity: &Activity,
    connection: impl Future<Output = Result<(), E>>,
    error: &RequestError,
) {
    counters.count_rejected(error.reason);
    activity.set_final_response(response::refused_http1(error));
    // Makes the connection read once more, which writes the response.
    let _ = timeout(Duration::ZERO, connection).await;
}

/// Logs why a connection ended: at any level what peers do to HTTP/2 (rapid resets, floods), which ends it on our side.
fn report(context: &Context, peer: Peer, error: &(dyn Error + 'static)) {
    let (mut is_http2, mut by_peer, mut cause) = (false, false, Some(error));
    while let Some(error) = cause {
        is_http2 |= error.to_string() == "http2 error";
        by_peer |= error.is::<io::Error>();
        cause = error.source();
    }
    if is_http2
        && !by_peer
        && let Some(suppressed) = context.counters.log_limit.admit()
    {
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        tracing::warn!(input = context.input, %peer, suppressed, "an HTTP/2 connection was closed: {cause}");
    } else {
        tracing::debug!(input = context.input, %peer, %error, "connection ended");
    }
}
