//! Streams of lines, one transaction each: what TCP, Unix sockets and standard input share.
//!
//! Nothing is answered: a peer is slowed down by not being read while the queues are full. A line that is rejected is
//! counted and logged, and reading continues with the next.

mod reader;
mod splitter;

use std::io;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::{Instant, timeout, timeout_at};

pub(super) use self::reader::{LineReader, Rejected};
use super::Context;
use super::accept::Peer;
use crate::decode::Decode;

/// The limit to which the reads of a fast peer grow.
const MAX_READ_BYTES: usize = 128 << 10;

/// Silence after which, when the inputs stop, a peer counts as done.
const DRAIN_IDLE: Duration = Duration::from_millis(100);

/// How long, when the inputs stop, a peer that keeps sending is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads one connection to its end, for at most `idle_timeout` without a byte.
pub(super) async fn serve<D: Decode>(
    context: Context,
    decoder: D,
    idle_timeout: Duration,
    mut stream: impl AsyncRead + Unpin,
    peer: Peer,
) {
    let Context { input, intake, counters, .. } = context.clone();
    let mut lines = LineReader::new(input, intake, counters.clone(), decoder, MAX_READ_BYTES);
    let mut on_reject = |rejected: Rejected| {
        if let Some(suppressed) = counters.log_limit.admit() {
            let Rejected { line, reason, message } = rejected;
            let reason = reason.name();
            tracing::warn!(input, %peer, line, reason, suppressed, "line not taken: {message}");
        }
    };
    let mut drain_until = None;
    loop {
        match read(&context, idle_timeout, &mut lines, &mut stream, &mut drain_until).await {
            Ok(0) => break,
            Ok(_) => {
                if lines.process(&mut on_reject).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                tracing::debug!(input, %peer, %error, "connection ended");
                break;
            }
        }
    }
    // The reader has counted and logged what was refused.
    let _ = lines.finish(&mut on_reject).await;
}

/// Reads once; 0 when there is nothing more to wait for. `drain_until` is set when the inputs are told to stop.
async fn read<D: Decode>(
    context: &Context,
    idle_timeout: Duration,
    lines: &mut LineReader<D>,
    stream: &mut (impl AsyncRead + Unpin),
    drain_until: &mut Option<Instant>,
) -> io::Result<usize> {
    if drain_until.is_none() {
        tokio::select! {
            biased;
            () = context.stopped() => *drain_until = Some(Instant::now() + DRAIN_TIMEOUT),
            read = timeout(idle_timeout, lines.read(stream)) => {
                return read.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "idle for too long")));
            }
        }
    }
    let deadline = drain_until.unwrap_or_else(Instant::now).min(Instant::now() + DRAIN_IDLE);
    timeout_at(deadline, lines.read(stream)).await.unwrap_or(Ok(0))
}
