//! A connection with the machine's syslog daemon.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::time::timeout;

use logphase_net::send_queue::unacknowledged;

/// What is asked of the kernel as room for one datagram; it gives at most twice `net.core.wmem_max`.
const SEND_BUFFER: usize = 8 << 20;
/// Bytes of the send buffer that a datagram cannot use (`unix_dgram_sendmsg` in Linux).
const OVERHEAD: usize = 32;

/// An open socket, and whose it was.
pub(super) struct Link {
    path: PathBuf,
    identity: Identity,
    socket: Socket,
}

enum Socket {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

/// Which file a socket is. Numbers are used again for new files, times of birth are not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { device: found.dev(), inode: found.ino(), born: found.created().ok() })
    }
}

impl Link {
    /// Connects to the daemon that listens at `path`, for datagrams or, if it takes none, a stream.
    pub(super) async fn open(path: &Path, limit: Duration) -> io::Result<Self> {
        // Before connecting: if a new daemon comes in between, the link counts as broken, and is made anew.
        let identity = Identity::of(path)?;
        let datagram = UnixDatagram::unbound()?;
        let socket = match datagram.connect(path) {
            Ok(()) => {
                // What is refused leaves the usual size.
                let _ = SockRef::from(&datagram).set_send_buffer_size(SEND_BUFFER);
                Socket::Datagram(datagram)
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PROTOTYPE) => {
                Socket::Stream(within(limit, UnixStream::connect(path)).await?)
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), identity, socket })
    }

    /// Hands one message to the kernel. Waits, for `limit` at most, while the daemon is behind with reading.
    pub(super) async fn send(&mut self, message: &[u8], limit: Duration) -> io::Result<()> {
        match &mut self.socket {
            Socket::Datagram(socket) => within(limit, socket.send(message)).await.map(drop),
            Socket::Stream(socket) => {
                // As the C library ends a message in a stream.
                let ended = [message, b"\0"].concat();
                within(limit, socket.write_all(&ended)).await
            }
        }
    }

    /// Bytes that the daemon has not read, and some for the kernel's own use.
    pub(super) fn unread(&self) -> io::Result<u64> {
        match &self.socket {
            Socket::Datagram(socket) => unacknowledged(socket),
            Socket::Stream(socket) => unacknowledged(socket),
        }
    }

    /// Whether the daemon that the link was opened to is still there.
    pub(super) fn is_alive(&self) -> bool {
        match &self.socket {
            // The kernel tells of its end only when something is sent: ask whether its socket still takes connections.
            Socket::Datagram(_) => {
                let same = Identity::of(&self.path).is_ok_and(|now| now == self.identity);
                same && UnixDatagram::unbound().and_then(|probe| probe.connect(&self.path)).is_ok()
            }
            Socket::Stream(socket) => {
                // Not through the runtime, which learns of the end later than the kernel knows.
                let mut scratch = [0; 512];
                match rustix::net::recv(socket, &mut scratch[..], RecvFlags::DONTWAIT) {
                    Ok((read, _)) => read > 0,
                    Err(error) => error == Errno::AGAIN || error == Errno::INTR,
                }
            }
        }
    }

    /// The largest message that the socket takes, in bytes.
    pub(super) fn largest(&self) -> usize {
        match &self.socket {
            Socket::Datagram(socket) => {
                SockRef::from(socket).send_buffer_size().unwrap_or_default().saturating_sub(OVERHEAD)
            }
            Socket::Stream(_) => usize::MAX,
        }
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
