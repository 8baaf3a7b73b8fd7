//! One connection: its timeouts and its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::call::Calls;
use crate::connections::{Slot, WatchedStream};
use crate::input::accept::{Peer, report_shed};
use crate::input::transport::Stream;

/// Calls at the same time on one connection. An Envoy has one for each logger and thread, each on a connection of its own.
const MAX_CALLS: u32 = 32;

/// Bytes of the headers of a call.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// How long the first message of a connection may take.
const FIRST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a response may wait for its peer to read any of it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// When a connection has last received a message.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// Milliseconds from `start` to the last message, plus one; 0 before the first.
    last: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0) }
    }

    /// A message was received.
    pub(super) fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last.store(now + 1, Ordering::Relaxed);
    }

    /// Returns when there was no message for `idle`.
    async fn timed_out(&self, idle: Duration) {
        loop {
            let deadline = match self.last.load(Ordering::Relaxed).checked_sub(1) {
                Some(last) => self.start + Duration::from_millis(last) + idle,
                None => self.start + idle.min(FIRST_TIMEOUT),
            };
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

/// Serves one connection until its peer closes it, it is idle, it has to make room for another, or the inputs stop. Returns
/// when everything that was received is in the queues.
pub(super) async fn serve(calls: Calls, idle: Duration, stream: Stream, peer: Peer, slot: Slot) {
    let (running, mut ended) = mpsc::channel::<()>(1);
    serve_calls(calls, idle, stream, (peer, slot), running).await;
    // The calls have the only senders, and never send.
    let _ = ended.recv().await;
}

async fn serve_calls(
    calls: Calls,
    idle: Duration,
    stream: Stream,
    (peer, slot): (Peer, Slot),
    running: mpsc::Sender<()>,
) {
    let activity = Arc::new(Activity::new());
    let context = calls.context.clone();
    let io = TokioIo::new(WatchedStream::new(stream, slot.clone(), WRITE_TIMEOUT));
    let respond = {
        let (activity, slot) = (activity.clone(), slot.clone());
        service_fn(move |request| {
            let (calls, activity, slot, running) = (calls.clone(), activity.clone(), slot.clone(), running.clone());
            async move { Ok::<_, Infallible>(calls.respond(request, activity, slot, running).await) }
        })
    };
    let mut server = http2::Builder::new(TokioExecutor::new());
    server.max_concurrent_streams(MAX_CALLS).max_header_list_size(MAX_HEADER_BYTES);
    let mut connection = pin!(server.serve_connection(io, respond));
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(input = context.input, %peer, %error, "connection ended");
                }
                return;
            }
            () = context.stopped(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = activity.timed_out(idle) => {
                tracing::debug!(input = context.input, %peer, "connection closed: idle for too long");
                return;
            }
            () = slot.shed() => {
                report_shed(&context);
                return;
            }
        }
    }
}
