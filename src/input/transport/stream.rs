//! A connection of a peer: plain or encrypted, and read no faster than the peer may send.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::peers::Place;
use super::plain::Plain;
use crate::input::Counters;

/// Bytes of one read while the rate of the peer is limited, at most.
const READ_BYTES: usize = 8 << 10;

/// A connection that is ready to be read.
pub(in crate::input) struct Stream {
    io: Io,
    /// Frees the place of the connection among those of its peer.
    place: Option<Place>,
    counters: Arc<Counters>,
    /// Runs while the peer has sent more than it may.
    pause: Option<Pin<Box<Sleep>>>,
}

pub(super) enum Io {
    Plain(Plain),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) fn new(io: Io, place: Option<Place>, counters: Arc<Counters>) -> Self {
        Self { io, place, counters, pause: None }
    }

    /// Whether the client has a certificate, which is then valid.
    pub(in crate::input) fn is_verified(&self) -> bool {
        match &self.io {
            Io::Plain(_) => false,
            Io::Tls(stream) => stream.get_ref().1.peer_certificates().is_some(),
        }
    }

    /// Waits until the peer may send, and returns how much; `None` if there is no limit.
    fn poll_budget(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<usize>> {
        let Some(bytes) = self.place.as_ref().and_then(Place::bytes) else { return Poll::Ready(None) };
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(task));
                self.pause = None;
            }
            let available = bytes.lock().available(Instant::now());
            match available {
                Ok(bytes) => return Poll::Ready(Some(bytes)),
                Err(wait) => {
                    self.counters.count_throttled();
                    self.pause = Some(Box::pin(sleep(wait)));
                }
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(budget) = ready!(self.poll_budget(task)) else {
            return Pin::new(&mut self.io).poll_read(task, buffer);
        };
        let mut bytes = [0; READ_BYTES];
        let length = budget.min(READ_BYTES).min(buffer.remaining());
        let mut part = ReadBuf::new(&mut bytes[..length]);
        ready!(Pin::new(&mut self.io).poll_read(task, &mut part))?;
        if let Some(bytes) = self.place.as_ref().and_then(Place::bytes) {
            bytes.lock().take(part.filled().len());
        }
        buffer.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(task)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(task, buffers)
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, task: &mut TaskContext<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(task, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(task, buffer),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, task: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(task, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(task, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(task),
            Self::Tls(stream) => Pin::new(stream).poll_flush(task),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(task),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(task),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(task, buffers),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(task, buffers),
        }
    }
}
