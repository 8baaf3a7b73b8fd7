//! The bytes of a connection on their way to hyper: heads are checked before they are passed on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use super::framing::{Framing, MAX_HEAD_BYTES};
use crate::connections::{Slot, WatchedStream};
use crate::input::transport::Stream;

/// A head that hyper reads in the place of one that is refused, so that the answer follows those to earlier requests.
const STAND_IN: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// How long bytes that follow a refused head are read and discarded, so that its sender reads the response instead of a
/// reset connection.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that are discarded then, at most.
const LINGER_BYTES: usize = 64 << 20;

/// A stream of which only checked heads, and bodies, are read.
pub(super) struct GuardedStream {
    stream: WatchedStream<Stream>,
    activity: Arc<Activity>,
    framing: Framing,
    /// What was read: first `ready` bytes that may be passed on, then a head that is not complete.
    held: BytesMut,
    ready: usize,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl GuardedStream {
    pub(super) fn new(stream: Stream, slot: Slot, write_timeout: Duration, activity: Arc<Activity>) -> Self {
        let stream = WatchedStream::new(stream, slot, write_timeout);
        Self { stream, activity, framing: Framing::new(), held: BytesMut::new(), ready: 0, linger: None }
    }

    /// Passes on what was checked before. Returns whether there was something.
    fn pass_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let length = self.ready.min(buffer.remaining());
        buffer.put_slice(&self.held[..length]);
        self.held.advance(length);
        self.ready -= length;
        if self.held.is_empty() {
            // An idle connection holds no memory.
            self.held = BytesMut::new();
        }
        length > 0
    }

    fn refuse(&mut self, error: Option<super::error::RequestError>) {
        if let Some(error) = error {
            self.activity.refuse(error);
            self.held.truncate(self.ready);
        }
        self.activity.set_in_headers(!self.framing.is_raw() && self.held.len() > self.ready);
    }

    /// Reads into `buffer`, and takes back from it what may not be passed on yet.
    fn read_checked(&mut self, task: &mut TaskContext<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(task, buffer))?;
        let read = &buffer.filled()[before..];
        if read.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let (length, error) = self.framing.pass(read);
        self.held.extend_from_slice(&read[length..]);
        buffer.set_filled(before + length);
        self.refuse(error);
        Poll::Ready(Ok(length > 0))
    }

    /// Reads more of a head.
    fn read_head(&mut self, task: &mut TaskContext<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [0; 4096];
        let mut more = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(task, &mut more))?;
        if more.filled().is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.held.extend_from_slice(more.filled());
        let (length, error) = self.framing.pass(&self.held);
        self.ready = length;
        self.refuse(error);
        Poll::Ready(Ok(self.pass_on(buffer)))
    }

    /// Reads and discards, until the peer closes or for a while.
    fn poll_linger(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        let (timer, left) = self.linger.get_or_insert_with(|| (Box::pin(sleep(LINGER)), LINGER_BYTES));
        let mut bytes = [0; 8192];
        loop {
            if timer.as_mut().poll(task).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(task, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() && *left > buffer.filled().len() => {
                    *left -= buffer.filled().len()
                }
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(response) = self.activity.final_response() {
            let response = response.to_vec();
            // A peer too slow to take the response does not get it.
            if Pin::new(&mut self.stream).poll_write(task, &response).is_ready() {
                let _ = Pin::new(&mut self.stream).poll_flush(task);
            }
            return Poll::Ready(Ok(()));
        }
        loop {
            if self.pass_on(buffer) {
                return Poll::Ready(Ok(()));
            }
            if self.activity.is_refused() {
                if !self.activity.begin_refusal() {
                    // The rest is read when the response is written.
                    return Poll::Pending;
                }
                self.held = BytesMut::from(STAND_IN);
                self.ready = STAND_IN.len();
                continue;
            }
            debug_assert!(self.held.len() <= 2 * MAX_HEAD_BYTES);
            let read =
                if self.held.is_empty() { self.read_checked(task, buffer) } else { self.read_head(task, buffer) };
            if ready!(read)? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let shut = ready!(Pin::new(&mut self.stream).poll_shutdown(task));
        if self.activity.is_refused() && shut.is_ok() {
            ready!(self.poll_linger(task));
        }
        Poll::Ready(shut)
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
