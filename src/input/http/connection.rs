//! One HTTP connection: its time limits and its end.
//!
//! hyper's own limit on the head of a request also runs while a kept connection is idle, so that it would have to
//! be as long as the idle time. Here the two are apart: a connection may be silent for long (Kong keeps its own for
//! 60 s and loses an entry if they are closed under it), but a head that has begun must end soon.

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

use super::Service;
use super::answer::Fault;
use crate::input::Kind;
use crate::input::accept::Peer;

/// What a connection holds while it reads heads and pieces of bodies.
const LARGEST_BUFFER: usize = 256 << 10;

/// How an HTTP/2 connection begins (RFC 9113, 3.4) and no HTTP/1 request does.
const HTTP2: &[u8] = b"PRI ";

/// HTTP/2 requests at a time on one connection.
const STREAMS: u32 = 128;

/// Serves one connection until its peer ends it, a time limit does, or the inputs stop.
pub(super) async fn serve(service: Service, stream: TcpStream, peer: Peer) {
    let activity = Arc::new(Activity::new());
    let io = TokioIo::new(Watched { stream, begun: false, activity: activity.clone() });
    let context = service.context.clone();
    let answering = {
        let activity = activity.clone();
        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (service, activity) = (service.clone(), activity.clone());
            async move {
                let _busy = activity.busy();
                Ok::<_, Infallible>(service.respond(request).await)
            }
        })
    };
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().max_buf_size(LARGEST_BUFFER).half_close(true).pipeline_flush(true);
    server.http2().max_concurrent_streams(STREAMS);
    let mut connection = pin!(server.serve_connection(io, answering));
    let (header, idle) = (context.settings.header_timeout, context.settings.idle_timeout);
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
            () = activity.too_long(header, idle) => {
                if activity.in_head() {
                    let fault = Fault::slow_head(header.as_secs_f64());
                    context.meters.of(Kind::Http).reject(fault.reason);
                    let _ = activity.last_words.set(fault.to_http1());
                    // Makes it read once more, and so write them.
                    let _ = timeout(Duration::ZERO, connection.as_mut()).await;
                }
                tracing::debug!(input = "http", %peer, "connection closed: silent or slow for too long");
                return;
            }
        }
    }
}

/// What is going on on a connection, as far as time limits care.
struct Activity {
    start: Instant,
    /// Requests that are being answered.
    busy: AtomicUsize,
    /// Milliseconds from `start` to when the last one was answered.
    idle_since: AtomicU64,
    /// Milliseconds from `start` to the first byte after that, plus one; 0 if none has come.
    head_since: AtomicU64,
    /// HTTP/2, where a byte is not the beginning of a head.
    streams: AtomicBool,
    /// What is written before the connection is ended under a head.
    last_words: OnceLock<Vec<u8>>,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            busy: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            streams: AtomicBool::new(false),
            last_words: OnceLock::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn read(&self, bytes: &[u8], first: bool) {
        if first && bytes.starts_with(HTTP2) {
            self.streams.store(true, Ordering::Relaxed);
        }
        if self.busy.load(Ordering::Relaxed) == 0 && !self.streams.load(Ordering::Relaxed) {
            let since = self.now() + 1;
            let _ = self.head_since.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn in_head(&self) -> bool {
        self.head_since.load(Ordering::Relaxed) != 0
    }

    /// Returns when a head takes longer than `header`, or nothing comes for longer than `idle`.
    async fn too_long(&self, header: Duration, idle: Duration) {
        loop {
            let now = Instant::now();
            let deadline = if self.busy.load(Ordering::Relaxed) > 0 {
                None
            } else if let Some(since) = self.head_since.load(Ordering::Relaxed).checked_sub(1) {
                Some(self.start + Duration::from_millis(since) + header)
            } else {
                Some(self.start + Duration::from_millis(self.idle_since.load(Ordering::Relaxed)) + idle)
            };
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            // Things may have changed by then; a later look costs at most one more `header`.
            sleep_until(deadline.unwrap_or(now + header).min(now + header)).await;
        }
    }
}

/// A request that is being answered.
struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that notes when something is read.
struct Watched {
    stream: TcpStream,
    begun: bool,
    activity: Arc<Activity>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(words) = self.activity.last_words.get() {
            // A peer too slow to take them does without.
            let _ = self.stream.try_write(words);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(task, buffer);
        let bytes = &buffer.filled()[before..];
        if !bytes.is_empty() {
            self.activity.read(bytes, !self.begun);
            self.begun = true;
        }
        read
    }
}

impl AsyncWrite for Watched {
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
