//! A stream whose peer has to read what is written to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::Slot;

/// A stream that fails when its peer has read nothing for a while of what is written to it.
#[derive(Debug)]
pub(crate) struct WatchedStream<S> {
    stream: S,
    slot: Slot,
    timeout: Duration,
    /// Runs while a write waits for the peer.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether what the stream has taken waits for the peer, as encrypted bytes may.
    flushing: bool,
}

impl<S> WatchedStream<S> {
    /// Watches `stream`, the connection of `slot`. A write fails after `timeout` without a byte that the peer took.
    pub(crate) fn new(stream: S, slot: Slot, timeout: Duration) -> Self {
        Self { stream, slot, timeout, stalled: None, flushing: false }
    }

    fn watch<T>(&mut self, task: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.slot.set_stalled(false);
                self.slot.progress();
            }
            return written;
        }
        if self.stalled.is_none() {
            self.slot.set_stalled(true);
        }
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        if timer.as_mut().poll(task).is_ready() {
            timer.as_mut().reset(Instant::now() + self.timeout);
            let message = "the peer does not read what is written to it";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(task, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(task, bytes);
        self.watch(task, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(task);
        if flushed.is_pending() {
            self.flushing = true;
        } else if !std::mem::take(&mut self.flushing) {
            // It had nothing of its own to write, which says nothing about a write that waits.
            return flushed;
        }
        self.watch(task, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(task, buffers);
        self.watch(task, written)
    }
}
