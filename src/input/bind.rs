//! Taking addresses: sockets with what Logphase needs set on them, and errors that say what to do.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, os::unix};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UdpSocket, UnixListener};

use super::BindError;

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
            tracing::warn!(%address, %error, "the UDP receive buffer stays as the system has it");
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

/// A Unix socket that is listened on, with the file that goes when it goes.
#[derive(Debug)]
pub(super) struct UnixInput {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

/// The file of a Unix socket; removed when dropped, if it is still the one that was made.
#[derive(Debug)]
pub(super) struct SocketFile {
    pub(super) path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the Unix socket");
        }
    }
}

/// Listens on the Unix socket at `path`. A socket that nobody listens on any more is replaced.
pub(super) fn unix(path: &Path) -> Result<UnixInput, BindError> {
    make_way(path)?;
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let made = fs::symlink_metadata(path)?;
        let file = SocketFile { path: path.to_owned(), identity: (made.dev(), made.ino()) };
        // Nobody can connect before `listen`, so that the umask's mode is never in force.
        fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
        socket.listen(BACKLOG)?;
        let listener = UnixListener::from_std(unix::net::UnixListener::from(socket))?;
        Ok(UnixInput { listener, file })
    };
    listen().map_err(|error: io::Error| {
        let help = match error.kind() {
            ErrorKind::NotFound => "make its directory first",
            ErrorKind::PermissionDenied => "let the service write to its directory, or choose another path",
            ErrorKind::InvalidInput => "choose a shorter path (107 bytes at most)",
            _ => "choose another path",
        };
        unix_error(path, error, help)
    })
}

/// Removes a socket at `path` that nobody listens on.
fn make_way(path: &Path) -> Result<(), BindError> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        let error = io::Error::new(ErrorKind::AlreadyExists, "a file that is no socket is in the way");
        return Err(unix_error(path, error, "remove that file or choose another path"));
    }
    match unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| unix_error(path, error, "remove the socket that an earlier process left there")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A connection, a full backlog and a denied permission all mean that it may be somebody's.
        _ => {
            let error = io::Error::from(ErrorKind::AddrInUse);
            Err(unix_error(path, error, "another process listens there: stop it or choose another path"))
        }
    }
}

fn unix_error(path: &Path, source: io::Error, help: &str) -> BindError {
    BindError { what: "a Unix socket", address: path.display().to_string(), source, help: help.to_owned() }
}
