//! One HTTP connection: its timeouts and its end.
//!
//! hyper's own header timeout also runs while a kept connection is idle, so that it would have to be as long as the idle
//! timeout. Here they are separate: a connection may be silent for long (Kong keeps its own for 60 s and loses an entry
//! that it writes to one that was just closed), but headers that have begun must end soon.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::error::RequestError;
use super::response;
use super::service::Service;
use crate::input::accept::Peer;

/// Bytes that a connection buffers of headers and bodies.
const MAX_BUFFER_BYTES: usize = 256 << 10;

/// The start of an HTTP/2 connection (RFC 9113, 3.4), which no HTTP/1 request has.
const HTTP2_PREFACE: &[u8] = b"PRI ";

/// HTTP/2 requests at the same time on one connection.
const MAX_STREAMS: u32 = 128;

/// Serves one connection until its peer closes it, a timeout passes, or the inputs stop.
pub(super) async fn serve(service: Service, stream: TcpStream, peer: Peer) {
    let activity = Arc::new(Activity::new());
    let io = TokioIo::new(TrackedStream { stream, started: false, activity: activity.clone() });
    let context = service.context.clone();
    let (header, idle) = (service.input.header_timeout, service.input.settings.idle_timeout);
    let respond = {
        let activity = activity.clone();
        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (service, activity) = (service.clone(), activity.clone());
            async move {
                let _active = activity.begin_request();
                Ok::<_, Infallible>(service.respond(request).await)
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
                    tracing::debug!(input = "http", %peer, %error, "connection ended");
                }
                return;
            }
            () = context.stopped(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = activity.timed_out(header, idle) => {
                if activity.in_headers() {
                    let error = RequestError::header_timeout(header.as_secs_f64());
                    context.counters.count_rejected(error.reason);
                    let _ = activity.final_response.set(response::refused_http1(&error));
                    // Makes the connection read once more, which writes the response.
                    let _ = timeout(Duration::ZERO, connection.as_mut()).await;
                }
                tracing::debug!(input = "http", %peer, "connection closed: idle or slow for too long");
                return;
            }
        }
    }
}

/// The state of a connection that its timeouts depend on.
struct Activity {
    start: Instant,
    /// Requests that are being answered.
    active: AtomicUsize,
    /// Milliseconds from `start` to the last response.
    idle_since: AtomicU64,
    /// Milliseconds from `start` to the first byte after that, plus one; 0 if none was read.
    headers_since: AtomicU64,
    /// Whether the connection speaks HTTP/2, where a byte does not begin the headers of a request.
    http2: AtomicBool,
    /// Written before the connection is closed in the middle of headers.
    final_response: OnceLock<Vec<u8>>,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            active: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            headers_since: AtomicU64::new(0),
            http2: AtomicBool::new(false),
            final_response: OnceLock::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn begin_request(self: &Arc<Self>) -> ActiveRequest {
        self.active.fetch_add(1, Ordering::Relaxed);
        self.headers_since.store(0, Ordering::Relaxed);
        ActiveRequest(self.clone())
    }

    fn on_read(&self, bytes: &[u8], first: bool) {
        if first && bytes.starts_with(HTTP2_PREFACE) {
            self.http2.store(true, Ordering::Relaxed);
        }
        if self.active.load(Ordering::Relaxed) == 0 && !self.http2.load(Ordering::Relaxed) {
            let since = self.now() + 1;
            let _ = self.headers_since.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn in_headers(&self) -> bool {
        self.headers_since.load(Ordering::Relaxed) != 0
    }

    /// Returns when headers take longer than `header`, or nothing is read for longer than `idle`.
    async fn timed_out(&self, header: Duration, idle: Duration) {
        loop {
            let now = Instant::now();
            let deadline = if self.active.load(Ordering::Relaxed) > 0 {
                None
            } else if let Some(since) = self.headers_since.load(Ordering::Relaxed).checked_sub(1) {
                Some(self.start + Duration::from_millis(since) + header)
            } else {
                Some(self.start + Duration::from_millis(self.idle_since.load(Ordering::Relaxed)) + idle)
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
struct ActiveRequest(Arc<Activity>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that reports to `activity` what is read.
struct TrackedStream {
    stream: TcpStream,
    started: bool,
    activity: Arc<Activity>,
}

impl AsyncRead for TrackedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(response) = self.activity.final_response.get() {
            // A peer too slow to take the response does not get it.
            let _ = self.stream.try_write(response);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(task, buffer);
        let bytes = &buffer.filled()[before..];
        if !bytes.is_empty() {
            self.activity.on_read(bytes, !self.started);
            self.started = true;
        }
        read
    }
}

impl AsyncWrite for TrackedStream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(task, buffers)
    }
}
