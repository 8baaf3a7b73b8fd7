//! A connection to the local syslog daemon.

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

/// Send buffer size to request, in bytes. It limits a datagram; the kernel grants at most twice `net.core.wmem_max`.
const SEND_BUFFER: usize = 8 << 20;
/// Bytes of the send buffer that a datagram cannot use (`unix_dgram_sendmsg` in Linux).
const OVERHEAD: usize = 32;

/// An open socket, with the identity of the daemon behind it.
pub(super) struct DaemonSocket {
    path: PathBuf,
    identity: Identity,
    kind: SocketKind,
}

enum SocketKind {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

/// Identifies the file of a socket. Inode numbers are reused for new files, creation times are not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { device: found.dev(), inode: found.ino(), created: found.created().ok() })
    }
}

impl DaemonSocket {
    /// Connects to the daemon that listens at `path` with a datagram socket, or else with a stream socket.
    pub(super) async fn open(path: &Path, limit: Duration) -> io::Result<Self> {
        // Read before connecting: if another daemon starts in between, this socket counts as dead and is opened again.
        let identity = Identity::of(path)?;
        let datagram = UnixDatagram::unbound()?;
        let socket = match datagram.connect(path) {
            Ok(()) => {
                // On an error the default size remains.
                let _ = SockRef::from(&datagram).set_send_buffer_size(SEND_BUFFER);
                SocketKind::Datagram(datagram)
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PROTOTYPE) => {
                SocketKind::Stream(within(limit, UnixStream::connect(path)).await?)
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), identity, kind: socket })
    }

    /// Sends one message. Waits for at most `limit` while the daemon lags behind.
    pub(super) async fn send(&mut self, message: &[u8], limit: Duration) -> io::Result<()> {
        match &mut self.kind {
            SocketKind::Datagram(socket) => within(limit, socket.send(message)).await.map(drop),
            SocketKind::Stream(socket) => {
                // The C library ends messages in a stream with a zero byte.
                let ended = [message, b"\0"].concat();
                within(limit, socket.write_all(&ended)).await
            }
        }
    }

    /// Bytes that the daemon has not read, including the kernel's overhead.
    pub(super) fn unread(&self) -> io::Result<u64> {
        match &self.kind {
            SocketKind::Datagram(socket) => unacknowledged(socket),
            SocketKind::Stream(socket) => unacknowledged(socket),
        }
    }

    /// Whether the daemon that the socket is connected to still exists.
    pub(super) fn is_alive(&self) -> bool {
        match &self.kind {
            // The kernel reports the daemon's end only to a sender; therefore this tests whether its socket still accepts
            // connections.
            SocketKind::Datagram(_) => {
                let same = Identity::of(&self.path).is_ok_and(|now| now == self.identity);
                same && UnixDatagram::unbound().and_then(|probe| probe.connect(&self.path)).is_ok()
            }
            SocketKind::Stream(socket) => {
                // Bypasses the runtime, which learns of the end after the kernel.
                let mut scratch = [0; 512];
                match rustix::net::recv(socket, &mut scratch[..], RecvFlags::DONTWAIT) {
                    Ok((read, _)) => read > 0,
                    Err(error) => error == Errno::AGAIN || error == Errno::INTR,
                }
            }
        }
    }

    /// Size limit of a message on this socket, in bytes.
    pub(super) fn largest(&self) -> usize {
        match &self.kind {
            SocketKind::Datagram(socket) => {
                SockRef::from(socket).send_buffer_size().unwrap_or_default().saturating_sub(OVERHEAD)
            }
            SocketKind::Stream(_) => usize::MAX,
        }
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
