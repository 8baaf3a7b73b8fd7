//! Streams of lines, one transaction each: what TCP, Unix sockets, pipes and standard input share.
//!
//! Nothing is answered: a peer is slowed down by not being read while the queues are full. A line that is rejected is
//! counted and logged, and reading continues with the next.

mod reader;
mod splitter;
mod taker;
mod unfinished;

use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::{Instant, timeout, timeout_at};

pub(super) use self::reader::{LineReader, Rejected};
pub(super) use self::splitter::{Line, LineSplitter, Splitter, not_empty};
pub(super) use self::taker::{Taker, Transactions};
pub(super) use self::unfinished::{UnfinishedLine, UnfinishedLines};
use super::accept::{Peer, report_shed};
use super::{Context, Reason};
use crate::connections::Slot;
use crate::decode::Decode;

/// The limit to which the reads of a fast peer grow.
const MAX_READ_BYTES: usize = 128 << 10;

/// Silence after which, when the inputs stop, a peer counts as done.
const DRAIN_IDLE: Duration = Duration::from_millis(100);

/// How long, when the inputs stop, a peer that keeps sending is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads the lines of one connection to its end, for at most `idle_timeout` without a byte.
pub(super) async fn serve<D: Decode>(
    context: Context,
    decoder: D,
    idle_timeout: Duration,
    stream: impl AsyncRead + Unpin,
    from: (Peer, Slot),
) {
    let splitter = LineSplitter::new(decoder.max_frame_bytes());
    serve_frames(context, decoder, splitter, idle_timeout, stream, from).await;
}

/// The same for a stream of what `splitter` finds.
pub(super) async fn serve_frames<D: Decode>(
    context: Context,
    decoder: D,
    splitter: impl Splitter,
    idle_timeout: Duration,
    stream: impl AsyncRead + Unpin,
    from: (Peer, Slot),
) {
    let taker = Transactions::new(context.intake.clone(), decoder);
    serve_taker(context, taker, splitter, idle_timeout, stream, from).await;
}

/// The same for what `taker` takes.
pub(super) async fn serve_taker(
    context: Context,
    taker: impl Taker,
    splitter: impl Splitter,
    idle_timeout: Duration,
    stream: impl AsyncRead + Unpin,
    (peer, slot): (Peer, Slot),
) {
    let Context { input, counters, .. } = context.clone();
    let mut lines = LineReader::with_splitter(input, counters.clone(), taker, splitter, MAX_READ_BYTES);
    let mut on_reject = |rejected: Rejected| {
        if let Some(suppressed) = counters.log_limit.admit() {
            let Rejected { line, reason, message } = rejected;
            let reason = reason.name();
            tracing::warn!(input, %peer, line, reason, suppressed, "line not taken: {message}");
        }
    };
    let unfinished = context.unfinished.enter(peer.address());
    let mut connection = Connection { context, idle_timeout, stream, slot, unfinished, drain_until: None };
    let mut gives_way = false;
    loop {
        match connection.read(&mut lines).await {
            Ok(Read::Bytes) => {
                let before = lines.lines();
                let working = connection.slot.working();
                let processed = lines.process(&mut on_reject).await;
                // Bytes alone are no progress: else a line that never ends would keep its connection.
                if lines.lines() > before {
                    drop(working)
                } else {
                    working.without_progress()
                }
                if processed.is_err() {
                    break;
                }
                if lines.is_broken() {
                    gives_way = true;
                    break;
                }
            }
            Ok(Read::End) => break,
            Ok(Read::Shed) => {
                report_shed(&connection.context);
                gives_way = true;
                break;
            }
            Ok(Read::TooSlow) => {
                gives_way = true;
                counters.count_shed();
                let message = "unfinished for too long while others needed the memory for unfinished lines".to_owned();
                lines.reject_unfinished(Reason::Timeout, message, &mut on_reject);
                break;
            }
            Err(error) => {
                tracing::debug!(input, %peer, %error, "connection ended");
                break;
            }
        }
    }
    // Its place is free for another while what was received waits for the queues; else it is closed after that.
    let connection = Some(connection).filter(|_| !gives_way);
    // The reader has counted and logged what was refused.
    let _ = lines.finish(&mut on_reject).await;
    drop(connection);
}

/// Polls `future` once.
async fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|task| Poll::Ready(future.as_mut().poll(task))).await
}

/// The result of a read.
enum Read {
    Bytes,
    /// There is nothing more to wait for.
    End,
    /// The connection must make room for another.
    Shed,
    /// The line that has begun holds memory that others need.
    TooSlow,
}

impl From<usize> for Read {
    fn from(bytes: usize) -> Self {
        if bytes == 0 { Self::End } else { Self::Bytes }
    }
}

struct Connection<S> {
    context: Context,
    idle_timeout: Duration,
    stream: S,
    slot: Slot,
    unfinished: UnfinishedLine,
    /// Set when the inputs are told to stop.
    drain_until: Option<Instant>,
}

impl<S: AsyncRead + Unpin> Connection<S> {
    async fn read(&mut self, lines: &mut LineReader<impl Taker, impl Splitter>) -> io::Result<Read> {
        self.unfinished.wait_with(lines.unfinished_bytes());
        if self.drain_until.is_none() {
            // What is there already need not be waited for. Most of Kong's tcp-log connections hold one entry and their end.
            if !self.context.is_stopped()
                && !self.unfinished.is_evicted()
                && !self.slot.is_shed()
                && let Poll::Ready(read) = poll_once(lines.read(&mut self.stream)).await
            {
                self.unfinished.resume();
                return read.map(Read::from);
            }
            tokio::select! {
                biased;
                () = self.context.stopped() => self.drain_until = Some(Instant::now() + DRAIN_TIMEOUT),
                () = self.unfinished.evicted() => return Ok(Read::TooSlow),
                read = timeout(self.idle_timeout, lines.read(&mut self.stream)) => {
                    self.unfinished.resume();
                    let idle = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "idle for too long"));
                    return read.unwrap_or_else(idle).map(Read::from);
                }
                () = self.slot.shed() => return Ok(Read::Shed),
            }
        }
        let deadline = self.drain_until.unwrap_or_else(Instant::now).min(Instant::now() + DRAIN_IDLE);
        timeout_at(deadline, lines.read(&mut self.stream)).await.unwrap_or(Ok(0)).map(Read::from)
    }
}
