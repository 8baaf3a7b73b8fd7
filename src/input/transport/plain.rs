//! TCP connections as they are accepted: read at once, and watched by Tokio only if they have to wait.
//!
//! Most of Kong's tcp-log connections hold one entry and their end, and both are there when the connection is accepted. Such a
//! connection is never registered with epoll, which spares two system calls and a wake-up for each.

use std::io::{self, IoSlice, Read};
use std::net::{self, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::retry_on_intr;
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Reads before Tokio watches a connection, at most. Tokio lets other connections run between reads; this does not.
const UNWATCHED_READS: usize = 4;

/// A socket that listens for TCP connections.
///
/// Tokio's own registers each connection that it accepts, and its stream is what gives the readiness of any socket to safe
/// code.
#[derive(Debug)]
pub(in crate::input) struct TcpSocket(TcpStream);

impl TcpSocket {
    /// Accepts what `listener`, which does not block, listens for. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The system cannot watch one more.
    pub(in crate::input) fn new(listener: net::TcpListener) -> io::Result<Self> {
        TcpStream::from_std(OwnedFd::from(listener).into()).map(Self)
    }

    /// Where it listens.
    pub(in crate::input) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection and its peer; it has the options of the socket. Cancel-safe.
    pub(in crate::input) async fn accept(&self) -> io::Result<(Plain, SocketAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let take = || Ok(retry_on_intr(|| acceptfrom_with(&self.0, flags))?);
        let (connection, peer) = self.0.async_io(Interest::READABLE, take).await?;
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        let peer = peer.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a connection without an address"))?;
        Ok((Plain { state: State::Unwatched { socket: connection.into(), reads: 0 } }, peer))
    }
}

/// A TCP connection.
#[derive(Debug)]
pub(in crate::input) struct Plain {
    state: State,
}

#[derive(Debug)]
enum State {
    Unwatched {
        socket: net::TcpStream,
        reads: usize,
    },
    Watched(TcpStream),
    /// Tokio could not watch it.
    Closed,
}

impl From<TcpStream> for Plain {
    fn from(stream: TcpStream) -> Self {
        Self { state: State::Watched(stream) }
    }
}

impl Plain {
    /// Whether Tokio watches it.
    #[cfg(test)]
    pub(super) fn is_watched(&self) -> bool {
        matches!(self.state, State::Watched(_))
    }

    /// The connection, watched by Tokio from now on.
    ///
    /// # Errors
    /// The system cannot watch one more.
    pub(in crate::input) fn into_watched(mut self) -> io::Result<TcpStream> {
        self.watch()?;
        match self.state {
            State::Watched(stream) => Ok(stream),
            State::Unwatched { .. } | State::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The same in its place.
    fn watch(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if let State::Unwatched { .. } = self.state
            && let State::Unwatched { socket, .. } = std::mem::replace(&mut self.state, State::Closed)
        {
            self.state = State::Watched(TcpStream::from_std(socket)?);
        }
        match &mut self.state {
            State::Watched(stream) => Ok(Pin::new(stream)),
            State::Unwatched { .. } | State::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads what is there; `None` if there is nothing, and if it is time to watch the connection.
    fn read_now(&mut self, buffer: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        let State::Unwatched { socket, reads } = &mut self.state else { return None };
        if *reads == UNWATCHED_READS {
            return None;
        }
        *reads += 1;
        match socket.read(buffer.initialize_unfilled()) {
            Ok(read) => buffer.advance(read),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return None;
            }
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(()))
    }
}

impl AsyncRead for Plain {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.read_now(buffer) {
            Some(read) => Poll::Ready(read),
            None => this.watch()?.poll_read(task, buffer),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().watch()?.poll_write(task, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().watch()?.poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().watch()?.poll_shutdown(task)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().watch()?.poll_write_vectored(task, buffers)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::Shutdown;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::input::bind;

    /// A connection of which nothing was read, and its peer.
    async fn connection(socket: &TcpSocket) -> (Plain, net::TcpStream) {
        let peer = net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        (socket.accept().await.unwrap().0, peer)
    }

    fn socket() -> TcpSocket {
        bind::tcp("TCP", ([127, 0, 0, 1], 0).into()).unwrap().0
    }

    /// Waits until the kernel has all that the peer sent: `bytes`, and the end if there is one.
    fn wait_for(stream: &Plain, bytes: usize, end: bool) {
        let State::Unwatched { socket, .. } = &stream.state else { panic!("it is watched") };
        socket.set_nonblocking(false).unwrap();
        let mut buffer = vec![0; bytes + usize::from(end)];
        while socket.peek(&mut buffer).unwrap() < bytes {}
        if end {
            use rustix::event::{PollFd, PollFlags, poll};
            poll(&mut [PollFd::new(socket, PollFlags::RDHUP)], None).unwrap();
        }
        socket.set_nonblocking(true).unwrap();
    }

    /// Scenario: a connection whose bytes and end are there before it is read.
    /// Guarantees: both are read, and it is never watched.
    #[tokio::test]
    async fn what_is_there_needs_no_watching() {
        let socket = socket();
        let (mut stream, mut peer) = connection(&socket).await;
        peer.write_all(b"an entry\n").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        wait_for(&stream, 9, true);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"an entry\n");
        assert!(!stream.is_watched());
    }

    /// Scenario: a connection without bytes, which come later.
    /// Guarantees: the read waits for them, as Tokio watches the connection.
    #[tokio::test]
    async fn what_is_to_come_is_watched() {
        let socket = socket();
        let (mut stream, mut peer) = connection(&socket).await;
        let reading = tokio::spawn(async move {
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.unwrap();
            (bytes, stream.is_watched())
        });
        // The task waits for the peer once it has run.
        tokio::task::yield_now().await;
        peer.write_all(b"later").unwrap();
        assert_eq!(reading.await.unwrap(), (*b"later", true));
    }

    /// Scenario: a connection with more bytes than are asked for at once; one that is written to.
    /// Guarantees: it is watched after a few reads, so that it cannot keep others from running; nothing is lost between.
    #[tokio::test]
    async fn long_connections_are_watched() {
        let socket = socket();
        let (mut stream, mut peer) = connection(&socket).await;
        peer.write_all(b"0123456789").unwrap();
        wait_for(&stream, 10, false);
        for at in 0..10 {
            assert_eq!(stream.is_watched(), at > UNWATCHED_READS);
            assert_eq!(stream.read_u8().await.unwrap(), b"0123456789"[at]);
        }
        let (mut stream, mut peer) = connection(&socket).await;
        stream.write_all(b"an answer").await.unwrap();
        assert!(stream.is_watched());
        let mut bytes = [0; 9];
        io::Read::read_exact(&mut peer, &mut bytes).unwrap();
        assert_eq!(&bytes, b"an answer");
    }

    /// Scenario: a connection that its peer resets.
    /// Guarantees: the error of the system is returned.
    #[tokio::test]
    async fn a_reset_is_an_error() {
        let socket = socket();
        let (mut stream, peer) = connection(&socket).await;
        socket2::SockRef::from(&peer).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(peer);
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
