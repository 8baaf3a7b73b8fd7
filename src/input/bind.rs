//! Taking addresses: sockets with the options that Logphase needs, and errors that say what to do.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::UdpSocket;

use super::transport::TcpSocket;
use crate::socket_file::{self, DatagramSocket, SocketError, SocketListener};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// Silence after which the kernel probes whether the peer of a connection is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// Mode of a Unix socket: its owner and its group may write to it.
const UNIX_MODE: u32 = 0o660;

/// How many datagrams the kernel holds for a Unix socket that is created from now on.
const MAX_DATAGRAMS: &str = "/proc/sys/net/unix/max_dgram_qlen";

/// So many bridge the pauses of a reader under load.
const ENOUGH_DATAGRAMS: u32 = 256;

/// Where an input listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address of the network.
    Inet {
        /// What is spoken there, such as `http`.
        scheme: &'static str,
        /// The address, with the port that the system chose for port 0.
        address: SocketAddr,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// The path of a FIFO.
    Fifo(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { scheme, address } => write!(f, "{scheme}://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Fifo(path) => write!(f, "fifo:{}", path.display()),
        }
    }
}

/// An input that cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The settings are not those of the input. Its schema should have refused them.
    #[error("cannot use the settings inputs.{input}: {source}; please report it")]
    Settings {
        /// The input.
        input: &'static str,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// Its settings do not fit together, or a file that they name cannot be used.
    #[error("cannot use the settings inputs.{input}: {error}")]
    Transport {
        /// The input.
        input: &'static str,
        /// The setting, below that of the input, the problem, and what to do.
        error: logphase_net::ConfigError,
    },
    /// The address cannot be resolved (or, for the status listeners, not bound).
    #[error("cannot listen on `{address}`: {source}; give `host:port`, like `127.0.0.1:9080`")]
    Address {
        /// The address as configured.
        address: String,
        /// What the system reported.
        source: io::Error,
    },
    /// The place of its own files cannot be used.
    #[error("cannot keep {what} in {}: {source}; {help}", path.display())]
    Keep {
        /// What is kept.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system reported.
        source: io::Error,
        /// What to do about it.
        help: &'static str,
    },
    /// The address is in use, or the process may not have it.
    #[error("cannot listen for {what} on {address}: {source}; {help}")]
    Listen {
        /// What was to be served there: such as `HTTP` or `a Unix socket`.
        what: &'static str,
        /// The address or path.
        address: String,
        /// What the system reported.
        source: io::Error,
        /// What to do about it.
        help: &'static str,
    },
}

/// The addresses of `listen` (`HOST:PORT`), with names resolved. A name may stand for several addresses; each is returned
/// once.
///
/// # Errors
/// The first that cannot be resolved.
pub fn resolve(listen: &[String]) -> Result<Vec<SocketAddr>, BindError> {
    let mut resolved = Vec::new();
    for address in listen {
        let found = address.to_socket_addrs();
        resolved.extend(found.map_err(|source| BindError::Address { address: address.clone(), source })?);
    }
    resolved.dedup();
    Ok(resolved)
}

/// Takes every address of `listen`; see [`resolve`].
pub(super) fn each<T>(
    listen: &[String],
    bind: impl Fn(SocketAddr) -> Result<T, BindError>,
) -> Result<Vec<T>, BindError> {
    resolve(listen)?.into_iter().map(bind).collect()
}

/// Listens on `address` for `what`.
pub(super) fn tcp(what: &'static str, address: SocketAddr) -> Result<(TcpSocket, SocketAddr), BindError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Linux passes both options on to each connection, which spares three system calls for each; connections work
        // without them.
        let _ = socket.set_tcp_nodelay(true);
        let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_TIME));
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpSocket::new(TcpListener::from(socket))?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    listen().map_err(|error| inet_error(what, address, error))
}

/// Binds `address` for datagrams, with a receive buffer of `buffer` bytes if the system grants it.
pub(super) fn udp(address: SocketAddr, buffer: usize) -> Result<(UdpSocket, SocketAddr), BindError> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if let Err(error) = socket.set_recv_buffer_size(buffer) {
            tracing::warn!(%address, %error, "the UDP receive buffer keeps the system's size; raise net.core.rmem_max");
        }
        // Linux reports twice the size that was set; half of it is for its own bookkeeping.
        let granted = socket.recv_buffer_size()? / 2;
        if granted < buffer {
            tracing::debug!(%address, wanted = buffer, granted, "the system limits the UDP receive buffer");
        }
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let local = socket.local_addr()?;
        Ok((socket, local))
    };
    bind().map_err(|error| inet_error("UDP", address, error))
}

fn inet_error(what: &'static str, address: SocketAddr, source: io::Error) -> BindError {
    let help = match source.kind() {
        ErrorKind::AddrInUse => "another process has it (a second Logphase?): stop that one or choose another port",
        ErrorKind::PermissionDenied => "ports below 1024 take a privilege: choose a higher port",
        ErrorKind::AddrNotAvailable => "no interface of this machine has that address: use one that it has, or 0.0.0.0",
        _ => "choose another address",
    };
    BindError::Listen { what, address: address.to_string(), source, help }
}

/// Listens on the Unix socket at `path`. A socket that no process listens on any more is replaced.
pub(super) fn unix(path: &Path) -> Result<SocketListener, BindError> {
    socket_file::listen(path, UNIX_MODE).map_err(|error| unix_error(path, error))
}

/// The same for datagrams.
pub(super) fn unix_datagrams(path: &Path) -> Result<DatagramSocket, BindError> {
    let socket = socket_file::receive(path, UNIX_MODE).map_err(|error| unix_error(path, error))?;
    let held = std::fs::read_to_string(MAX_DATAGRAMS).ok().and_then(|text| text.trim().parse::<u32>().ok());
    if let Some(datagrams) = held.filter(|held| *held < ENOUGH_DATAGRAMS) {
        tracing::warn!(
            path = %path.display(),
            datagrams,
            "the kernel holds few datagrams for a Unix socket: senders that do not wait, such as nginx, lose the others; \
             raise net.unix.max_dgram_qlen and start again"
        );
    }
    Ok(socket)
}

fn unix_error(path: &Path, SocketError { source, help }: SocketError) -> BindError {
    BindError::Listen { what: "a Unix socket", address: path.display().to_string(), source, help }
}

/// The directories in which the sockets at `paths` are created and removed.
pub(super) fn socket_directories(paths: &[PathBuf]) -> Vec<PathBuf> {
    let directory = |path: &PathBuf| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).to_owned()
    };
    paths.iter().map(directory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a connection to a listener of an input.
    /// Guarantees: it does not wait to fill segments, and the kernel notices that its peer is gone, without a system call
    /// for either.
    #[tokio::test]
    async fn connections_inherit_options() {
        let (listener, address) = tcp("TCP", ([127, 0, 0, 1], 0).into()).expect("a free port");
        let _client = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let (accepted, _) = listener.accept().await.expect("a connection");
        let accepted = accepted.into_watched().expect("a descriptor");
        assert!(accepted.nodelay().expect("an option"));
        let socket = socket2::SockRef::from(&accepted);
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), KEEPALIVE_TIME);
    }
}
