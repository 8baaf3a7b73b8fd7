//! A request body that is sent in chunks, so that its progress is visible.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 32 << 10;

/// The time when the connection last accepted a chunk, and whether it was the last one.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    last: Mutex<(Instant, bool)>,
    changed: Notify,
}

impl Progress {
    /// Starts counting at `start`.
    pub(super) fn starting_at(start: Instant) -> Self {
        Self { shared: Arc::new(Shared { last: Mutex::new((start, false)), changed: Notify::new() }) }
    }

    /// When that was, and whether the whole body is sent.
    pub(super) fn last(&self) -> (Instant, bool) {
        *self.shared.last.lock()
    }

    /// Returns once there was progress since the last call.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    fn record(&self, whole: bool) {
        *self.shared.last.lock() = (Instant::now(), whole);
        self.shared.changed.notify_one();
    }
}

/// A body that records when hyper polls its chunks.
#[derive(Debug)]
pub(super) struct ChunkedBody {
    rest: Bytes,
    progress: Progress,
}

impl ChunkedBody {
    pub(super) fn new(body: Bytes, progress: Progress) -> Self {
        Self { rest: body, progress }
    }
}

impl Body for ChunkedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(CHUNK_BYTES);
        self.progress.record(length == self.rest.len());
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
