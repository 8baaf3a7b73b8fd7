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

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::time::timeout;

use super::activity::Activity;
use super::error::RequestError;
use super::response;
use super::service::Service;
use super::stream::GuardedStream;
use crate::connections::Slot;
use crate::input::accept::{Peer, report_shed};
use crate::input::transport::Stream;

/// Bytes that a connection buffers of headers and bodies.
const MAX_BUFFER_BYTES: usize = 256 << 10;

/// HTTP/2 requests at the same time on one connection.
const MAX_STREAMS: u32 = 128;

/// Serves one connection until its peer closes it, a timeout passes, it has to make room for another, or the inputs stop.
pub(super) async fn serve(service: Service, stream: Stream, peer: Peer, slot: Slot) {
    let activity = Arc::new(Activity::new());
    let write_timeout = service.input.write_timeout;
    let io = TokioIo::new(GuardedStream::new(stream, slot.clone(), write_timeout, activity.clone()));
    let context = service.context.clone();
    let (header, idle) = (service.input.header_timeout, service.input.settings.idle_timeout);
    let respond = {
        let (activity, slot) = (activity.clone(), slot.clone());
        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
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
                tracing::debug!(input = "http", %peer, "connection closed: idle or slow for too long");
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
fn report(context: &crate::input::Context, peer: Peer, error: &(dyn Error + 'static)) {
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
        tracing::debug!(input = "http", %peer, %error, "connection ended");
    }
}
