//! JSON lines over TCP and Unix sockets, as Kong's tcp-log sends them.
//!
//! Nothing is answered: a peer is slowed down by not being read while the queues are full. A line that is no
//! transaction is counted and logged, and the ones after it go on.

mod feed;
mod split;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout, timeout_at};

pub(super) use self::feed::{Feed, Rejected};
use super::accept::{self, Peer};
use super::{Context, Kind};
use crate::socket_file::SocketListener;

/// What a fast peer's reads grow to.
const LARGEST_READ: usize = 128 << 10;

/// How long, when the inputs stop, a peer may be silent before what it sent is taken to be all.
const LAST_WORDS_PAUSE: Duration = Duration::from_millis(100);

/// How long, when the inputs stop, a peer that goes on and on is still read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves `listener` until the inputs stop.
pub(super) async fn listen_tcp(context: Arc<Context>, listener: TcpListener) {
    let handle = {
        let context = context.clone();
        move |stream, peer| serve(context.clone(), Kind::Tcp, stream, peer)
    };
    accept::run(context, Kind::Tcp, listener, true, handle).await;
}

/// Serves a Unix socket until the inputs stop, and removes its file.
pub(super) async fn listen_unix(context: Arc<Context>, input: SocketListener) {
    let handle = {
        let context = context.clone();
        move |stream, peer| serve(context.clone(), Kind::Unix, stream, peer)
    };
    accept::run(context, Kind::Unix, input.listener, true, handle).await;
    drop(input.file);
}

async fn serve(context: Arc<Context>, kind: Kind, mut stream: impl AsyncRead + Unpin, peer: Peer) {
    let meters = context.meters.clone();
    let mut feed = Feed::new(context.intake.clone(), context.settings.limits, meters.clone(), kind, LARGEST_READ);
    let mut reject = |rejected: Rejected| {
        if let Some(folded) = meters.of(kind).complaints.pass() {
            let Rejected { line, reason, text } = rejected;
            let (input, reason) = (kind.name(), reason.name());
            tracing::warn!(input, %peer, line, reason, folded, "line not taken: {text}");
        }
    };
    let mut last_words = None;
    loop {
        match read(&context, &mut feed, &mut stream, &mut last_words).await {
            Ok(0) => break,
            Ok(_) => {
                if feed.take(&mut reject).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                tracing::debug!(input = kind.name(), %peer, %error, "connection ended");
                break;
            }
        }
    }
    // What it refuses has been counted and logged as lost.
    let _ = feed.finish(&mut reject).await;
}

/// Reads once; 0 when there is nothing more to wait for. `last_words` is when to stop listening, once stopping.
async fn read(
    context: &Context,
    feed: &mut Feed,
    stream: &mut (impl AsyncRead + Unpin),
    last_words: &mut Option<Instant>,
) -> io::Result<usize> {
    if last_words.is_none() {
        tokio::select! {
            biased;
            () = context.stopped() => *last_words = Some(Instant::now() + LAST_WORDS),
            read = timeout(context.settings.idle_timeout, feed.read(stream)) => {
                return read.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "idle for too long")));
            }
        }
    }
    let deadline = last_words.unwrap_or_else(Instant::now).min(Instant::now() + LAST_WORDS_PAUSE);
    timeout_at(deadline, feed.read(stream)).await.unwrap_or(Ok(0))
}
