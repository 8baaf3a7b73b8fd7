//! A request's body that goes out in pieces, so that one can see whether it still moves.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// Bytes of one piece.
const PIECE: usize = 32 << 10;

/// When something last moved.
#[derive(Debug, Clone)]
pub struct Progress {
    last: Arc<Mutex<Instant>>,
}

impl Progress {
    /// Something moves at `at`.
    pub fn at(at: Instant) -> Self {
        Self { last: Arc::new(Mutex::new(at)) }
    }

    /// When something last moved.
    pub fn last(&self) -> Instant {
        *self.last.lock()
    }

    fn note(&self) {
        *self.last.lock() = Instant::now();
    }
}

/// See the module.
#[derive(Debug)]
pub struct Paced {
    rest: Bytes,
    progress: Progress,
}

impl Paced {
    pub fn new(body: Bytes, progress: Progress) -> Self {
        Self { rest: body, progress }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.progress.note();
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
