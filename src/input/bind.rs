//! Taking addresses: sockets with what Logphase needs set on them, and errors that say what to do.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use super::BindError;
use crate::socket_file::{self, SocketError, SocketListener};

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 1024;

/// Who may write to a Unix socket: its owner and its group.
const UNIX_MODE: u32 = 0o660;

/// Listens on `address` for `what`.
pub(super) fn tcp(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
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
            tracing::warn!(%address, %error, "the UDP receive buffer stays as the system has it; raise net.core.rmem_max");
        }
        // Linux reports twice what was asked for, of which half is its own book-keeping.
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
    BindError { what, address: address.to_string(), source, help: help.to_owned() }
}

/// Listens on the Unix socket at `path`. A socket that nobody listens on any more is replaced.
pub(super) fn unix(path: &Path) -> Result<SocketListener, BindError> {
    socket_file::listen(path, UNIX_MODE).map_err(|SocketError { source, help }| BindError {
        what: "a Unix socket",
        address: path.display().to_string(),
        source,
        help: help.to_owned(),
    })
}
